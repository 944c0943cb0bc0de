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


def python(*args):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def fake(*args):
    return python(FAKE, *args)


def finished(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def wait_for(condition, process):
    """Until condition() holds; the process must be alive all the while."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def test_sigkill_while_saving(tmp_path):
    run = RunFolder.create(tmp_path / "run", {"model": "fake", "config": {}, "options": {}})
    run.unlock()
    delays = random.Random(0)
    last = 0
    for _ in range(8):
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
    assert last > 8


def test_sigkill_while_training_then_resume(tmp_path):
    """Killed again and again, the run ends with the bytes of an undisturbed one."""
    flags = ["--checkpoint_interval", 2, "--sample_interval", 2, "--n_epochs", 3]
    whole, run = tmp_path / "whole", tmp_path / "run"
    process = fake("train", "fake", "--run_dir", whole, *flags)
    assert finished(process)[0] == 0
    delays = random.Random(1)
    kills = 0
    flags += ["--step_seconds", 0.03]
    while True:
        again = ["--resume"] if (run / "config.json").exists() else []
        process = fake("train", "fake", "--run_dir", run, *flags, *again)
        if kills < 4:
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
    assert len(same) > 12
    for name in same:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert not list(run.rglob(".tmp-*"))


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_finishes_the_step_saves_and_says_how_to_go_on(tmp_path, number, status):
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert finished(fake("train", "fake", "--run_dir", whole))[0] == 0
    process = fake("train", "fake", "--run_dir", run, "--step_seconds", 0.2)
    wait_for((run / "config.json").exists, process)
    time.sleep(0.4)
    process.send_signal(number)
    returned, out, err = finished(process)
    assert returned == status, err
    assert f"continue: minigan resume {run}" in out and "Traceback" not in err
    found, errors = RunFolder.open(run).newest_checkpoint()
    assert not errors and found.step == len(read_metrics(run / "metrics.jsonl")) < 12
    status, out, err = finished(fake("resume", run))
    assert status == 0, err
    assert f"after step {found.step}" in out
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    weights = "final/generator.safetensors"
    assert (run / weights).read_bytes() == (whole / weights).read_bytes()


def test_second_interrupt_stops_at_once(tmp_path):
    run = tmp_path / "run"
    process = fake("train", "fake", "--run_dir", run, "--step_seconds", 100)
    wait_for((run / "config.json").exists, process)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert "finishing this step" in "".join(process.stderr.readline() for _ in range(2))
    process.send_signal(signal.SIGINT)
    status, _, err = finished(process)
    assert status == 130 and "stopped at once" in err and "Traceback" not in err


def test_file_size_limit_is_one_line(tmp_path):
    """A limit of the system in place of a full disk: a real write that fails."""
    resource = pytest.importorskip("resource")
    run = tmp_path / "run"
    process = subprocess.run(
        [sys.executable, FAKE, "train", "fake", "--run_dir", run, "--widths", "400", "400"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000)),
    )
    assert process.returncode == 2
    last = process.stderr.splitlines()[-1]
    assert last.startswith("minigan: error: cannot write") and "File too large" in last
    assert "Traceback" not in process.stderr
    assert RunFolder.open(run).newest_checkpoint() == (None, [])
    assert not list(run.rglob(".tmp-*"))
