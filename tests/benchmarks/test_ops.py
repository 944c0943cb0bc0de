"""The calls that benchmarks.ops times are those of the steps, and PyTorch computes the same."""

import json

import numpy as np
import pytest

from benchmarks import ops, steps

SMALL = {
    "acgan": ("acgan", {"batch_size": 4}, 2.0),
    "stackedgan": (
        "stackedgan",
        {"batch_size": 4, "img_size": 16, "encoder_steps": 0, "independent_steps": 0},
        1.5,
    ),
    "wgan": ("wgan", {"batch_size": 4, "img_size": 8, "n_critic": 3}, 1.5),
    "cyclegan": ("cyclegan", {"img_size": 32, "ngf": 4, "ndf": 4, "n_blocks": 1}, 1.5),
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("MINIGAN_NUM_THREADS", "1")  # main() sets it for the processes it starts
    for module in (ops, steps):
        monkeypatch.setattr(module, "WORKLOADS", SMALL)
    monkeypatch.setattr(ops, "_SMALLEST", 0)


def _shape(*sizes):
    return ("shape", *sizes)


def test_a_step_is_recorded_and_the_kernels_are_as_before():
    kernels = ops.kernels_for(np.zeros(1))
    before = dict(vars(kernels))
    calls = ops.recorded("acgan")
    assert dict(vars(kernels)) == before
    assert ("conv2d", _shape(4, 1, 32, 32), _shape(16, 1, 3, 3), _shape(16),
            (2, 2), (1, 1), (1, 1), 1) in calls  # fmt: skip
    assert calls["conv2d", _shape(4, 16, 16, 16), _shape(32, 16, 3, 3), _shape(32),
                 (2, 2), (1, 1), (1, 1), 1] == 3  # G's step, real and fake images  # fmt: skip
    assert {"upsample_conv2d", "batch_norm_backward", "adam_step"} <= {call[0] for call in calls}


def test_the_updates_of_a_critic_and_of_its_generator_are_recorded():
    calls = ops.recorded("wgan")  # three updates of the critic, then one of the generator
    assert calls["matmul", _shape(512, 4), _shape(4, 64)] == 3  # for real images
    assert calls["add_matmul", _shape(512, 64), _shape(512, 4), _shape(4, 64)] == 3  # generated
    assert calls["matmul", _shape(1024, 4), _shape(4, 512)] == 1


@pytest.mark.parametrize("workload", SMALL)
def test_pytorch_computes_the_same(workload):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    compared, threads = set(), torch.get_num_threads()
    try:
        for call in ops.recorded(workload):
            here, there = ops.minigan_call(call, 1)(), ops.torch_call(call, 1)()
            if call[0] in ("adam_step", "add_matmul"):  # in place: other tests compare them
                continue
            here, there = (v if isinstance(v, tuple) else (v,) for v in (here, there))
            there = [v for v in there if v is not None]
            for a, b in zip(here[: len(there)], there, strict=True):
                if call[0] == "batch_norm" and a is not here[0]:
                    continue  # the saved statistics: PyTorch keeps 1/std where minigan keeps var
                np.testing.assert_allclose(a, b.numpy(), rtol=2e-4, atol=2e-4, err_msg=str(call))
            compared.add(call[0])
    finally:
        torch.set_grad_enabled(True)
        torch.set_num_threads(threads)
    convolutions = {"conv2d", "conv2d_weight_grad", "conv2d_input_grad"}
    assert ({"matmul"} if workload == "wgan" else convolutions) <= compared


@pytest.mark.parametrize(
    "call, expected",
    [
        (("matmul", _shape(3, 4), _shape(4, 5)), 2 * 3 * 4 * 5),
        (("add_matmul", _shape(3, 5), _shape(3, 4), _shape(4, 5)), 2 * 3 * 4 * 5),
        (("conv2d", _shape(2, 6, 9, 7), _shape(4, 3, 3, 2), None, (2, 1), (1, 0), (1, 1), 2),
         2 * 2 * 4 * 5 * 6 * 3 * 3 * 2),
        (("conv2d_input_grad", _shape(2, 4, 5, 6), _shape(4, 3, 3, 2), None, (9, 7),
          (2, 1), (1, 0), (1, 1), 2), 2 * 2 * 4 * 5 * 6 * 3 * 3 * 2),
        (("conv2d_weight_grad", _shape(2, 6, 9, 7), _shape(2, 4, 5, 6), (3, 2),
          (2, 1), (1, 0), (1, 1), 2), 2 * 2 * 4 * 5 * 6 * 3 * 3 * 2),
        (("upsample_conv2d", _shape(2, 3, 4, 5), _shape(6, 3, 3, 3), None),
         2 * 2 * 6 * 8 * 10 * 3 * 9),
        (("upsample_conv2d_input_grad", _shape(2, 6, 8, 10), _shape(6, 3, 3, 3)),
         2 * 2 * 6 * 8 * 10 * 3 * 9),
        (("upsample_conv2d_weight_grad", _shape(2, 3, 4, 5), _shape(2, 6, 8, 10)),
         2 * 2 * 6 * 8 * 10 * 3 * 9),
        (("leaky_relu", _shape(2, 3), 0.2), 0),
    ],
)  # fmt: skip
def test_arithmetic_is_counted_by_the_definition(call, expected):
    assert ops.flop(call) == expected


def test_the_command_writes_what_it_measured(tmp_path, capsys):
    args = ["--workloads", "acgan", "--rounds", "1", "--seconds", "0.001", "--threads", "1"]
    assert ops.main([*args, "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("ops-cpu-*.json")
    result = json.loads(path.read_text())
    assert set(result["workloads"]["acgan"]) <= {row["call"] for row in result["calls"]}
    fastest = min(result["calls"][0][name]["median"] for name in ("minigan", "numpy"))
    assert result["peak_gflop_s"] == pytest.approx(2e-9 * 2048**3 / fastest)
    assert result["calls"][0]["share_of_peak"] <= 1
    assert all("numpy" not in row for row in result["calls"][1:])
    assert len(capsys.readouterr().out.splitlines()) == len(result["calls"]) + 2
