"""Kernels are compiled anew after a change of what they are made of, and only then."""

from pathlib import Path

import pytest

pytest.importorskip("numba")

from minigan.backends.cpu import stamp as stamps
from minigan.backends.cpu import winograd_images
from minigan.backends.cpu.stamp import stamp

FILES = {
    "kernels.py": "from minigan.backends.cpu.direct import a\n"
    "from minigan.backends.cpu import (\n    several,\n    more,\n)\n",
    "direct.py": "from minigan.backends.cpu.indirect import b\n",
    "indirect.py": "from minigan.backends.cpu.kernels import c  # a cycle ends\n",
    "several.py": "from minigan.backends.cpu import line, other_line\n",
    "more.py": "",
    "line.py": "",
    "other_line.py": "",
}


def stamp_of(folder, monkeypatch, file="kernels.py"):
    monkeypatch.setattr(stamps, "_FOLDER", folder)
    stamp.cache_clear()
    try:
        return stamp(folder / file)
    finally:
        stamp.cache_clear()


@pytest.mark.parametrize("changed", FILES)
def test_a_change_of_any_imported_file_counts(tmp_path, monkeypatch, changed):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "unrelated.py").write_text("")
    before = stamp_of(tmp_path, monkeypatch)
    (tmp_path / "unrelated.py").write_text("x = 1")
    assert stamp_of(tmp_path, monkeypatch) == before
    (tmp_path / changed).write_text(FILES[changed] + "x = 1")
    assert stamp_of(tmp_path, monkeypatch) != before


def test_a_file_elsewhere_counts_as_importing_all(tmp_path, monkeypatch):
    package, elsewhere = tmp_path / "package", tmp_path / "test_kernels.py"
    package.mkdir()
    elsewhere.write_text("")
    (package / "lanes.py").write_text("")
    before = stamp_of(package, monkeypatch, elsewhere)
    (package / "lanes.py").write_text("x = 1")
    assert stamp_of(package, monkeypatch, elsewhere) != before


def test_kernels_carry_it_in_their_name():
    name = winograd_images._read.py_func.__qualname__
    assert name == f"_read.{stamp(Path(winograd_images.__file__))}"
