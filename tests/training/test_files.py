"""Files that are whole or not there."""

import errno
import os

import pytest

from minigan.errors import CheckpointError
from minigan.training.files import remove_folder, write_file, write_folder


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, fails):
    path = tmp_path / "losses.png"
    write_file(path, b"old")

    def no_space(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, fails, no_space)
        with pytest.raises(CheckpointError, match="cannot write .*losses.png: No space left"):
            write_file(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["losses.png"]
    write_file(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["losses.png"]


def test_content_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    """Else a power cut could leave a complete name on an empty file."""
    events = []
    for name in ("fsync", "replace", "rename"):
        call = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, name=name, call=call: events.append(name) or call(*args)
        )
    write_file(tmp_path / "a", b"1")
    assert events == ["fsync", "replace", "fsync"]
    events.clear()
    write_folder(tmp_path / "b", {"x": b"1", "y": b"2"})
    assert events == ["fsync", "fsync", "fsync", "rename", "fsync"]


def test_folders_are_replaced_and_removed_whole(tmp_path, monkeypatch):
    folder = tmp_path / "final"
    write_folder(folder, {"old": b"1"})
    write_folder(folder, {"new": b"2"})
    assert os.listdir(folder) == ["new"] and os.listdir(tmp_path) == ["final"]
    remove_folder(folder)
    remove_folder(folder)
    assert os.listdir(tmp_path) == []
    # What a kill left of an earlier removal is in nobody's way.
    write_folder(folder, {"new": b"3"})
    (tmp_path / ".tmp-old-final" / "rest").mkdir(parents=True)
    remove_folder(folder)
    assert os.listdir(tmp_path) == []
