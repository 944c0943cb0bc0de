"""How long each kernel call of a training step takes, beside the same operation in PyTorch.

    python -m benchmarks.ops                                   the calls of every workload
    python -m benchmarks.ops --compare torch --workloads acgan dcgan_64

The calls are those that a step of the workload makes, recorded while it runs, each timed by
itself on random arrays of the recorded shapes. For convolutions and matrix products the table also
says which share of the machine's matrix product speed (float32, 2048x2048, the same threads; the
fastest of minigan, NumPy's BLAS and PyTorch) they reach, counting the arithmetic of the definition:
a kernel that saves some can pass 100%.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.alternating import ProgramError, Timing, alternate_cases
from benchmarks.machine import cores
from benchmarks.result_file import RESULTS, require_torch, result_file
from benchmarks.steps import WORKLOADS, batch_for, chosen, updates
from benchmarks.torch_ops import COUNTERPARTS
from minigan import models
from minigan.backends import kernels_for, kernels_on
from minigan.backends.protocol import NAMES
from minigan.cli import one_line_errors
from minigan.device import gpu_index

# A kernel's name and its arguments; an array is given by its shape as Shape.
Call = tuple[Any, ...]
PEAK: Call = ("matmul", ("shape", 2048, 2048), ("shape", 2048, 2048))
_SMALLEST = 1 << 14  # elements: calls on less measure the call, not the kernel


@dataclass(frozen=True)
class Options:
    """What to time, against what, and for how long."""

    workloads: tuple[str, ...] = ()
    """Workloads whose calls are timed; all without it."""
    compare: Literal["none", "torch"] = "none"
    """What to compare with."""
    threads: int = 0
    """Threads of each side; 0 for all cores."""
    rounds: int = 8
    """Turns of each side."""
    seconds: float = 0.05
    """Length of a turn."""
    out: Path = RESULTS
    """Folder for the JSON file."""


def main(args: list[str]) -> int:
    """Record and time the calls, print a table and write a JSON file."""
    from minigan.training.options import parse_flags  # gpu_check runs without tyro

    options = parse_flags(Options, args, "python -m benchmarks.ops", "Time kernel calls.")
    names = chosen(options.workloads)
    makers: dict[str, Callable[..., Any]] = {"minigan": minigan_call, "numpy": numpy_product}
    if options.compare == "torch":
        require_torch()
        makers["torch"] = torch_call
    threads = options.threads or cores()
    os.environ["MINIGAN_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(threads)
    with result_file("ops", args, options.out) as result:
        # Each in a process of its own, whose memory is gone before anything is timed.
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
            counts = dict(zip(names, processes.map(recorded, names), strict=True))
        result["threads"] = threads
        result["workloads"] = {
            name: {described(call): times for call, times in made.items()}
            for name, made in counts.items()
        }
        rows: list[dict[str, Any]] = []
        failed: dict[str, str] = {}
        result |= {"calls": rows, "failed": failed}
        calls = list(dict.fromkeys([PEAK, *(call for made in counts.values() for call in made)]))
        cases = (
            {name: (call, threads) for name in makers if name != "numpy" or call == PEAK}
            for call in calls
        )
        timed = alternate_cases(makers, cases, options.rounds, options.seconds)
        print(f"{'call':<78} {'ms':>9} {'PyTorch':>9} {'ratio':>6} {'share':>6}")
        for call, timings in zip(calls, timed, strict=True):
            if isinstance(timings, ProgramError):
                failed[described(call)] = str(timings)
                print(f"{described(call):<78} failed: {timings}", flush=True)
                continue
            if call == PEAK:
                fastest = min(timing.median for timing in timings.values())
                result["peak_gflop_s"] = 1e-9 * flop(PEAK) / fastest
            rows.append(row := _row(call, timings, result.get("peak_gflop_s")))
            print(_line(row), flush=True)
    return 1 if failed else 0


def _row(call: Call, timings: dict[str, Timing], peak: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {"call": described(call), "kernel": call[0]}
    row |= {name: asdict(timing) for name, timing in timings.items()}
    if "torch" in timings:
        row["ratio"] = timings["torch"].median / timings["minigan"].median
    if operations := flop(call):
        row["gflop_s"] = 1e-9 * operations / timings["minigan"].median
        if peak:
            row["share_of_peak"] = row["gflop_s"] / peak
    return row


def _line(row: dict[str, Any]) -> str:
    torch = f"{1e3 * row['torch']['median']:9.3f}" if "torch" in row else " " * 9
    ratio = f"{row['ratio']:6.2f}" if "ratio" in row else " " * 6
    share = f"{row['share_of_peak']:6.0%}" if "share_of_peak" in row else ""
    return f"{row['call']:<78} {1e3 * row['minigan']['median']:9.3f} {torch} {ratio} {share}"


def recorded(workload: str, device: str = "cpu", **changes: Any) -> dict[Call, int]:
    """How often one step of the workload makes each kernel call that PyTorch has too."""
    model, overrides, _ = WORKLOADS[workload]
    gan = models.create(model, device, **(overrides | changes))
    batch = batch_for(gan)
    kernels: Any = kernels_on(gan.device)
    originals = {name: getattr(kernels, name) for name in NAMES}
    calls: Counter[Call] = Counter()

    def recording(name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            for kernel, single in _singles(name, args):
                arrays = [a for a in single if _is_array(a)]
                if kernel in COUNTERPARTS and max((a.size for a in arrays), default=0) > _SMALLEST:
                    shapes = (("shape", *a.shape) if _is_array(a) else a for a in single)
                    calls[(kernel, *shapes)] += 1
            return originals[name](*args)

        return call

    try:
        for name in NAMES:
            setattr(kernels, name, recording(name))
        for _ in range(updates(gan)):
            gan.step(batch)
    finally:
        for name, original in originals.items():
            setattr(kernels, name, original)
    return dict(calls)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or gpu_index(value) is not None


def _singles(name: str, args: tuple[Any, ...]) -> list[tuple[str, tuple[Any, ...]]]:
    """The call itself, a convolution without its activation, or of Adam over many parameters the
    call for each: at step 1, since the number of the step changes nothing of its time."""
    if name == "conv2d_activation":
        return [("conv2d", args[:-1])]
    if name != "adam_steps":
        return [(name, args)]
    *lists, clock, _, beta1, beta2, eps, weight_decay, decoupled = args
    rest = (float(clock[0]), beta1, beta2, eps, weight_decay, decoupled, 1)
    return [("adam_step", (*arrays, *rest)) for arrays in zip(*lists, strict=True)]


def described(call: Call) -> str:
    """The call in a line: shapes as 64x128x8x8, the numbers as they are."""
    texts = []
    for value in call[1:]:
        if isinstance(value, tuple) and value[:1] == ("shape",):
            texts.append("x".join(map(str, value[1:])))
        elif isinstance(value, tuple):
            texts.append("/".join(map(str, value)))
        elif value is not None:
            texts.append(f"{value:g}")
    return f"{call[0]} {' '.join(texts)}"


def flop(call: Call) -> int:
    """Multiplications and additions by the definition, for bilinear kernels; else 0."""
    kernel, *args = call
    if kernel == "add_matmul":
        return flop(("matmul", *args[1:]))
    if kernel == "matmul":
        (*batch, rows, inner), columns = args[0][1:], args[1][-1]
        return int(2 * np.prod(batch, dtype=int) * rows * inner * columns)
    if kernel.endswith("weight_grad"):  # x, grad [N,K,OH,OW], and the kernel's height and width
        taps = 9 if kernel.startswith("upsample") else args[2][0] * args[2][1]
        groups = 1 if kernel.startswith("upsample") else args[-1]
        n, k, oh, ow = args[1][1:]
        return int(2 * n * k * oh * ow * args[0][2] // groups * taps)
    if kernel.endswith("conv2d_input_grad"):
        (n, k, oh, ow), (_, c, kh, kw) = args[0][1:], args[1][1:]
        return int(2 * n * k * oh * ow * c * kh * kw)
    if kernel == "upsample_conv2d":
        (n, c, h, w), k = args[0][1:], args[1][1]
        return int(2 * n * c * 4 * h * w * k * 9)
    if kernel == "conv2d":
        (n, _, h, w), (k, c, kh, kw), stride, padding, dilation = (
            args[0][1:],
            args[1][1:],
            *args[3:6],
        )
        oh, ow = (
            (size + 2 * p - d * (kernel_size - 1) - 1) // s + 1
            for size, p, d, kernel_size, s in zip(
                (h, w), padding, dilation, (kh, kw), stride, strict=True
            )
        )
        return int(2 * n * k * oh * ow * c * kh * kw)
    return 0


def arguments(call: Call) -> list[Any]:
    """Random float32 arrays, positive so that they serve as variances too, in place of shapes."""
    rng = np.random.default_rng(0)
    return [
        rng.uniform(0.1, 1.0, value[1:]).astype(np.float32)
        if isinstance(value, tuple) and value[:1] == ("shape",)
        else value
        for value in call[1:]
    ]


def minigan_call(call: Call, threads: int) -> Callable[[], Any]:
    """A function that makes the call; its process was started for so many threads."""
    args = arguments(call)
    kernel = getattr(kernels_for(np.zeros(0, np.float32)), call[0])
    return lambda: kernel(*args)


def numpy_product(call: Call, threads: int) -> Callable[[], Any]:
    """A function that computes a matrix product by NumPy's BLAS, held at so many threads by its
    process's environment."""
    a, b = arguments(call)
    return lambda: a @ b


def torch_call(call: Call, threads: int) -> Callable[[], Any]:
    """A function that computes the same in PyTorch, in its default layout."""
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    args = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arguments(call)]
    return COUNTERPARTS[call[0]](torch, *args)


if __name__ == "__main__":
    sys.exit(one_line_errors(lambda: main(sys.argv[1:])))
