"""How long each kernel call of a training step takes, beside the same operation in PyTorch.

    python -m benchmarks.ops                                   the calls of every workload
    python -m benchmarks.ops --compare torch --workloads acgan dcgan_64

The calls are those that a step of the workload makes, recorded while it runs, each timed by
itself on random arrays of the recorded shapes. For convolutions and matrix products the table also
says which share of the machine's matrix product speed (float32, 2048x2048, the same threads) they
reach, counting the arithmetic of the definition: a kernel that saves some can pass 100%.
"""

from __future__ import annotations

import importlib.util
import json
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

from benchmarks.alternating import alternate_cases
from benchmarks.machine import facts
from benchmarks.steps import RESULTS, WORKLOADS, batch_for, chosen
from minigan import models
from minigan.backends import kernels_for
from minigan.backends.protocol import NAMES
from minigan.cli import one_line_errors
from minigan.errors import ConfigError
from minigan.training.options import parse_flags

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
    rounds: int = 3
    """Turns of each side."""
    seconds: float = 0.2
    """Length of a turn."""
    out: Path = RESULTS
    """Folder for the JSON file."""


def main(args: list[str]) -> int:
    """Record and time the calls, print a table and write a JSON file."""
    options = parse_flags(Options, args, "python -m benchmarks.ops", "Time kernel calls.")
    names = chosen(options.workloads)
    makers: dict[str, Callable[..., Any]] = {"minigan": minigan_call}
    if options.compare == "torch":
        if importlib.util.find_spec("torch") is None:
            raise ConfigError("PyTorch is not installed: install it, or leave --compare torch out")
        makers["torch"] = torch_call
    threads = int(options.threads or facts()["cores"] or 1)  # type: ignore[call-overload]
    os.environ["MINIGAN_NUM_THREADS"] = str(threads)
    # Each in a process of its own, whose memory is gone before anything is timed.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        counts = dict(zip(names, processes.map(recorded, names), strict=True))
    calls = list(dict.fromkeys([PEAK, *(call for made in counts.values() for call in made)]))
    cases = ({"minigan": (call,), "torch": (call, threads)} for call in calls)
    cases = ({name: case[name] for name in makers} for case in cases)
    timed = alternate_cases(makers, cases, options.rounds, options.seconds)
    rows: list[dict[str, Any]] = []
    print(f"{'call':<78} {'ms':>9} {'PyTorch':>9} {'ratio':>6} {'share':>6}")
    for call, timings in zip(calls, timed, strict=True):
        row: dict[str, Any] = {"call": described(call), "kernel": call[0]}
        row |= {name: asdict(timing) for name, timing in timings.items()}
        if "torch" in timings:
            row["ratio"] = timings["torch"].median / timings["minigan"].median
        if operations := flop(call):
            rate = operations / timings["minigan"].median
            peak = rate if call == PEAK else 1e9 * rows[0]["gflop_s"]
            row |= {"gflop_s": rate / 1e9, "share_of_peak": rate / peak}
        rows.append(row)
        print(_line(row), flush=True)
    result = {
        "kind": "ops",
        "command": " ".join(["python -m benchmarks.ops", *args]),
        "threads": threads,
        "machine": facts(),
        "workloads": {
            name: {described(call): times for call, times in made.items()}
            for name, made in counts.items()
        },
        "calls": rows,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"ops-cpu-{facts()['date']}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"written to {path.name}")
    return 0


def _line(row: dict[str, Any]) -> str:
    torch = f"{1e3 * row['torch']['median']:9.3f}" if "torch" in row else " " * 9
    ratio = f"{row['ratio']:6.2f}" if "ratio" in row else " " * 6
    share = f"{row['share_of_peak']:6.0%}" if "share_of_peak" in row else ""
    return f"{row['call']:<78} {1e3 * row['minigan']['median']:9.3f} {torch} {ratio} {share}"


def recorded(workload: str) -> dict[Call, int]:
    """How often one step of the workload makes each kernel call that PyTorch has too."""
    model, overrides, _ = WORKLOADS[workload]
    gan = models.create(model, **overrides)
    batch = batch_for(gan)
    kernels: Any = kernels_for(batch[0])
    originals = {name: getattr(kernels, name) for name in NAMES}
    calls: Counter[Call] = Counter()

    def recording(name: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            shapes = tuple(("shape", *a.shape) if isinstance(a, np.ndarray) else a for a in args)
            largest = max((a.size for a in args if isinstance(a, np.ndarray)), default=0)
            if name in _TORCH and largest > _SMALLEST:
                # Adam's last argument, the number of its step, changes nothing of its time.
                calls[(name, *(shapes[:-1] + (1,) if name == "adam_step" else shapes))] += 1
            return originals[name](*args)

        return call

    try:
        for name in NAMES:
            setattr(kernels, name, recording(name))
        gan.step(batch)
    finally:
        for name, original in originals.items():
            setattr(kernels, name, original)
    return dict(calls)


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


def _arguments(call: Call) -> list[Any]:
    """Random float32 arrays, positive so that they serve as variances too, in place of shapes."""
    rng = np.random.default_rng(0)
    return [
        rng.uniform(0.1, 1.0, value[1:]).astype(np.float32)
        if isinstance(value, tuple) and value[:1] == ("shape",)
        else value
        for value in call[1:]
    ]


def minigan_call(call: Call) -> Callable[[], Any]:
    """A function that makes the call."""
    args = _arguments(call)
    kernel = getattr(kernels_for(np.zeros(0, np.float32)), call[0])
    return lambda: kernel(*args)


def torch_call(call: Call, threads: int) -> Callable[[], Any]:
    """A function that computes the same in PyTorch, in its default layout."""
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    args = [torch.from_numpy(a) if isinstance(a, np.ndarray) else a for a in _arguments(call)]
    return _TORCH[call[0]](torch, *args)


def _conv_backward(
    torch: Any, grad: Any, x: Any, weight: Any, geometry: tuple[Any, ...], wanted: list[bool]
) -> Any:
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, dilation, False, [0, 0], groups, wanted
    )


def _conv2d_input_grad(
    torch: Any, grad: Any, weight: Any, bias: Any, hw: Any, *geometry: Any
) -> Any:
    if bias is None:
        x = torch.empty(grad.shape[0], weight.shape[1] * geometry[-1], *hw)
        return lambda: _conv_backward(torch, grad, x, weight, geometry, [True, False, False])
    stride, padding, dilation, groups = geometry  # a transposed convolution
    least = [
        (grad.shape[2 + i] - 1) * stride[i]
        - 2 * padding[i]
        + dilation[i] * (weight.shape[2 + i] - 1)
        + 1
        for i in range(2)
    ]
    extra = [size - low for size, low in zip(hw, least, strict=True)]
    args = (stride, padding, extra, groups, dilation)
    return lambda: torch.conv_transpose2d(grad, weight, bias, *args)


def _conv2d_weight_grad(torch: Any, x: Any, grad: Any, kernel: Any, *geometry: Any) -> Any:
    weight = torch.empty(grad.shape[1], x.shape[1] // geometry[-1], *kernel)
    return lambda: _conv_backward(torch, grad, x, weight, geometry, [False, True, False])


_THREE_BY_THREE = ((1, 1), (1, 1), (1, 1), 1)


def _upsample_conv2d(torch: Any, x: Any, weight: Any, bias: Any) -> Any:
    F = torch.nn.functional
    return lambda: F.conv2d(F.interpolate(x, scale_factor=2), weight, bias, padding=1)


def _upsample_conv2d_input_grad(torch: Any, grad: Any, weight: Any) -> Any:
    n, _, h, w = grad.shape
    shape = (n, weight.shape[1], h // 2, w // 2)
    x = torch.empty(n, weight.shape[1], h, w)

    def call() -> Any:
        back, _, _ = _conv_backward(torch, grad, x, weight, _THREE_BY_THREE, [True, False, False])
        return torch.ops.aten.upsample_nearest2d_backward(back, [h, w], shape, 2.0, 2.0)

    return call


def _upsample_conv2d_weight_grad(torch: Any, x: Any, grad: Any) -> Any:
    weight = torch.empty(grad.shape[1], x.shape[1], 3, 3)
    upsampled = torch.nn.functional.interpolate(x, scale_factor=2)  # kept since the forward pass
    wanted = [False, True, False]
    return lambda: _conv_backward(torch, grad, upsampled, weight, _THREE_BY_THREE, wanted)


def _batch_norm(torch: Any, x: Any, weight: Any, bias: Any, eps: float) -> Any:
    return lambda: torch.native_batch_norm(x, weight, bias, None, None, True, 0.1, eps)


def _batch_norm_backward(
    torch: Any, grad: Any, x: Any, weight: Any, mean: Any, var: Any, eps: float
) -> Any:
    inverse = 1 / torch.sqrt(var + eps)
    return lambda: torch.ops.aten.native_batch_norm_backward(
        grad, x, weight, None, None, mean, inverse, True, eps, [True, True, True]
    )


def _adam_step(torch: Any, param: Any, grad: Any, *state: Any) -> Any:
    param.grad = grad
    optimizer = torch.optim.Adam([param], lr=state[2], betas=state[3:5], fused=True)
    return optimizer.step


_TORCH: dict[str, Callable[..., Callable[[], Any]]] = {
    "conv2d": lambda torch, *args: lambda: torch.conv2d(*args),
    "conv2d_input_grad": _conv2d_input_grad,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "upsample_conv2d": _upsample_conv2d,
    "upsample_conv2d_input_grad": _upsample_conv2d_input_grad,
    "upsample_conv2d_weight_grad": _upsample_conv2d_weight_grad,
    "matmul": lambda torch, a, b: lambda: torch.matmul(a, b),
    "batch_norm": _batch_norm,
    "batch_norm_backward": _batch_norm_backward,
    "relu": lambda torch, x: lambda: torch.relu(x),
    "relu_backward": lambda torch, grad, y: lambda: torch.ops.aten.threshold_backward(grad, y, 0),
    "leaky_relu": lambda torch, x, slope: lambda: torch.nn.functional.leaky_relu(x, slope),
    "leaky_relu_backward": lambda torch, grad, x, slope: (
        lambda: torch.ops.aten.leaky_relu_backward(grad, x, slope, False)
    ),
    "tanh": lambda torch, x: lambda: torch.tanh(x),
    "tanh_backward": lambda torch, grad, y: lambda: torch.ops.aten.tanh_backward(grad, y),
    "adam_step": _adam_step,
}


if __name__ == "__main__":
    sys.exit(one_line_errors(lambda: main(sys.argv[1:])))
