"""One owner of the cores: compiled kernels release the GIL, and plain Python threads share them.

A kernel is a compiled function `kernel(chunk, chunks, *arrays)` that does its share of the work;
`run` calls it for every chunk, on as many threads as are free. How work is cut into chunks
depends on sizes alone, never on the number of threads, so results are the same bits on one core
and on many. Chunks are handed out as threads become free, which evens out busy machines: see
handover.py.

Numba's own `prange` is not used: its portable thread pool aborts when two Python threads enter
it, its OpenMP pool does not survive a fork, and each parallel function compiles twice as long.

No kernel calls a BLAS (`np.dot`), which would have a pool of its own: two thread pools on the same
cores make each other wait for whole scheduler ticks.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
from numba.core import event
from numba.core.caching import NullCache

from minigan.backends.cpu.handover import (
    Journal,
    all_asleep,
    lead,
    new_desk,
    packed,
    repeat_calls,
    serve,
)
from minigan.backends.cpu.included import included, included_as_is
from minigan.backends.cpu.machine_code import machine_code
from minigan.backends.cpu.stamp import stamp
from minigan.backends.recorded import Action, Tape, raw, tape
from minigan.errors import ConfigError

MAX_CHUNKS = 16

_FLOAT32 = np.dtype(np.float32)
_MOST_HELPERS = 63
_LOOKS = 1 << 14  # how often a helper looks for work before it sleeps

# The flags let LLVM vectorise sums and fuse multiply-add; NaN and infinity keep their meaning.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, and keep the machine code on disk where a folder allows it.

    The result takes a desk and a number of helpers before its arguments: call it by `run`. An inner
    loop had better read `table[i, 0]` than unpack `table[i]`: that is an array, whose references
    are counted.
    """
    inner = included_as_is(**_OPTIONS)(function)
    # Numba's cache knows a function by its file, line and name: the entry goes by its kernel's.
    place = function.__code__
    code = _entry.__code__.replace(
        co_filename=place.co_filename, co_firstlineno=place.co_firstlineno
    )
    names = {"__name__": function.__module__, "_kernel": inner, "packed": packed, "lead": lead}
    entry = FunctionType(code, names, function.__name__)
    entry.__qualname__ = f"{function.__qualname__}.{stamp(Path(place.co_filename))}"
    return machine_code(nogil=True, no_cfunc_wrapper=True)(entry)


def _entry(desk: int, helpers: int, chunks: int, *args: Any) -> Any:
    function, arguments, size = packed(_kernel, args)  # type: ignore[name-defined]  # noqa: F821
    return lead(desk, helpers, chunks, function, arguments, size)


helper = included(**_OPTIONS)  # what kernels of the same file call; compiled into them
inlined = included(forceinline=True, **_OPTIONS)  # a helper that must not cost a call


