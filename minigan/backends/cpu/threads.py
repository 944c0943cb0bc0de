"""One owner of the cores: compiled kernels release the GIL, and plain Python threads share them.

A kernel is a compiled function `kernel(chunk, chunks, *arrays)` that does its share of the work;
`run` calls it for every chunk, on as many threads as are free. How work is cut into chunks
depends on sizes alone, never on the number of threads, so results are the same bits on one core
and on many. Chunks are handed out as threads become free, which evens out busy machines.

Numba's own `prange` is not used: its portable thread pool aborts when two Python threads enter
it, its OpenMP pool does not survive a fork, and each parallel function compiles twice as long.

Inside a kernel `np.dot` calls SciPy's BLAS, which is held at one thread here: two thread pools
on the same cores make each other wait for whole scheduler ticks.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from itertools import count
from queue import SimpleQueue
from typing import Any

import numba
import numpy as np
from numba.core import event

from minigan.errors import ConfigError

MAX_CHUNKS = 16

# The flags let LLVM vectorise sums and fuse multiply-add; NaN and infinity keep their meaning.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "reassoc", "nsz"},
}


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, and keep the machine code on disk where a folder allows it."""
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's nor the user's cache folder can be written
        return numba.njit(**_OPTIONS)(function)


helper = numba.njit(**_OPTIONS)  # what kernels of the same file call; compiled into them
inlined = numba.njit(forceinline=True, **_OPTIONS)  # a helper that must not cost a call


def chunks_for(size: int, smallest: int) -> int:
    """How many chunks: at most MAX_CHUNKS, each of at least `smallest` units of work."""
    return max(1, min(MAX_CHUNKS, size // max(smallest, 1)))


def all_float32(*arrays: Any) -> bool:
    """Whether the compiled kernels, which are float32 only, can take these arrays (or None)."""
    return all(array is None or array.dtype == np.float32 for array in arrays)


class _Job:
    """One call of `run`: threads take chunk numbers from it until none is left."""

    def __init__(self, function: Callable[..., None], chunks: int, args: tuple[Any, ...]) -> None:
        self.function, self.chunks, self.args = function, chunks, args
        self._numbers = count()  # next() is atomic under the GIL
        self.reports: SimpleQueue[int | BaseException] = SimpleQueue()

    def work(self) -> int:
        """Run chunks until none is left; how many this thread ran."""
        done = 0
        while (chunk := next(self._numbers)) < self.chunks:
            self.function(chunk, self.chunks, *self.args)
            done += 1
        return done


class _Pool:
    """Daemon threads that wait for jobs; started at the first parallel call of a process."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._workers = 0
        self._starting = threading.Lock()

    def share(self, job: _Job, helpers: int) -> None:
        with self._starting:
            while self._workers < helpers:
                threading.Thread(target=self._serve, name="minigan-kernel", daemon=True).start()
                self._workers += 1
        for _ in range(helpers):
            self._jobs.put(job)

    def _serve(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                done: int | BaseException = job.work()
            except BaseException as error:  # handed to the caller of run, who raises it
                done = error
            if done:
                job.reports.put(done)
            del job  # it holds the caller's arrays, and the next one may be long in coming


_pool = _Pool()


def _after_fork() -> None:
    global _pool
    _pool = _Pool()  # threads do not survive a fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def run(function: Callable[..., None], chunks: int, *args: Any) -> None:
    """Call the compiled `function(chunk, chunks, *args)` for each chunk, in any order."""
    helpers = min(get_num_threads(), chunks) - 1
    if helpers <= 0:
        for chunk in range(chunks):
            function(chunk, chunks, *args)
        return
    job = _Job(function, chunks, args)
    _pool.share(job, helpers)
    missing = chunks - job.work()
    while missing:
        report = job.reports.get()
        if isinstance(report, BaseException):
            raise report
        missing -= report


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


def _hold_blas_at_one_thread() -> None:
    import scipy.linalg.cython_blas  # noqa: F401  the library that numba's np.dot calls
    from threadpoolctl import ThreadpoolController

    blas = ThreadpoolController().select(user_api="blas")
    # Wheels bring one BLAS for NumPy and one for SciPy, and NumPy's keeps its threads.
    scipys = [lib.filepath for lib in blas.lib_controllers if "scipy.libs" in lib.filepath]
    (blas.select(filepath=scipys) if scipys else blas).limit(limits=1)


class _CompilationNotice(event.Listener):
    """Says once, on a terminal, why the first step takes so long."""

    def __init__(self) -> None:
        self._said = False

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__
        if not self._said and module.startswith("minigan.") and sys.stderr.isatty():
            print("compiling CPU kernels (once per installation)...", file=sys.stderr, flush=True)
            self._said = True

    def on_end(self, event: Any) -> None:
        """Nothing to say at the end."""


_hold_blas_at_one_thread()
event.register("numba:compile", _CompilationNotice())
