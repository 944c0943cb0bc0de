"""A stage of benchmarks.gpu_check: where a step's time goes, for the steps that miss their goal.

First by events around each of our launches, which needs nothing but CUDA: the GPU spins until a
whole eager step is asked for, so that each kernel follows the one before. What is not ours (CuPy's
own kernels, copies) is the rest. Then by PyTorch's profiler, which sees every kernel of a process,
for minigan's replayed step and for PyTorch's.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.gpu_stage import Findings
from benchmarks.gpu_steps import QUICK, minigan_program, model, torch_program
from benchmarks.gpu_steps import use_precision as use_torch_precision
from benchmarks.gpu_tables import missed_goals
from benchmarks.gpu_time import MiniganClock
from minigan.backends.cuda.launch import CupyLauncher, launcher, use_launcher
from minigan.backends.cuda.precision import set_precision

_CYCLES_A_SECOND = 2_000_000_000  # at most, of today's GPUs
_SHOWN = 40  # kernels


def profile(findings: Findings) -> None:
    """The workloads whose goals `steps` missed; without its results, those of a quick run."""
    set_precision("tf32")
    rows = findings.of("steps").get("rows")
    names = QUICK if rows is None else [goal["workload"] for goal in missed_goals(rows)]
    findings["workloads"] = list(dict.fromkeys(names))
    for name in findings.content["workloads"]:
        if findings.left() < 10:
            findings.leave_out(f"{name} and what follows")
            return
        findings.attempt(f"{name}: launches", lambda n=name: by_events(model(n, "cuda")))
        findings.attempt(f"{name}: minigan's kernels", lambda n=name: minigan_kernels(n))
        findings.attempt(f"{name}: PyTorch's kernels", lambda n=name: torch_kernels(n))


class TimedLaunches(CupyLauncher):
    """Launches with an event before and after each."""

    def __init__(self, clock: Any) -> None:
        self._inner, self._clock = launcher(), clock
        self.xp = self._inner.xp
        self.capability = self._inner.capability
        self.multiprocessors = self._inner.multiprocessors
        self.times: list[tuple[str, Any, Any]] = []

    def launch(self, file: str, kernel: str, *launch: Any) -> None:
        before = self._clock.event()
        self._inner.launch(file, kernel, *launch)
        self.times.append((kernel, before, self._clock.event()))

    def address(self, array: Any) -> int:
        return self._inner.address(array)


def by_events(gan: Any) -> dict[str, Any]:
    """Milliseconds and number of launches of each kernel in an eager step, the longest first."""
    clock = MiniganClock()
    step = minigan_program(gan, "eager")
    timed = TimedLaunches(clock)
    with use_launcher(timed):
        for _ in range(3):
            step()
        clock.synchronize()
        start = time.perf_counter()
        step()
        asking = time.perf_counter() - start
        clock.synchronize()
        timed.times.clear()
        # Waiting launches may fill the stream; the GPU has work all the same from there on.
        clock.hold(int(min(2.0, 1.5 * asking) * _CYCLES_A_SECOND))
        first = clock.event()
        step()
        whole = clock.between(first, clock.event())
    kernels = ((kernel, 1, clock.between(before, after)) for kernel, before, after in timed.times)
    rows = _longest(kernels)
    return {
        "step ms": 1e3 * whole,
        "asking ms": 1e3 * asking,
        "launches": len(timed.times),
        "other ms": 1e3 * whole - sum(row["ms"] for row in rows),
        "kernels": rows[:_SHOWN],
    }


def minigan_kernels(name: str) -> list[dict[str, Any]]:
    """All kernels of minigan's replayed step."""
    step = minigan_program(model(name, "cuda"), "graph")
    for _ in range(4):
        step()
    return _profiled(step)


def torch_kernels(name: str) -> list[dict[str, Any]]:
    """All kernels of PyTorch's step."""
    import torch

    use_torch_precision(torch, "tf32")
    step = torch_program(torch, model(name, "cpu"), "eager", "default", "cuda")
    for _ in range(3):
        step()
    return _profiled(step)


def _profiled(step: Callable[[], Any], steps: int = 5) -> list[dict[str, Any]]:
    import torch
    from torch.profiler import ProfilerActivity

    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
    kernels = (
        (event.key, event.count, 1e-6 * event.self_device_time_total)
        for event in profiler.key_averages()
    )
    return _longest(((k, n / steps, s / steps) for k, n, s in kernels))[:_SHOWN]


def _longest(kernels: Iterable[tuple[str, float, float]]) -> list[dict[str, Any]]:
    """(kernel, number, seconds) summed by kernel, the longest first."""
    count: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    for kernel, number, took in kernels:
        count[kernel] += number
        seconds[kernel] += took
    return [
        {"kernel": kernel, "times": count[kernel], "ms": 1e3 * seconds[kernel]}
        for kernel in sorted(seconds, key=lambda kernel: -seconds[kernel])
        if seconds[kernel] > 0
    ]
