"""Programs timed in turns, A B A B, each in a process of its own.

On a shared machine a minute is not like the next: in turns, both meet the same minutes. Apart, so
that one's waiting threads do not take cores from the other; the one that is not being timed sleeps.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from minigan.errors import MiniganError

# Makes the function to time: called in the new process, with the arguments given to `alternate`.
# A function that knows its own memory, as one on a GPU does, has it as its attribute `peak_mb`; one
# that needs more calls than the first before it runs as it will has their number as `warm_up`.
Maker = Callable[..., Callable[[], Any]]


class Seconds(float):
    """What a function returns that takes its time itself, by a clock of the GPU."""


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: median, and the quartiles around it; peak memory in MB."""

    median: float
    low: float
    high: float
    calls: int
    first: float  # the first call of all, with whatever is compiled or built then
    peak_mb: float


class ProgramError(MiniganError):
    """A timed program failed; the message names it and its last line of output."""

    def __init__(self, message: str, program: str = "") -> None:
        super().__init__(message)
        self.program = program


def alternate(
    programs: dict[str, tuple[Maker, tuple[Any, ...]]], rounds: int, seconds: float
) -> dict[str, Timing]:
    """Time each program for about `seconds` in each of `rounds` rounds, in turns.

    Before the first round each runs for as long as a turn, to warm up.
    """
    makers = {name: maker for name, (maker, _) in programs.items()}
    case = {name: args for name, (_, args) in programs.items()}
    timed = next(alternate_cases(makers, [case], rounds, seconds))
    if isinstance(timed, ProgramError):
        raise timed
    return timed


def alternate_cases(
    makers: dict[str, Maker],
    cases: Iterable[dict[str, tuple[Any, ...]]],
    rounds: int,
    seconds: float,
) -> Iterator[dict[str, Timing] | ProgramError]:
    """`alternate` for many cases in the same processes; a case holds each maker's arguments.

    A case of which a program fails yields the error; that program's next case has a new process.
    """
    workers: dict[str, _Worker] = {}
    try:
        for case in cases:
            for name in case.keys() - workers.keys():
                workers[name] = _Worker(name, makers[name])
            try:
                timed: dict[str, Timing] | ProgramError = _alternate(
                    {name: workers[name] for name in case}, case, rounds, seconds
                )
            except ProgramError as error:
                timed = error
                workers.pop(error.program).stop()
            yield timed
    finally:
        _stop(workers)


def alternate_all(
    makers: dict[str, Maker],
    cases: Iterable[dict[str, tuple[Any, ...]]],
    rounds: int,
    seconds: float,
) -> Iterator[dict[str, Timing | ProgramError]]:
    """`alternate_cases`, but a program that fails in a case takes only its own figure with it: the
    case is timed again without it."""
    waiting: deque[dict[str, tuple[Any, ...]]] = deque()
    timed = alternate_cases(makers, iter(waiting.popleft, None), rounds, seconds)
    for case in cases:
        failed: dict[str, Timing | ProgramError] = {}
        while left := {name: args for name, args in case.items() if name not in failed}:
            waiting.append(left)
            timings = next(timed)
            if not isinstance(timings, ProgramError):
                failed |= timings
                break
            failed[timings.program] = timings
        yield {name: failed[name] for name in case}
    timed.close()  # type: ignore[attr-defined]


def _alternate(
    workers: dict[str, _Worker], case: dict[str, tuple[Any, ...]], rounds: int, seconds: float
) -> dict[str, Timing]:
    times: dict[str, list[float]] = {name: [] for name in workers}
    first: dict[str, float] = {}
    peak: dict[str, float] = {}
    for name, worker in workers.items():
        first[name] = worker.ask(_Case(case[name]))[0][0]
        worker.ask(_Turn(seconds - first[name]))
    for _ in range(rounds):
        for name, worker in workers.items():
            measured, peak[name] = worker.ask(_Turn(seconds))
            times[name] += measured
    return {name: _timing(times[name], first[name], peak[name]) for name in workers}


def _timing(times: list[float], first: float, peak_mb: float) -> Timing:
    low, median, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return Timing(median, low, high, len(times), first, peak_mb)


@dataclass(frozen=True)
class _Case:
    """Make the function of these arguments, and call it once."""

    args: tuple[Any, ...]


@dataclass(frozen=True)
class _Turn:
    """Call the function again and again, for at least so many seconds, and at least once."""

    seconds: float


class _Worker:
    """A process that makes functions and times them."""

    def __init__(self, name: str, maker: Maker) -> None:
        context = multiprocessing.get_context("spawn")
        self._name = name
        self._connection, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, maker), daemon=True)
        self._process.start()
        there.close()

    def ask(self, request: _Case | _Turn) -> tuple[list[float], float]:
        """The seconds of each call, and the process's peak memory in MB."""
        try:
            self._connection.send(request)
            answer = self._connection.recv()
        except (EOFError, ConnectionError):
            message = f"{self._name}: its process died (out of memory?)"
            raise ProgramError(message, self._name) from None
        if isinstance(answer, str):
            raise ProgramError(f"{self._name}: {answer}", self._name)
        return answer  # type: ignore[no-any-return]

    def stop(self) -> None:
        self._connection.close()
        self._process.join(timeout=5)
        if self._process.is_alive():
            self._process.terminate()


def _stop(workers: dict[str, _Worker]) -> None:
    while workers:
        workers.popitem()[1].stop()


def _serve(connection: Connection, maker: Maker) -> None:
    """Answer requests until the pipe closes."""
    function: Callable[[], Any] | None = None
    try:
        while True:
            request = connection.recv()
            if isinstance(request, _Case):
                function = None  # so that the last case's memory is free for this one
                function = maker(*request.args)
            assert function is not None
            measured = _run(function, request.seconds if isinstance(request, _Turn) else 0.0)
            if isinstance(request, _Case):
                for _ in range(getattr(function, "warm_up", 0)):
                    function()
            connection.send(measured)
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return  # the other side is done, or was stopped
    except Exception as error:
        traceback.print_exc()  # for who mends it; the table has one line
        connection.send(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _run(function: Callable[[], Any], seconds: float) -> tuple[list[float], float]:
    times: list[float] = []
    start = time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        result = function()
        taken = time.perf_counter() - before
        times.append(float(result) if isinstance(result, Seconds) else taken)
    host_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return times, getattr(function, "peak_mb", host_mb)
