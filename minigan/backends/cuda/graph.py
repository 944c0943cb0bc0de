"""One CUDA graph: a sequence of launches, recorded once, and launched again as one.

A recorded launch keeps the addresses and scalars that it was recorded with. So a graph has memory
of its own, a pool that nobody else allocates from and that lives as long as the graph; and what
changes from launch to launch (inputs, random counters, learning rates) is in device memory.

While a stream is recorded nothing is executed, so nothing can be read back, and the operations that
CuPy cannot record (cuBLAS, sorting) raise. `record` turns all of that into one CaptureError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from minigan.backends.cuda.launch import launcher
from minigan.backends.protocol import Array
from minigan.errors import CaptureError

T = TypeVar("T")
_MASK64 = 0xFFFFFFFFFFFFFFFF

_recording: list[Graph] = []


def recording() -> Graph | None:
    """The graph that is being recorded, if one is."""
    return _recording[-1] if _recording else None


def refuse_while_recording(what: str) -> None:
    """Raise CaptureError if a graph is being recorded: `what` says what cannot be part of it."""
    if _recording:
        raise CaptureError(what)


class Graph:
    """A recording on the current GPU, with its stream, its memory and its random counter."""

    computes_while_recording = False
    refusal: str | None = None  # what cannot be recorded raises

    def __init__(self) -> None:
        cuda = launcher().xp.cuda
        self._cuda = cuda
        # Work on the null stream must not end a capture, so the stream must not wait for it.
        self._stream = cuda.Stream(non_blocking=True)
        self._pool = cuda.MemoryPool()
        self._graph: Any = None
        with self.apart():
            self._key_and_counter = launcher().xp.zeros(2, np.int64)
        self._held: tuple[int, int] | None = None  # what _key_and_counter is known to hold
        self._start = (0, 0)  # the generator's state as the recording began
        self._drawn = 0

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Run the block's work on this stream and in this memory, after what was asked for before
        the block, and before what is asked for after it."""
        outer = self._cuda.get_current_stream()
        self._stream.wait_event(outer.record())
        try:
            with self._cuda.using_allocator(self._pool.malloc), self._stream:
                yield
        finally:
            outer.wait_event(self._stream.record())

    def record(
        self, work: Callable[[], T], seed: int, offset: int, tensors: Sequence[Any] = ()
    ) -> T:
        """Record the launches of `work`, which draws from the generator with that state.

        tensors: what the work changes in place, which a stream needs not be told. Returns what
        `work` does: arrays that `launch` will fill. Raises CaptureError, with the reason, where
        `work` does what cannot be recorded; the device is then as it was.
        """
        self._start, self._drawn = (seed, offset), 0
        with self.apart():
            self._stream.begin_capture(self._cuda.runtime.streamCaptureModeRelaxed)
            _recording.append(self)
            try:
                result = work()
                if self._drawn:
                    self._key_and_counter[1:] += self._drawn
            except BaseException as error:
                self._abandon()
                if isinstance(error, Exception):
                    raise CaptureError(_reason(error)) from error
                raise
            finally:
                _recording.remove(self)
            try:
                self._graph = self._stream.end_capture()
            except Exception as error:  # an operation that had failed unnoticed
                raise CaptureError(_reason(error)) from error
        return result

    def _abandon(self) -> None:
        try:
            self._stream.end_capture()
        except Exception:  # the capture was invalid already: this ended it all the same
            return

    @property
    def drawn(self) -> int:
        """Philox counters that each launch uses up."""
        return self._drawn

    def launch(self, seed: int, offset: int) -> None:
        """Run what was recorded, on the current stream; it draws as a generator in that state."""
        if self._held != (seed, offset):
            for i, word in enumerate((seed, offset)):
                self._key_and_counter[i] = _signed(word)
        self._graph.launch()
        self._held = seed, (offset + self._drawn) & _MASK64

    def counter(self, seed: int, offset: int, words: int) -> tuple[Array, int]:
        """For a recorded draw of random words: the device's [seed, counter], and how far from
        that counter the draw begins. Raises CaptureError for another generator's."""
        if seed != self._start[0]:
            raise CaptureError("it draws from a generator of its own: let it draw from minigan's")
        relative = (offset - self._start[1]) & _MASK64
        self._drawn = max(self._drawn, relative + -(-words // 4))
        return self._key_and_counter, relative


def _signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


def _reason(error: BaseException) -> str:
    """One line: our own words as they are, CUDA's and CuPy's with their kind."""
    if isinstance(error, CaptureError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
