"""Optimizer: parameter groups, their state, and both as a dictionary in PyTorch's layout."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minigan.autograd import enable_grad
from minigan.backends import kernels_for
from minigan.errors import CheckpointError, ConfigError
from minigan.tensor import Tensor

Params = Iterable[Tensor] | Iterable[dict[str, Any]]


def check_range(name: str, value: float, low: float = 0.0, below: float | None = None) -> None:
    """Raise ConfigError unless low <= value (< below)."""
    if not value >= low or (below is not None and not value < below):
        bound = f"at least {low:g}" if below is None else f"in [{low:g}, {below:g})"
        raise ConfigError(f"{name} is {value}: it must be {bound}")


class Optimizer:
    """Base of the optimisers. A subclass defines `update(param, grad, state, group)`.

    `param_groups` is a list of dicts: "params" and the options for them. `state` holds, for each
    parameter, what its update remembers.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        if isinstance(params, Tensor):
            raise ConfigError("an optimizer takes a list of parameters, not a single tensor")
        groups = list(params)
        if not groups:
            raise ConfigError("an optimizer got an empty list of parameters")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)  # type: ignore[arg-type]

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add parameters with options of their own; options left out take the defaults."""
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for old in self.param_groups for p in old["params"]}
        for p in params:
            if not isinstance(p, Tensor):
                raise ConfigError(f"an optimizer takes tensors; got a {type(p).__name__}")
            if not p.is_leaf:
                raise ConfigError("an optimizer takes leaf tensors; got the result of an operation")
            if id(p) in known:
                raise ConfigError("a parameter appears twice in an optimizer's groups")
            known.add(id(p))
        self.param_groups.append({**self.defaults, **group, "params": params})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or set them to zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p._grad is None:
                    p._grad = None
                else:
                    p._grad = Tensor._wrap(kernels_for(p._array).xp.zeros_like(p._array))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    self.update(p, p._grad._array, self.state.setdefault(p, {}), group)
                    p._version[0] += 1
        return loss

    def update(
        self, param: Tensor, grad: Any, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Change one parameter in place."""
        raise TypeError(f"{type(self).__name__} defines no update()")

    def state_dict(self) -> dict[str, Any]:
        """State and options, parameters being named by their position."""
        index = {id(p): i for i, p in enumerate(self._all_params())}
        groups = []
        for group in self.param_groups:
            options = {key: value for key, value in group.items() if key != "params"}
            groups.append({**options, "params": [index[id(p)] for p in group["params"]]})
        state = {index[id(p)]: dict(values) for p, values in self.state.items()}
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy state and options in. Raises CheckpointError where they do not fit."""
        groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in groups]
        mine = [len(group["params"]) for group in self.param_groups]
        if sizes != mine:
            raise CheckpointError(
                f"the optimizer state has groups of {sizes} parameters, this optimizer of {mine}"
            )
        params = self._all_params()
        state: dict[Tensor, dict[str, Any]] = {}
        for key, values in state_dict["state"].items():
            p = params[int(key)]
            state[p] = {name: _loaded(name, value, p) for name, value in values.items()}
        self.state = state
        for group, loaded in zip(self.param_groups, groups, strict=True):
            options = {key: value for key, value in loaded.items() if key != "params"}
            options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
            group.update(copy.deepcopy(options))

    def _all_params(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        options = {key: value for key, value in self.param_groups[0].items() if key != "params"}
        text = ", ".join(f"{key}={value}" for key, value in options.items())
        return f"{type(self).__name__}({len(self._all_params())} parameters, {text})"


def zeros_like(param: Tensor) -> Tensor:
    """A tensor of zeros for the state of a parameter."""
    return Tensor._wrap(kernels_for(param._array).xp.zeros_like(param._array))


def _loaded(name: str, value: Any, param: Tensor) -> Any:
    """A copy of a state value: a number, or an array of the parameter's shape and dtype."""
    if np.ndim(value) == 0:
        return int(value) if name == "step" else value
    array = value._array if isinstance(value, Tensor) else np.asarray(value)
    if array.shape != param._array.shape:
        raise CheckpointError(
            f"optimizer state {name!r} has shape {array.shape}, its parameter {tuple(param.shape)}"
        )
    copied = kernels_for(param._array).xp.array(array, dtype=param.dtype)
    return Tensor._wrap(copied)
