"""A model's training step as graphs: one launch for some hundred kernels.

A step of a given kind on batches of a given shape is run as usual a few times, which compiles the
kernels and makes moments, constants and the pool's blocks. Then it is recorded, and from then on
launched: as a CUDA graph, or on the CPU as a table of kernel calls. What differs between two
launches lies in the device's memory: the batch, the generator's counter, the optimisers' clocks,
the losses. What the step does on the host is done here instead: the generator and the optimisers
count on as if the step had run.

What a step decides on the host is frozen in its graph. So a model whose steps differ says so in
`step_kind`, and each kind is recorded by itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from minigan.backends import graphs_on, kernels_for
from minigan.backends.recorded import recorded
from minigan.errors import CaptureError
from minigan.optim import Optimizer
from minigan.random import default_generator
from minigan.tensor import Tensor

MOST_GRAPHS = 8  # kinds of step times shapes of batch; what comes after runs without a graph

Losses = dict[str, Tensor]
Inputs = tuple[Tensor | None, ...]


class CaptureWarning(UserWarning):
    """A step runs without a graph, and why."""


class CapturedSteps:
    """The graphs of a model. Draws come from the default generator, as in the model's step."""

    def __init__(self, model: Any, warm_up: int) -> None:
        self._model, self._warm_up = model, warm_up
        self._graphs: dict[Hashable, _StepGraph] = {}
        self._places: _Places | None = None  # of what the graphs read and write across steps
        self._memory: Any = None
        self.refused: str | None = None  # why there are no graphs

    def step(self, inputs: Inputs) -> Losses:
        """One step on a batch, whose tensors may still be on the host."""
        kind = self._model.step_kind
        made_by = graphs_on(self._model.device)  # which makes a GPU the current one
        if kind is None or made_by is None or self.refused is not None:
            return self._eagerly(inputs)
        if self._places is not None and self._places.moved():
            self.forget()  # after network.to(), p.data = ... or optimizer.load_state_dict(...)
        shapes = tuple(None if x is None else (tuple(x.shape), str(x.dtype)) for x in inputs)
        key = (kind, shapes, made_by.mode())
        if key not in self._graphs and len(self._graphs) == MOST_GRAPHS:
            return self._eagerly(inputs)
        if self._places is None:
            self._places, self._memory = _Places(self._model), made_by.memory()
        if key not in self._graphs:
            graph = made_by.graph(self._memory)
            boxes = [x if x is None else made_by.inbox(tuple(x.shape), x.dtype) for x in inputs]
            step = _StepGraph(self._model, self._places.tensors, graph, boxes, self._warm_up)
            self._graphs[key] = step
        graph = self._graphs[key]
        try:
            losses = graph.run(inputs)
        except CaptureError as error:  # nothing of the step is done
            self._refuse(str(error))
            return self._eagerly(inputs)
        if graph.refusal is not None:
            self._refuse(graph.refusal)
        return losses

    def _refuse(self, reason: str) -> None:
        self.refused = f"this {self._model.name} step cannot be captured: {reason}"
        self.forget()
        warnings.warn(f"{self.refused}; it runs as before", CaptureWarning, stacklevel=5)

    def _eagerly(self, inputs: Inputs) -> Losses:
        device = self._model.device
        return self._model._advance(*(None if x is None else x.to(device) for x in inputs))

    def forget(self) -> None:
        """Drop the graphs, which know addresses, where a step's memory has become another."""
        self._graphs.clear()
        self._places = self._memory = None


class _Places:
    """Where a model's tensors and its optimisers' states are."""

    def __init__(self, model: Any) -> None:
        self.tensors: list[Tensor] = [
            tensor
            for network in model.networks.values()
            for tensor in (*network.parameters(), *network.buffers())
        ]
        self._optimizers = list(model.optimizers.values())
        self._arrays = [tensor._array for tensor in self.tensors]
        self._states = [optimizer.state for optimizer in self._optimizers]

    def moved(self) -> bool:
        """Whether any of them is elsewhere by now."""
        pairs = zip(self.tensors, self._arrays, strict=True)
        owners = zip(self._optimizers, self._states, strict=True)
        return not (all([t._array is array for t, array in pairs])
                    and all([optimizer.state is state for optimizer, state in owners]))  # fmt: skip


class _StepGraph:
    """One kind of step on batches of one shape."""

    def __init__(
        self, model: Any, known: list[Tensor], graph: Any, inboxes: list[Any], warm_up: int
    ) -> None:
        self._model, self._known, self._graph = model, known, graph
        self._inboxes, self._warm_up = inboxes, warm_up
        self._runs = 0
        self._names: list[str] = []
        self._losses: Any = None  # one array for all of them
        self._steps: dict[str, int] = {}  # of each optimiser in one launch

    def run(self, inputs: Inputs) -> Losses:
        for inbox, given in zip(self._inboxes, inputs, strict=True):
            if inbox is not None and given is not None:
                inbox.fill(given._array)
        self._runs += 1
        if self._runs <= self._warm_up:
            with self._graph.apart():
                return self._model._advance(*self._tensors())
        state = default_generator.get_state()
        if self._losses is None:
            self._record(state)
            done = self._graph.computes_while_recording
        else:
            for name in self._steps:
                self._model.optimizers[name].refresh()
            moved_on = {**state, "offset": (state["offset"] + self._graph.drawn) % (1 << 64)}
            default_generator.set_state(moved_on)
            self._count(1)
            done = False
        if not done:
            self._graph.launch(**state)
        copies = self._losses.copy()
        return {name: Tensor._wrap(copies[i]) for i, name in enumerate(self._names)}

    @property
    def refusal(self) -> str | None:
        """Why the step that was recorded, and is done, cannot be repeated."""
        return self._graph.refusal

    def _tensors(self) -> list[Tensor | None]:
        return [
            None if inbox is None else Tensor._wrap(recorded(inbox.array))
            for inbox in self._inboxes
        ]

    def _record(self, state: dict[str, int]) -> None:
        """Record a step. On the host it counts as done; on a GPU the launch does it."""
        for optimizer in self._model.optimizers.values():
            optimizer.refresh()  # an upload could not be recorded
        with _counting(self._model.optimizers) as self._steps:
            try:
                self._losses = self._graph.record(self._work, **state, tensors=self._known)
            except BaseException:
                if not self._graph.computes_while_recording:
                    self._count(-1)
                    default_generator.set_state(state)
                raise

    def _work(self) -> Any:
        losses = self._model._advance(*self._tensors())
        self._names = list(losses)
        arrays = [loss._array.reshape(1) for loss in losses.values()]
        return kernels_for(arrays[0]).concatenate(arrays, 0)

    def _count(self, launches: int) -> None:
        for name, steps in self._steps.items():
            self._model.optimizers[name].replayed(launches * steps)


@contextmanager
def _counting(optimizers: dict[str, Optimizer]) -> Iterator[dict[str, int]]:
    """How often each optimiser takes a step in the block."""
    steps: dict[str, int] = {}

    def counted(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any) -> Any:
            result = step(*args)
            steps[name] = steps.get(name, 0) + 1
            return result

        return count

    for name, optimizer in optimizers.items():
        optimizer.step = counted(name, optimizer.step)  # type: ignore[method-assign]
    try:
        yield steps
    finally:
        for optimizer in optimizers.values():
            del optimizer.step
