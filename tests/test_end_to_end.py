"""The main job through its command line: determinism, resume, and what an import costs."""

import json
import os
import subprocess
import sys

import pytest

SMALL = ["--data", "mnist-embedded", "--batch_size", "8", "--img_size", "32"]
SMALL += ["--sample_interval", "5", "--seed", "3"]


def minigan(*args, cwd, **env):
    command = [sys.executable, "-W", "error", "-m", "minigan", *map(str, args)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=300
    )


def written(run):
    """Everything a run left that is about its training, by path."""
    files = [run / "metrics.jsonl", *sorted((run / "samples").glob("*.png"))]
    files += sorted((run / "final").glob("*.safetensors"))
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run of 20 steps without a stop."""
    folder = tmp_path_factory.mktemp("straight")
    done = minigan("train", "acgan", *SMALL, "--max_steps", 20, "--run_dir", "run", cwd=folder,
                   PYTHONHASHSEED="1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return written(folder / "run")


def test_another_hash_seed_writes_the_same_bytes(straight, tmp_path):
    done = minigan("train", "acgan", *SMALL, "--max_steps", 20, "--run_dir", "run", cwd=tmp_path,
                   PYTHONHASHSEED="2", MINIGAN_NUM_THREADS="1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert written(tmp_path / "run") == straight


def test_ten_steps_and_ten_resumed_write_the_bytes_of_twenty(straight, tmp_path):
    train = ["train", "acgan", *SMALL, "--run_dir", "run"]
    assert minigan(*train, "--max_steps", 10, cwd=tmp_path).returncode == 0
    done = minigan("resume", "run", "--max_steps", 20, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = written(tmp_path / "run")
    stop = after.pop("samples/step-000010.png")
    assert stop == straight["samples/step-000010.png"]
    assert after == {k: v for k, v in straight.items() if k != "samples/step-000010.png"}


def test_another_seed_writes_other_bytes(straight, tmp_path):
    flags = [*SMALL[:-1], "4"]
    minigan("train", "acgan", *flags, "--max_steps", 2, "--run_dir", "run", cwd=tmp_path)
    other = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert other.splitlines()[0] != straight["metrics.jsonl"].splitlines()[0]


def test_a_run_goes_on_for_epochs_with_a_falling_learning_rate(tmp_path):
    flags = ["--data", "mnist-embedded", "--batch_size", 5000, "--img_size", 8, "--n_epochs", 1]
    assert minigan("train", "gan", *flags, "--run_dir", "run", cwd=tmp_path).returncode == 0
    done = minigan("resume", "run", "--n_epochs_decay", 2, cwd=tmp_path)
    assert done.returncode == 0 and "done: 6 steps" in done.stdout, done.stderr
    assert json.loads((tmp_path / "run/config.json").read_text())["config"]["n_epochs_decay"] == 2


def test_importing_minigan_loads_nothing_heavy():
    heavy = ["numba", "scipy", "matplotlib", "PIL", "cupy", "torch", "tyro", "tqdm"]
    code = f"import sys, minigan; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_cuda_without_a_gpu_ends_in_one_line(tmp_path):
    if subprocess.run([sys.executable, "-c", "import cupy"], capture_output=True).returncode == 0:
        pytest.skip("CuPy is installed")
    done = minigan("train", "acgan", "--device", "cuda", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "minigan[cuda12]" in done.stderr
    assert not list(tmp_path.iterdir())
