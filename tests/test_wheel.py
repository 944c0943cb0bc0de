"""The wheel is complete: installed into an environment without this checkout, it trains."""

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_BYTES = 8 * 2**20


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    # A copy without build leftovers, which setuptools would pack as well.
    source = out / "source"
    subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", out, source], check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_it_holds_kernels_data_and_notices_and_is_small(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("minigan/kernels/README.md", "minigan/kernels/conv_forward.cu",
                 "minigan/data/embedded/embed_mnist_10k.npz",
                 "minigan/data/embedded/NOTICE-MNIST.txt", "minigan/py.typed"):  # fmt: skip
        assert part in names
    packages = {p.parent.relative_to(ROOT) for p in (ROOT / "minigan").rglob("*.py")}
    packed = {str(Path(name).parent) for name in names if name.endswith(".py")}
    assert {str(p) for p in packages} <= packed
    assert wheel.stat().st_size < MAX_BYTES


def test_it_trains_two_steps_where_the_checkout_is_not(wheel, tmp_path):
    env = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", env], check=True)
    python = env / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps"]
    subprocess.run([*install, wheel], check=True, capture_output=True)
    # The dependencies come from this environment; its own .pth files are not read from there.
    (site,) = env.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    where = "import minigan; print(minigan.__file__)"
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True, env=outside)
    out = run([python, "-c", where])
    assert str(env) in out.stdout.decode()

    flags = [
        "--data",
        "mnist-embedded",
        "--max_steps",
        "2",
        "--batch_size",
        "8",
        "--run_dir",
        "run",
    ]
    command = [env / "bin" / "minigan", "train", "acgan", *flags]
    run(command)
    lines = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [1, 2]
    assert (tmp_path / "run/samples/step-000002.png").is_file()
