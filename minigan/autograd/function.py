"""Function: a differentiable operation, and its node in the graph."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.autograd.modes import is_anomaly_enabled, is_grad_enabled
from minigan.backends import kernels_for
from minigan.backends.recorded import is_recording, recorded
from minigan.device import gpu_index
from minigan.errors import DeviceError, GradError
from minigan.tensor import Tensor

_creation_number = itertools.count()


def _on_several_gpus(arrays: list[Any]) -> bool:
    """Whether the GPUs of the arrays differ; if not, it is the current one from here on."""
    index = gpu_index(arrays[0])
    if any(gpu_index(array) != index for array in arrays[1:]):
        return True
    kernels_for(arrays[0])
    return False


class Function:
    """A differentiable operation, and its node in the graph.

    A subclass takes its fixed arguments in `__init__`, computes in `forward(*arrays)` and
    differentiates in `backward(grad)`: dL/d(output) in, dL/d(input) for each input out, written
    with operations on Tensors so that it can itself be differentiated. `self.needs[i]` tells
    whether the gradient of input i is wanted; return None for the others.

    `saves` names what the rule reads back through `self.saved`: positions of inputs, or
    "output". Arrays that are no tensors (masks, statistics) go to `self.cache`. Both are freed
    once the node has been walked.

    `backward_arrays(grad)`, if defined, is a faster rule on arrays that runs when the backward
    is not itself recorded; a test holds the two equal.

    What it returns is a new array, or `grad`, or a view of either, never anything that is kept:
    the engine adds to it in place. `makes_new` says the same of `backward`, when not recorded.
    Or it adds to `totals[i]`, where that is not None, and returns it: the sum of the gradients
    that have arrived at input i.
    """

    saves: tuple[int | str, ...] = ()
    is_view = False  # the output shares memory with input 0, and so its version
    makes_new = False
    backward_arrays: Callable[[Any], Any] | None = None

    edges: tuple[Function | Tensor | None, ...] = ()
    needs: tuple[bool, ...] = ()
    totals: tuple[Any, ...] = ()
    number = -1  # creation order, a topological order of the graph
    called_at: str | None = None  # the stack of the call, in anomaly mode
    _saved: tuple[Any, ...] | None = ()
    _cache: Any = None
    _hooks: dict[int, Any] | None = None
    _retained: Callable[[], Tensor | None] | None = None  # the output, after its retain_grad()

    def forward(self, *arrays: Any) -> Any:
        raise TypeError(f"{self.name} defines no forward")

    def backward(self, grad: Tensor) -> Any:
        raise TypeError(f"{self.name} defines no backward")

    @property
    def name(self) -> str:
        return type(self).__name__

    def __call__(self, *inputs: Tensor) -> Tensor:
        arrays = [t._array for t in inputs]
        if is_recording():
            arrays = [recorded(array) for array in arrays]
        kind = type(arrays[0])
        mixed = [True for array in arrays if type(array) is not kind]
        if (mixed or kind is not np.ndarray) and _on_several_gpus(arrays):
            devices = ", ".join(str(t.device) for t in inputs)
            raise DeviceError(
                f"{self.name}: operands on different devices ({devices}); move them with .to()"
            )
        if self.number >= 0:
            raise GradError(
                f"{self.name}: this instance is a node of a graph already: make one for each call"
            )
        wanted = tuple([t._requires_grad for t in inputs])
        recording = True in wanted and is_grad_enabled()
        self.needs = wanted if recording else (False,) * len(wanted)
        out = self.forward(*arrays)
        result = Tensor._wrap(out, version=inputs[0]._version if self.is_view else None)
        if not recording:
            self._cache = None
            return result
        self.edges = tuple(
            [(t._grad_fn or t) if need else None for t, need in zip(inputs, wanted, strict=True)]
        )
        self.number = next(_creation_number)
        saved: list[tuple[Any, list[int], int]] = []
        for key in self.saves:
            kept = result if key == "output" else inputs[key]  # type: ignore[index]
            # Its own output is kept as an array: no cycle.
            value = result._array if kept is result else kept
            saved.append((value, kept._version, kept._version[0]))
        self._saved = tuple(saved)
        if is_anomaly_enabled():
            self.called_at = "".join(traceback.format_stack()[:-1])
        result._grad_fn = self
        result._requires_grad = True
        return result

    def _checked(self) -> tuple[tuple[Any, list[int], int], ...]:
        """What was saved, checked to be as it was in forward."""
        if self._saved is None:
            raise GradError(
                f"backward through {self.name} a second time, but what it saved is freed: "
                "pass retain_graph=True to the first backward"
            )
        for value, version, then in self._saved:
            if version[0] != then:
                raise GradError(
                    f"{self.name}: a tensor of shape {tuple(value.shape)} that its backward needs "
                    f"was changed in place after the forward (version {version[0]}, saved at "
                    f"{then}): change a .clone() of it, or wait until after backward"
                )
        return self._saved

    @property
    def saved(self) -> tuple[Tensor, ...]:
        """The tensors named by `saves`, checked to be as they were in forward."""
        return tuple(
            value
            if isinstance(value, Tensor)
            else Tensor._wrap(value, version=version, grad_fn=self)
            for value, version, _ in self._checked()
        )

    @property
    def saved_arrays(self) -> list[Any]:
        """Their arrays, for backward_arrays."""
        return [
            value._array if isinstance(value, Tensor) else value for value, _, _ in self._checked()
        ]

    @property
    def cache(self) -> Any:
        return self.saved if self._saved is None else self._cache  # saved raises when freed

    @cache.setter
    def cache(self, value: Any) -> None:
        self._cache = value

    def free(self) -> None:
        """Drop what was saved. The node stays: other paths may still lead through it."""
        self._saved = None
        self._cache = None
