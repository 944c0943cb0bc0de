"""The GPU's clock: how long work takes there, however long the CPU takes to ask for it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.alternating import Seconds
from minigan.backends.cuda.launch import launcher

_SPIN = """
extern "C" __global__ void spin(long long cycles) {
  const long long start = clock64();
  while (clock64() - start < cycles) {
  }
}
"""
_CYCLES, _MOST_CYCLES = 1 << 22, 1 << 30  # about 2 ms and half a second


class MiniganClock:
    """Events on CuPy's current stream."""

    def __init__(self) -> None:
        xp = launcher().xp
        self._cuda = xp.cuda
        self._spin = xp.RawKernel(_SPIN, "spin")

    def event(self) -> Any:
        event = self._cuda.Event()
        event.record()
        return event

    def is_past(self, event: Any) -> bool:
        return bool(event.done)

    def between(self, start: Any, end: Any) -> float:
        """Seconds; waits for `end`."""
        end.synchronize()
        return float(self._cuda.get_elapsed_time(start, end)) / 1e3

    def hold(self, cycles: int) -> None:
        """Keep the GPU busy while the CPU runs ahead."""
        self._spin((1,), (1,), (np.int64(cycles),))

    def synchronize(self) -> None:
        self._cuda.Device().synchronize()

    def release(self) -> None:
        """Give back memory that nobody uses."""
        gc.collect()
        launcher().xp.get_default_memory_pool().free_all_blocks()

    def held_bytes(self) -> int:
        """Of the GPU's memory, by all programs: CuPy's pools know only of themselves."""
        free, total = self._cuda.runtime.memGetInfo()
        return int(total - free)


class TorchClock:
    """Events on PyTorch's current stream."""

    def __init__(self) -> None:
        import torch

        self._torch = torch

    def event(self) -> Any:
        event = self._torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def is_past(self, event: Any) -> bool:
        return bool(event.query())

    def between(self, start: Any, end: Any) -> float:
        """Seconds; waits for `end`."""
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3

    def hold(self, cycles: int) -> None:
        """Keep the GPU busy while the CPU runs ahead."""
        self._torch.cuda._sleep(cycles)

    def synchronize(self) -> None:
        self._torch.cuda.synchronize()

    def release(self) -> None:
        """Give back memory that nobody uses."""
        gc.collect()
        self._torch.cuda.empty_cache()

    def held_bytes(self) -> int:
        """By PyTorch's pools, its graphs' among them."""
        return int(self._torch.cuda.memory_reserved())


Clock = MiniganClock | TorchClock


class GpuTime:
    """Called, it gives the GPU's seconds for one `work()`: of several, back to back.

    The GPU spins first, until all of them are asked for, so that it never waits for the CPU.
    """

    def __init__(self, clock: Clock, work: Callable[[], Any], repeats: int = 10) -> None:
        self._clock, self._work, self._repeats = clock, work, repeats
        self._cycles = _CYCLES
        work()  # compiles, chooses an algorithm
        clock.synchronize()

    def __call__(self) -> Seconds:
        while True:
            self._clock.hold(self._cycles)
            start = self._clock.event()
            for _ in range(self._repeats):
                self._work()
            waited = self._clock.is_past(start)
            seconds = self._clock.between(start, self._clock.event())
            if not waited or self._cycles >= _MOST_CYCLES:
                return Seconds(seconds / self._repeats)
            self._cycles *= 4


class StepTime:
    """Called, it gives the seconds of one `step()` in a row of them, launched as fast as they can.

    `peak_mb` is the GPU memory that the steps hold, their pools included.
    """

    def __init__(self, clock: Clock, make: Callable[[], Callable[[], Any]], warm_up: int) -> None:
        clock.release()
        before = clock.held_bytes()
        self._clock, self._step = clock, make()
        for _ in range(warm_up):
            self._step()
        clock.synchronize()
        self.peak_mb = (clock.held_bytes() - before) / 2**20
        self._steps = 1
        self._steps = max(1, min(100, round(0.02 / self())))  # a row of 20 ms

    def __call__(self) -> Seconds:
        start = time.perf_counter()
        for _ in range(self._steps):
            self._step()
        self._clock.synchronize()
        return Seconds((time.perf_counter() - start) / self._steps)
