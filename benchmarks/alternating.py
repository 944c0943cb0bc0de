"""Two programs timed in turns, A B A B, each in a process of its own.

On a shared machine a minute is not like the next: in turns, both meet the same minutes. Apart, so
that one's waiting threads do not take cores from the other; the one that is not being timed sleeps.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

# Makes the function to time: called in the new process, with the arguments given to `alternate`.
Maker = Callable[..., Callable[[], Any]]


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: median, and the quartiles around it; peak memory in MB."""

    median: float
    low: float
    high: float
    calls: int
    first: float  # the first call of all, with whatever is compiled or built then
    peak_mb: float


class ProgramError(RuntimeError):
    """A timed program failed; the message ends with its traceback."""


def alternate(
    programs: dict[str, tuple[Maker, tuple[Any, ...]]],
    rounds: int,
    seconds: float,
    warm_up: int = 3,
) -> dict[str, Timing]:
    """Time each program for about `seconds` in each of `rounds` rounds, in turns."""
    context = multiprocessing.get_context("spawn")
    workers: dict[str, tuple[Any, Connection]] = {}
    times: dict[str, list[float]] = {name: [] for name in programs}
    first: dict[str, float] = {}
    peak: dict[str, float] = {}
    try:
        for name, (maker, args) in programs.items():
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, maker, args), daemon=True)
            process.start()
            there.close()
            workers[name] = (process, here)
            first[name] = _ask(name, here, (1, 0.0))[0][0]
            _ask(name, here, (warm_up, 0.0))
        for _ in range(rounds):
            for name, (_, here) in workers.items():
                measured, peak[name] = _ask(name, here, (2, seconds))
                times[name] += measured
    finally:
        for process, here in workers.values():
            here.close()
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()
    return {name: _timing(times[name], first[name], peak[name]) for name in programs}


def _timing(times: list[float], first: float, peak_mb: float) -> Timing:
    low, median, high = statistics.quantiles(times, n=4)
    return Timing(median, low, high, len(times), first, peak_mb)


def _ask(name: str, connection: Connection, request: tuple[int, float]) -> Any:
    try:
        connection.send(request)
        answer = connection.recv()
    except (EOFError, BrokenPipeError):
        raise ProgramError(f"{name}: its process died (out of memory?)") from None
    if isinstance(answer, str):
        raise ProgramError(f"{name}: {answer}")
    return answer


def _serve(connection: Connection, maker: Maker, args: tuple[Any, ...]) -> None:
    """Until the pipe closes: call the function (at least n times, for at least so many seconds)."""
    try:
        function = maker(*args)
        while True:
            least, seconds = connection.recv()
            times: list[float] = []
            start = time.perf_counter()
            while len(times) < least or time.perf_counter() - start < seconds:
                before = time.perf_counter()
                function()
                times.append(time.perf_counter() - before)
            kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            connection.send((times, kilobytes / 1024))
    except EOFError:
        return
    except Exception:
        connection.send(traceback.format_exc())
