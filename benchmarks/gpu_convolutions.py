"""Two stages of benchmarks.gpu_check about the convolutions that the workloads make.

`agree` compares each, in every precision, with the reference in float64 on the same GPU.
`convolutions` times each against PyTorch's, with TF32 and without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.alternating import ProgramError, alternate_all
from benchmarks.gpu_stage import Findings, one_line
from benchmarks.gpu_steps import WORKLOADS, use_precision
from benchmarks.gpu_time import GpuTime, MiniganClock, TorchClock
from benchmarks.ops import Call, arguments, described, flop, recorded
from benchmarks.torch_ops import COUNTERPARTS
from minigan.backends import kernels_on, reference
from minigan.backends.cuda import precision as precisions
from minigan.backends.cuda.launch import launcher
from minigan.device import device

_QUICK = ("acgan", "dcgan_64_b128")
# The largest error, as a part of the largest value; sums are as long as a batch has pixels.
BOUNDS = {"fp32": 2e-5, "3xtf32": 2e-5, "tf32": 2e-3}


def agree(findings: Findings) -> None:
    """Every recorded convolution and matrix product, in every precision."""
    compared = 0
    for call in _calls(findings, ("conv", "matmul")):
        if findings.left() < 5:
            findings.leave_out(f"{described(call)} and what follows")
            return
        try:
            for precision, error in errors(call):
                if not error <= BOUNDS[precision]:  # NaN is an error too
                    what = f"{described(call)} in {precision}"
                    findings.fail(what, f"error {error:.2g}, bound {BOUNDS[precision]:g}")
                compared += 1
        except Exception as error:
            findings.fail(described(call), one_line(error))
        findings["compared"] = compared


def errors(call: Call) -> Iterator[tuple[str, float]]:
    """The error in each precision, as a part of the largest value."""
    xp, kernels = launcher().xp, kernels_on(device("cuda"))
    hosts = [2 * a - 1.1 if isinstance(a, np.ndarray) else a for a in arguments(call)]
    args = [xp.asarray(a) if isinstance(a, np.ndarray) else a for a in hosts]
    wide = [xp.asarray(a.astype(np.float64)) if isinstance(a, np.ndarray) else a for a in hosts]
    expected = _result(getattr(reference, call[0]), wide)
    scale = float(xp.abs(expected).max())
    before = precisions.get_precision()
    try:
        for precision in ("fp32",) if "matmul" in call[0] else BOUNDS:
            precisions.set_precision(precision)
            actual = _result(getattr(kernels, call[0]), args)
            yield precision, float(xp.abs(actual - expected).max()) / scale
    finally:
        precisions.set_precision(before)


def _result(kernel: Callable[..., Any], args: list[Any]) -> Any:
    """What it returns, or if it works in place its first argument."""
    returned = kernel(*args)
    return args[0] if returned is None else returned


def convolutions(findings: Findings) -> None:
    """The GPU's time for each, in turns; the arithmetic is counted by the definition."""
    calls = _calls(findings, ("conv",))
    precisions = ("tf32",) if findings.quick else ("tf32", "fp32")
    makers: dict[str, Callable[..., Any]] = {}
    for precision in precisions:
        makers |= {f"minigan {precision}": minigan_call, f"torch {precision}": torch_call}
    cases = [{name: (call, name.split()[1]) for name in makers} for call in calls]
    rounds, seconds = (2, 0.02) if findings.quick else (3, 0.03)
    timed = alternate_all(makers, cases, rounds, seconds)
    for call, timings in zip(calls, timed, strict=True):
        row: dict[str, Any] = {"call": described(call), "flop": flop(call)}
        for program, timing in timings.items():
            if isinstance(timing, ProgramError):
                findings.fail(f"{described(call)}: {program}", str(timing))
            else:
                row[program] = asdict(timing)
        findings.add("calls", row)
        if findings.left() < 5 and call != calls[-1]:
            findings.leave_out(f"what follows {described(call)}")
            return


def _calls(findings: Findings, kinds: tuple[str, ...]) -> list[Call]:
    """The distinct calls of all workloads' steps, the workloads with goals first."""
    calls: dict[Call, None] = {}
    for name in _QUICK if findings.quick else WORKLOADS:
        workload, changes, *_ = WORKLOADS[name]
        try:
            calls |= dict.fromkeys(recorded(workload, "cuda", **changes))
        except Exception as error:
            findings.fail(f"recording {name}", one_line(error))
    return [call for call in calls if any(kind in call[0] for kind in kinds)]


def minigan_call(call: Call, precision: str) -> GpuTime:
    """The time of the call in minigan."""
    precisions.set_precision(precision)
    kernel = getattr(kernels_on(device("cuda")), call[0])
    xp = launcher().xp
    args = [xp.asarray(a) if isinstance(a, np.ndarray) else a for a in arguments(call)]
    return GpuTime(MiniganClock(), lambda: kernel(*args))


def torch_call(call: Call, precision: str, on: str = "cuda") -> GpuTime:
    """The time of the same in PyTorch, in its default layout and with cuDNN's fastest kernel."""
    import torch

    use_precision(torch, precision)
    torch.set_grad_enabled(False)
    args = [torch.as_tensor(a, device=on) if isinstance(a, np.ndarray) else a
            for a in arguments(call)]  # fmt: skip
    with torch.device(on):  # some counterparts make arrays of their own, once
        work = COUNTERPARTS[call[0]](torch, *args)
    return GpuTime(TorchClock(), work)
