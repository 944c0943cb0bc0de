"""What results say of their machine."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import machine

AUTHOR = ["-c", "user.name=test", "-c", "user.email=test@example.org"]


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("fpu avx2 avx512f", "Some CPU (AVX-512)"),
        ("avx avx2", "Some CPU (AVX2)"),
        ("fpu", "Some CPU"),
    ],
)
def test_a_processor_has_its_name_and_its_widest_vectors(monkeypatch, flags, name):
    text = f"processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: {flags}\npower management:\n\n"
    monkeypatch.setattr(Path, "read_text", lambda path: text)
    assert machine._cpu() == name


def test_where_nothing_tells_the_interpreter_does(monkeypatch):
    def missing(path):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert machine._cpu()


def test_facts_have_their_moment():
    facts = machine.facts()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", facts["date"]) and re.fullmatch(
        r"\d\d:\d\d", facts["time"]
    )
    assert facts["cores"] >= 1


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_results_are_no_change_of_what_is_timed(tmp_path, monkeypatch):
    folder = tmp_path / "benchmarks"
    (folder / "results").mkdir(parents=True)
    (folder / "machine.py").write_text("")
    monkeypatch.setattr(machine, "__file__", str(folder / "machine.py"))
    assert machine.commit() == "unknown"  # no repository
    for command in (["init", "-q"], ["add", "."], [*AUTHOR, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    first = machine.commit()
    assert first.isalnum()
    (folder / "results" / "steps.json").write_text("{}")
    assert machine.commit() == first
    (tmp_path / "kernel.py").write_text("")
    assert machine.commit() == first + "+"