def chunks_for(size: int, smallest: int) -> int:
    """How many chunks: at most MAX_CHUNKS, each of at least `smallest` units of work."""
    return max(1, min(MAX_CHUNKS, size // max(smallest, 1)))


def all_float32(*arrays: Any) -> bool:
    """Whether the compiled kernels, which are float32 only, can take these arrays (or None)."""
    # A list, because a generator takes longer, and this is asked for each call of a kernel.
    return all([array is None or array.dtype == _FLOAT32 for array in arrays])


class _Pool:
    """Daemon threads that help; started at the first parallel call of a process."""

    def __init__(self) -> None:
        self.desk = new_desk(_MOST_HELPERS)
        self.address = self.desk.ctypes.data
        self.helpers = 0
        self._starting = threading.Lock()

    def start(self, helpers: int) -> None:
        with self._starting:
            while self.helpers < helpers:
                args = (self.address, self.helpers, _LOOKS)
                threading.Thread(
                    target=serve, args=args, name="minigan-kernel", daemon=True
                ).start()
                self.helpers += 1


_pool = _Pool()
_journal = Journal()


def _after_fork() -> None:
    global _pool
    _pool = _Pool()  # threads do not survive a fork


@atexit.register
def _rest() -> None:
    """Let the helpers fall asleep: none may run compiled code while it is taken down."""
    end = time.monotonic() + 1
    while not all_asleep(_pool.desk) and time.monotonic() < end:
        time.sleep(1e-3)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run(function: Callable[..., Any], chunks: int, *args: Any) -> None:
    """Let the kernel do every chunk, in any order. Raises MemoryError where one has no room."""
    if (now := tape()) is not None:
        _run_recorded(now, function, chunks, args)
        return
    helpers = min(_threads, chunks, _MOST_HELPERS + 1) - 1
    if helpers > _pool.helpers:
        _pool.start(helpers)
    if not function(_pool.address, helpers, chunks, *args):
        raise MemoryError(f"{function.__name__}: a kernel found no memory to work in")


@dataclass(frozen=True, eq=False)
class Call:
    """A kernel's call on a tape: the address of its machine code, its arguments, its chunks."""

    function: int
    arguments: np.ndarray
    chunks: int

    def __call__(self) -> None:
        _repeated([self])()


def _run_recorded(now: Tape, function: Callable[..., Any], chunks: int, args: Any) -> None:
    """Run a kernel on this thread alone, and put its call on the tape."""
    strange = [arg for arg in args if isinstance(arg, np.ndarray)]
    before = [array.copy() for array in strange]
    if not function(_journal.address, 0, chunks, *raw(args)):
        raise MemoryError(f"{function.__name__}: a kernel found no memory to work in")
    # What is not the recording's can be a constant. What a kernel writes is none.
    for array, was in zip(strange, before, strict=True):
        if array.tobytes() != was.tobytes():
            now.refuse(f"{function.__name__} writes to memory that is not the recording's")
        now.known(array)
    found = _journal.last()
    if found is None:
        now.refuse(f"{function.__name__} has too many arguments for the journal")
    else:
        now.append(Call(*found, chunks))


def compiled(actions: Sequence[Action]) -> list[Action]:
    """The same actions, the kernels that follow each other as one."""
    result: list[Action] = []
    for are_calls, group in groupby(actions, lambda action: isinstance(action, Call)):
        members: list[Any] = list(group)
        result += [_repeated(members)] if are_calls else members
    return result


def _repeated(calls: list[Call]) -> Action:
    """What makes recorded calls again, one after the other, without Python between them."""
    rows = [(call.function, call.arguments.ctypes.data, call.chunks) for call in calls]
    table = np.array(rows, np.int64)
    address, most = table.ctypes.data, max(call.chunks for call in calls)

    def again(keep: Any = (table, calls)) -> None:
        helpers = min(_threads, most, _MOST_HELPERS + 1) - 1
        if helpers > _pool.helpers:
            _pool.start(helpers)
        if not repeat_calls(_pool.address, helpers, address, len(rows)):
            raise MemoryError("a kernel of a recorded step found no memory to work in")

    return again


def _available_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _threads_from_environment() -> int:
    text = os.environ.get("MINIGAN_NUM_THREADS", "")
    if not text:
        return _available_cores()
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"MINIGAN_NUM_THREADS={text!r}: must be a whole number of at least 1")
    return int(text)


_threads = _threads_from_environment()


def get_num_threads() -> int:
    """How many threads a kernel may use."""
    return _threads


def set_num_threads(threads: int) -> None:
    """Use this many threads from now on. Raises ConfigError below 1."""
    global _threads
    if threads < 1:
        raise ConfigError(f"{threads} threads: use at least 1")
    _threads = int(threads)


class _CompilationNotice(event.Listener):
    """Says once, on a terminal, why the first step takes so long."""

    def __init__(self) -> None:
        self._said = False

    def on_start(self, event: Any) -> None:
        dispatcher = event.data["dispatcher"]
        ours = dispatcher.py_func.__module__.startswith("minigan.")
        if not self._said and ours and sys.stderr.isatty():
            how_often = "once per installation"
            if isinstance(dispatcher._cache, NullCache):
                how_often = "each time: no folder can keep them; NUMBA_CACHE_DIR may name one"
            print(f"compiling CPU kernels ({how_often})...", file=sys.stderr, flush=True)
            self._said = True

    def on_end(self, event: Any) -> None:
        """Nothing to say at the end."""


event.register("numba:compile", _CompilationNotice())
