"""The rules of the run folder."""

import os
import subprocess
import sys

import pytest

from minigan.errors import CheckpointError, ConfigError
from minigan.training.run_folder import RunFolder

ABOUT = {"model": "fake", "config": {}, "options": {}}


@pytest.fixture
def run(tmp_path):
    run = RunFolder.create(tmp_path / "deep" / "run", ABOUT)
    yield run
    run.unlock()


def test_create_and_open(run):
    names = ["checkpoints", "config.json", "metrics.jsonl", "samples"]
    assert sorted(os.listdir(run.path)) == names
    assert RunFolder.open(run.path).about == ABOUT
    assert run.sample_path(500) == run.path / "samples" / "step-000500.png"
    assert run.checkpoint_path(500) == run.path / "checkpoints" / "step-000500"


def test_never_replaces_a_run_silently(run):
    run.metrics.write_text("kept")
    run.unlock()
    with pytest.raises(ConfigError) as error:
        RunFolder.create(run.path, ABOUT)
    assert all(flag in str(error.value) for flag in ("--resume", "--run_dir", "--overwrite"))
    assert run.metrics.read_text() == "kept"


def test_overwrite_removes_the_old_run_and_nothing_else(run):
    run.unlock()
    (run.path / "metrics.jsonl").write_text("old")
    (run.path / "final").mkdir()
    (run.path / "samples" / "step-000001.png").write_text("old")
    (run.path / "notes.txt").write_text("mine")
    again = RunFolder.create(run.path, {**ABOUT, "model": "other"}, overwrite=True)
    again.unlock()
    assert again.metrics.read_text() == "" and not again.final.exists()
    assert os.listdir(run.path / "samples") == []
    assert (run.path / "notes.txt").read_text() == "mine"
    assert RunFolder.open(run.path).model == "other"


@pytest.mark.parametrize("overwrite", [False, True])
def test_refuses_a_folder_of_something_else(tmp_path, overwrite):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="not empty and holds no minigan run"):
        RunFolder.create(tmp_path, ABOUT, overwrite)
    (tmp_path / "config.json").write_text('{"of": "another program"}')
    with pytest.raises((ConfigError, CheckpointError)):
        RunFolder.create(tmp_path, ABOUT, overwrite)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "thesis.tex"]


def test_refuses_a_file_and_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        RunFolder.create(tmp_path / "file", ABOUT)
    with pytest.raises(CheckpointError, match="cannot write .*Not a directory"):
        RunFolder.create(tmp_path / "file" / "run", ABOUT)


def test_an_empty_folder_and_one_of_a_killed_start_are_free(tmp_path):
    (tmp_path / ".tmp-config.json").write_text("{")
    RunFolder.create(tmp_path, ABOUT).unlock()
    assert not (tmp_path / ".tmp-config.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": "fake"}', None])
def test_open_refuses_what_is_no_run(tmp_path, text):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError) as error:
        RunFolder.open(tmp_path)
    assert "\n" not in str(error.value)


def test_rewind(run):
    run.metrics.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    (run.path / "checkpoints" / ".tmp-step-000003").mkdir()
    (run.path / "samples" / ".tmp-step-000003.png").write_text("")
    run.rewind(2)
    assert run.metrics.read_text() == '{"step": 1}\n{"step": 2}\n'
    assert os.listdir(run.path / "checkpoints") == os.listdir(run.path / "samples") == []


@pytest.mark.skipif(sys.platform == "win32", reason="no folder locks on Windows")
def test_one_training_at_a_time(run):
    code = (
        "import sys, pathlib; from minigan.training.run_folder import RunFolder\n"
        "RunFolder.open(pathlib.Path(sys.argv[1])).lock()"
    )
    command = [sys.executable, "-c", code, str(run.path)]
    other = subprocess.run(command, capture_output=True, text=True)
    assert "is in use by another training" in other.stderr
    run.unlock()
    assert subprocess.run(command).returncode == 0
