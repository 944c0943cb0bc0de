"""A recorded step on the CPU: what is a CUDA graph there is a table of kernel calls here.

The calls of kernels that follow each other are made by compiled code, without Python; what NumPy
did between them is done by calling NumPy again. Addresses and scalars are those of the recording,
so what changes from step to step (inputs, random counters, learning rates) is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np

from minigan.backends.cpu import winograd_kept
from minigan.backends.cpu.memory import return_freed_memory
from minigan.backends.cpu.threads import compiled
from minigan.backends.protocol import Array
from minigan.backends.recorded import Action, Memory, RecordedArray, Tape, raw, recording_to

_MASK64 = 0xFFFFFFFFFFFFFFFF


class Inbox:
    """An array that is filled again and again, at one address."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.array = np.empty(shape, dtype)

    def fill(self, values: Array) -> None:
        """Copy `values`, of the same shape and dtype."""
        np.copyto(self.array, values)


class Graph:
    """A recording, with its memory and its random counter."""

    computes_while_recording = True

    def __init__(self, memory: Memory) -> None:
        self._memory, self._generator = memory, np.zeros(2, np.uint64)
        self._actions: list[Action] = []
        self._tape: Tape | None = None
        self.refusal: str | None = None

    def apart(self) -> AbstractContextManager[None]:
        """Run what prepares a recording."""
        return nullcontext()

    def record(
        self, work: Callable[[], Array], seed: int, offset: int, tensors: Sequence[Any] = ()
    ) -> Array:
        """Do the work, which draws from the generator with that state, and record it.

        tensors: those of the networks, which the work reads and changes in place. Returns a copy of
        the array that `work` does, which `launch` will fill. The work is done in any case;
        `refusal` says why it cannot be repeated, if so.
        """
        winograd_kept.forget()  # the runs before made their own
        return_freed_memory()
        new = Tape(self._memory, self._generator, (seed, offset))
        with recording_to(new), _watched(tensors, new):
            result = raw(work())
            copy = result.copy()
            new.append(partial(np.copyto, copy, result))
        self._tape, self.refusal = new, new.refusal
        self._actions = compiled(new.actions)
        return copy

    @property
    def drawn(self) -> int:
        """Philox counters that each launch uses up."""
        return 0 if self._tape is None else self._tape.drawn

    def launch(self, seed: int, offset: int) -> None:
        """Do what was recorded; it draws as a generator in that state."""
        self._generator[:] = seed, offset & _MASK64
        for action in self._actions:
            action()


@contextmanager
def _watched(tensors: Sequence[Any], new: Tape) -> Iterator[None]:
    """The tensors write down what is done to them; afterwards none knows of the recording."""
    plain = [tensor._array for tensor in tensors]
    for tensor in tensors:
        tensor._array = new.known(tensor._array)
    try:
        yield
    finally:
        for tensor, array in zip(tensors, plain, strict=True):
            tensor._array = array
            # The memory of these gradients is the tape's.
            if tensor._grad is not None and isinstance(tensor._grad._array, RecordedArray):
                tensor._grad = None
