"""The training loop on a GPU: graphs by default, losses fetched in blocks, exact resume."""

import json

import numpy as np
import pytest

import minigan as mg
from minigan.backends import own_kernels, reference
from minigan.backends.cuda import precision
from minigan.cli import main
from minigan.training import checkpoint
from minigan.training.device_losses import DeviceLosses
from tests.cuda_on_cpu import fake_cupy


@pytest.fixture(autouse=True)
def own_precision(monkeypatch):
    monkeypatch.setattr(precision, "_chosen", [])


def train(folder, *flags):
    """The final state and the rows of a run of 6 steps."""
    shape = ["--img_size", "8", "--batch_size", "16", "--data", "mnist-embedded"]
    status = main(["train", "gan", "--device", "cuda", "--run_dir", str(folder), *shape,
                   "--max_steps", "6", "--sample_interval", "0", *flags])  # fmt: skip
    assert status == 0
    state = checkpoint.load(folder / "final").state
    return state["networks"], (folder / "metrics.jsonl").read_text()


def same(one, two):
    return all(
        np.array_equal(weights, two[name][key])
        for name, network in one.items()
        for key, weights in network.items()
    )


def test_captured_resumed_and_eager_runs_end_alike(fast_gpu, tmp_path, capsys):
    captured, rows = train(tmp_path / "captured")
    assert [json.loads(row)["step"] for row in rows.splitlines()] == [1, 2, 3, 4, 5, 6]
    header = capsys.readouterr().out
    assert "device: cuda:0, stand-in GPU, backend cuda, convolutions in tf32\n" in header
    eager, eager_rows = train(tmp_path / "eager", "--no_capture")
    assert same(captured, eager) and rows == eager_rows
    train(tmp_path / "resumed", "--max_steps", "4")
    resumed, resumed_rows = train(tmp_path / "resumed", "--resume")
    assert same(captured, resumed) and rows == resumed_rows


def test_the_flags_decide(fast_gpu, tmp_path, capsys, monkeypatch):
    made = []
    monkeypatch.setattr(mg.models.base.Model, "capture", lambda gan: made.append(gan.name))
    train(tmp_path / "a", "--max_steps", "1", "--precision", "fp32")
    assert made == ["gan"] and precision.get_precision() == "fp32"
    assert "convolutions in fp32" in capsys.readouterr().out
    train(tmp_path / "b", "--max_steps", "1", "--no-capture")
    assert made == ["gan"]
    about = json.loads((tmp_path / "a" / "config.json").read_text())
    assert about["options"]["precision"] == "fp32" and about["options"]["capture"] is True


def test_a_run_of_the_gpu_can_be_sampled_and_resumed_on_the_cpu(fast_gpu, tmp_path):
    train(tmp_path / "run")
    for device in ("cpu", "cuda"):
        out = str(tmp_path / f"{device}.npy")
        assert main(["sample", str(tmp_path / "run"), "--device", device, "--out", out]) == 0
    images = [np.load(tmp_path / f"{device}.npy") for device in ("cpu", "cuda")]
    np.testing.assert_allclose(*images, atol=1e-4)
    resume = ["resume", str(tmp_path / "run"), "--device", "cpu", "--max_steps", "7"]
    assert main(resume) == 0


def test_losses_are_fetched_a_block_at_a_time(gpu, monkeypatch):
    losses, copies = DeviceLosses(), []
    kept = []
    for step in range(150):
        values = {"d_loss": float(step), "g_loss": -float(step)}
        if step == 140:
            values |= {"extra": 7.0}
        on_gpu = {name: mg.tensor(value, device="cuda") for name, value in values.items()}
        kept.append((losses.keep(on_gpu), values))
    get = fake_cupy.ndarray.get
    monkeypatch.setattr(fake_cupy.ndarray, "get", lambda array: copies.append(1) or get(array))
    for row, values in kept:
        assert {name: float(value) for name, value in row.items()} == values
    assert len(copies) == 5  # 64, 64, 12, the row with other names, 9
    late = losses.keep({"d_loss": mg.tensor(3.0, device="cuda")})
    assert float(late["d_loss"]) == 3.0


def test_losses_on_the_host_are_kept_as_they_are():
    losses = {"d_loss": mg.tensor(1.0)}
    assert DeviceLosses().keep(losses) is losses


def test_info_tells_our_kernels_from_cupys(gpu, capsys):
    assert main(["info"]) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    own, borrowed = own_kernels("cuda")
    assert "conv2d" in own and "matmul" in lines["cuda kernels"]
    assert all(hasattr(reference, name) for name in borrowed)
    assert "stand-in GPU" in lines["cuda"] and set(own).isdisjoint(borrowed)
