"""A stage of benchmarks.gpu_check: what it costs to ask the GPU for something small.

Microseconds of the CPU for each, asked for in a row; of a graph's launch too, and how long the GPU
takes for each of its nodes. A step of many small kernels cannot be faster than their sum.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu_stage import Findings
from benchmarks.gpu_time import Clock, GpuTime, MiniganClock, TorchClock
from minigan import creation, no_grad
from minigan.backends import kernels_on
from minigan.backends.cuda.graph import Graph
from minigan.backends.cuda.launch import CupyLauncher, launcher, use_launcher
from minigan.device import device

_EMPTY = 'extern "C" __global__ void empty() {}'
_ROW = 200  # asked for in a row: fewer than a stream holds before the CPU has to wait
NODES = (10, 100, 1000)


def launches(findings: Findings) -> None:
    """Ours and CuPy's, then PyTorch's."""
    clock, xp = MiniganClock(), launcher().xp
    empty = xp.RawKernel(_EMPTY, "empty")
    x = xp.ones((32, 32), dtype=np.float32)
    kernels = kernels_on(device("cuda"))
    tensor = creation.ones(32, 32, device="cuda")
    findings.attempt("empty RawKernel", lambda: microseconds(clock, lambda: empty((1,), (1,), ())))
    findings.attempt("our launcher", lambda: microseconds(clock, a_launch(lambda: kernels.relu(x))))
    findings.attempt("a kernel of ours", lambda: microseconds(clock, lambda: kernels.relu(x)))
    findings.attempt("CuPy's x + x", lambda: microseconds(clock, lambda: x + x))
    findings.attempt("CuPy's empty", lambda: microseconds(clock, lambda: xp.empty((32, 32))))
    with no_grad():
        findings.attempt("minigan's x + x", lambda: microseconds(clock, lambda: tensor + tensor))
    for nodes in NODES:
        findings.attempt(f"graph of {nodes}", lambda n=nodes: a_graph(clock, kernels, x, n))
    findings.attempt("PyTorch", lambda: in_pytorch(findings.quick))


def microseconds(clock: Clock, ask: Callable[[], Any], row: int = _ROW) -> float:
    """Of the CPU, for one `ask()`; the least of several rows, which others disturb least."""
    ask()
    best = float("inf")
    for _ in range(7):
        clock.synchronize()
        start = time.perf_counter()
        for _ in range(row):
            ask()
        best = min(best, time.perf_counter() - start)
    clock.synchronize()
    return 1e6 * best / row


def a_launch(work: Callable[[], Any]) -> Callable[[], Any]:
    """The one launch that `work` makes, by itself: no array is made, no argument prepared."""
    made: list[tuple[Any, ...]] = []
    inner = launcher()

    class Recording(CupyLauncher):
        def __init__(self) -> None:
            self.xp = inner.xp

        def launch(self, *launch: Any) -> None:
            made.append(launch)
            inner.launch(*launch)

    with use_launcher(Recording()):
        work()
    (launch,) = made
    return lambda: inner.launch(*launch)


def a_graph(clock: Clock, kernels: Any, x: Any, nodes: int) -> dict[str, float]:
    """A graph of so many small launches, each of which waits for the one before."""
    graph = Graph()

    def work() -> Any:
        y = x
        for _ in range(nodes):
            y = kernels.relu(y)
        return y

    with graph.apart():
        work()  # fills the graph's pool
    result = graph.record(work, 0, 0)
    replay = GpuTime(clock, lambda: graph.launch(0, 0), repeats=5)
    gpu = sorted(replay() for _ in range(5))[2]
    cpu = microseconds(clock, lambda: graph.launch(0, 0), row=5)
    del result
    return {"CPU us a launch": cpu, "GPU us a node": 1e6 * gpu / nodes}


def in_pytorch(quick: bool) -> dict[str, Any]:
    """The same of PyTorch, for comparison."""
    import torch

    clock, x = TorchClock(), torch.ones(32, 32, device="cuda")
    costs: dict[str, Any] = {}
    with torch.no_grad():
        costs["x + x"] = microseconds(clock, lambda: x + x)
        costs["relu"] = microseconds(clock, lambda: torch.relu(x))
        for nodes in NODES[:2] if quick else NODES:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                y = x
                for _ in range(nodes):
                    y = torch.relu(y)
            gpu = sorted(GpuTime(clock, graph.replay, repeats=5)() for _ in range(5))[2]
            costs[f"graph of {nodes}"] = {
                "CPU us a launch": microseconds(clock, graph.replay, row=5),
                "GPU us a node": 1e6 * gpu / nodes,
            }
    return costs
