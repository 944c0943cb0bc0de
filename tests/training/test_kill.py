"""Processes that are killed or interrupted at any moment, and trainings that go on after it."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minigan.training.metrics_log import read_metrics
from minigan.training.run_folder import RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
FAKE = Path(__file__).with_name("fake_gan.py")
ROOT = Path(__file__).parents[2]

SAVE_FOREVER = """
import sys
from pathlib import Path
import numpy as np
from minigan.training.checkpoint import Checkpoint
from minigan.training.run_folder import RunFolder
run = RunFolder.open(Path(sys.argv[1]))
found, errors = run.newest_checkpoint()
assert not errors, errors
step = found.step if found else 0
run.rewind(step)
print("ready", flush=True)
while True:
    step += 1
    array = np.full(100_000, step, np.float32)
    networks = {"g": {"w": array}, "d": {"w": array}}
    run.save_checkpoint(Checkpoint("fake", {}, step, {"networks": networks, "x": array}), keep=2)
"""


def heed_interrupts():
    """Also where the tests run in the background of a shell, which lets its jobs ignore them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def python():
    """Start a Python process; what a failed test leaves running is killed."""
    started = []

    def python(*args, **kwargs):
        kwargs.setdefault("preexec_fn", heed_interrupts)
        process = subprocess.Popen(
            [sys.executable, *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            **kwargs,
        )
        started.append(process)
        return process

    yield python
    for process in started:
        process.kill()
        with process:  # closes the pipes and waits
            pass


@pytest.fixture
def fake(python):
    """The command `minigan` with the fake model, in a process."""
    return lambda *args, **kwargs: python(FAKE, *args, **kwargs)


def finished(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def read_until(stream, text):
    seen = ""
    while text not in seen:
        character = stream.read(1)
        assert character, seen
        seen += character


def wait_for_first_step(process):
    """Until the progress bar is there, and the signal handlers, which follow at once."""
    read_until(process.stderr, "step/s]")
    time.sleep(0.5)


def wait_for(condition, process):
    """Until condition() holds; the process must be alive all the while."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def test_sigkill_while_saving(tmp_path, python):
    run = RunFolder.create(tmp_path / "run", {"model": "fake", "config": {}, "options": {}})
    run.unlock()
    delays = random.Random(0)
    last = 0
    for _ in range(6):
        process = python("-c", SAVE_FOREVER, run.path)
        assert process.stdout.readline() == "ready\n", process.communicate()
        time.sleep(delays.uniform(0, 0.15))
        process.kill()
        process.communicate()
        found, errors = run.newest_checkpoint()
        assert errors == []
        if found is not None:
            assert found.step >= last
            last = found.step
            state = found.state
            for array in (state["x"], *(net["w"] for net in state["networks"].values())):
                np.testing.assert_array_equal(array, np.full(100_000, found.step, np.float32))
    assert last > 6


def test_sigkill_while_training_then_resume(tmp_path, fake):
    """Killed again and again, the run ends with the bytes of an undisturbed one."""
    flags = ["--checkpoint_interval", 3, "--sample_interval", 2]
    whole, run = tmp_path / "whole", tmp_path / "run"
    process = fake("train", "fake", "--run_dir", whole, *flags)
    assert finished(process)[0] == 0
    delays = random.Random(1)
    kills = 0
    flags += ["--step_seconds", 0.03]
    while True:
        again = ["--resume"] if (run / "config.json").exists() else []
        process = fake("train", "fake", "--run_dir", run, *flags, *again)
        if kills < 3:
            wait_for((run / "config.json").exists, process)
            time.sleep(delays.uniform(0, 0.6))
            process.kill()
            kills += 1
        status, _, err = finished(process)
        if status == 0:
            break
        assert status == -signal.SIGKILL, err
    names = [path.relative_to(whole) for path in whole.rglob("*.*") if path.is_file()]
    same = [n for n in names if n.suffix in (".png", ".jsonl", ".safetensors")]
    assert len(same) > 9
    for name in same:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert not list(run.rglob(".tmp-*"))


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_finishes_the_step_saves_and_says_how_to_go_on(tmp_path, fake, number, status):
    run = tmp_path / "run"
    process = fake("train", "fake", "--run_dir", run, "--step_seconds", 0.2)
    wait_for_first_step(process)
    process.send_signal(number)
    returned, out, err = finished(process)
    assert returned == status, err
    assert f"continue: minigan resume {run}" in out and "Traceback" not in err
    found, errors = RunFolder.open(run).newest_checkpoint()
    assert not errors and 0 < found.step == len(read_metrics(run / "metrics.jsonl")) < 12
    assert not (run / "final").exists()


def test_second_interrupt_stops_at_once(tmp_path, fake):
    run = tmp_path / "run"
    process = fake("train", "fake", "--run_dir", run, "--step_seconds", 100)
    wait_for_first_step(process)
    process.send_signal(signal.SIGINT)
    read_until(process.stderr, "finishing this step")
    process.send_signal(signal.SIGINT)
    status, _, err = finished(process)
    assert status == 130 and "stopped at once" in err and "Traceback" not in err


def test_an_interrupt_that_a_shell_lets_its_background_jobs_ignore_is_ignored(tmp_path, fake):
    def ignore():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    command = ["train", "fake", "--run_dir", tmp_path / "run", "--step_seconds", 0.2]
    process = fake(*command, preexec_fn=ignore)
    wait_for_first_step(process)
    process.send_signal(signal.SIGINT)
    status, _, err = finished(process)
    assert status == 0 and "stopping" not in err


def test_file_size_limit_is_one_line(tmp_path, fake):
    """A limit of the system in place of a full disk: a real write that fails."""
    resource = pytest.importorskip("resource")
    run = tmp_path / "run"
    limits = (500_000, 500_000)
    process = fake(
        *["train", "fake", "--run_dir", run, "--widths", 400, 400],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
    )
    status, _, err = finished(process)
    assert status == 2 and "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("minigan: error: cannot write") and "File too large" in last
    assert RunFolder.open(run).newest_checkpoint() == (None, [])
    assert not list(run.rglob(".tmp-*"))
