"""What all optimisers share: parameter groups, their state, and saving both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from minigan.autograd import enable_grad
from minigan.backends import kernels_for
from minigan.backends.protocol import Array, Kernels
from minigan.errors import CheckpointError, ConfigError, DTypeError
from minigan.nn.state import check_shape, host_array, overwrite
from minigan.tensor import Tensor

Params = Iterable[Tensor] | Iterable[dict[str, Any]]
Group = dict[str, Any]


class Optimizer:
    """Base of all optimisers.

    `params` are the parameters, or dicts with "params" and options of their own; `defaults` are
    the options of groups that do not set them. Parameters without a gradient are skipped.
    """

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        groups: list[Any] = [params] if isinstance(params, Tensor) else _listed(params)
        if not groups:
            raise ConfigError(f"{type(self).__name__}: the list of parameters is empty")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: Group) -> None:
        """Add {"params": parameters, option: value, ...}; other options take their defaults."""
        name = type(self).__name__
        if "params" not in param_group:
            raise ConfigError(f"{name}: a parameter group lacks 'params'; it has "
                              f"{', '.join(map(repr, param_group))}")  # fmt: skip
        given = param_group["params"]
        params = [given] if isinstance(given, Tensor) else _listed(given)
        known = {id(param) for group in self.param_groups for param in group["params"]}
        for param in params:
            if not isinstance(param, Tensor):
                raise ConfigError(f"{name}: a {type(param).__name__} is no parameter")
            if not param.is_leaf:
                raise ConfigError(
                    f"{name}: a tensor of shape {tuple(param.shape)} is computed from others: only "
                    "leaf tensors can be optimised"
                )
            if id(param) in known:
                raise ConfigError(
                    f"{name}: a parameter of shape {tuple(param.shape)} is given more than once"
                )
            known.add(id(param))
        group = {"params": params, **{k: v for k, v in param_group.items() if k != "params"}}
        for option, value in self.defaults.items():
            group.setdefault(option, value)
        self._check(group)
        self.param_groups.append(group)

    def _check(self, group: Group) -> None:
        """Raise ConfigError for options outside their range; subclasses add their own."""
        self._require_at_least_0(group, "lr", "weight_decay")

    def _require_at_least_0(self, group: Group, *options: str) -> None:
        for option in options:
            if not 0 <= group[option] < float("inf"):
                raise ConfigError(
                    f"{type(self).__name__}: {option} must not be negative, got {group[option]}"
                )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros."""
        for group in self.param_groups:
            for param in group["params"]:
                if set_to_none:
                    param.grad = None
                elif param.grad is not None:
                    param.grad = param.grad.detach() * 0

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        `closure`, if given, computes the loss and its gradients first; its result is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param, grad, kernels in _with_gradients(group):
                self._update(kernels, param, grad, group, self.state[param])
                param._version[0] += 1
        return loss

    def _update(
        self, kernels: Kernels, param: Tensor, grad: Array, group: Group, state: dict[str, Any]
    ) -> None:
        """Change one parameter in place; each optimiser defines its own."""
        raise NotImplementedError(f"{type(self).__name__} defines no _update(): add one")

    # --- saving ---------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """{"state": {index: ...}, "param_groups": [...]}, parameters numbered as they were given.

        The tensors share memory with the optimiser.
        """
        numbers = {id(param): i for i, param in enumerate(self._all_params())}
        state = {numbers[id(param)]: dict(values) for param, values in self.state.items() if values}
        groups = [
            {**group, "params": [numbers[id(param)] for param in group["params"]]}
            for group in self.param_groups
        ]
        return {"state": dict(sorted(state.items())), "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy a saved state, of this library or of torch.optim, into this optimiser.

        A CheckpointError, for groups or shapes that do not fit, leaves the optimiser as it was.
        """
        name = type(self).__name__
        missing = [key for key in ("param_groups", "state") if key not in state_dict]
        if missing:
            raise CheckpointError(f"{name}: the saved state lacks {', '.join(missing)}")
        saved_groups, saved_state = state_dict["param_groups"], state_dict["state"]
        sizes = [len(group["params"]) for group in self.param_groups]
        saved_sizes = [len(group["params"]) for group in saved_groups]
        if sizes != saved_sizes:
            raise CheckpointError(f"{name}: the saved groups have {saved_sizes} parameters, "
                                  f"this optimiser's have {sizes}")  # fmt: skip
        order = [index for group in saved_groups for index in group["params"]]
        params = dict(zip(order, self._all_params(), strict=True))
        unknown = [index for index in saved_state if index not in params]
        if unknown:
            raise CheckpointError(f"{name}: the saved state has parameters {unknown}, which its "
                                  "groups do not name")  # fmt: skip
        state = {
            params[index]: _loaded(values, params[index], f"{name}: state {index}")
            for index, values in saved_state.items()
        }
        self.state = defaultdict(dict, state)
        for group, saved in zip(self.param_groups, saved_groups, strict=True):
            # Options that only torch's implementation has (foreach, fused, ...) mean nothing here.
            known = {*group, "initial_lr"} - {"params"}
            group.update({option: saved[option] for option in saved if option in known})

    def _all_params(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def zeros_beside(param: Tensor) -> Tensor:
    """Zeros of a parameter's shape, dtype and device: what moments start from."""
    return Tensor._wrap(kernels_for(param._array).xp.zeros(param.shape, param.dtype))


def _listed(values: Any) -> list[Any]:
    if isinstance(values, set | frozenset):
        raise ConfigError("parameters come in an order, which a set does not keep: pass a list")
    return list(values)


def _with_gradients(group: Group) -> Iterator[tuple[Tensor, Array, Kernels]]:
    for param in group["params"]:
        grad = param.grad
        if grad is None:
            continue
        if grad.dtype != param.dtype:
            raise DTypeError(
                f"a parameter of shape {tuple(param.shape)} is {param.dtype}, its gradient "
                f"{grad.dtype}: convert one"
            )
        yield param, grad._array, kernels_for(param._array)


def _loaded(values: dict[str, Any], param: Tensor, where: str) -> dict[str, Any]:
    """One parameter's saved state: counters as ints, moments as tensors beside the parameter."""
    result: dict[str, Any] = {}
    for key, value in values.items():
        if key == "step":  # torch.optim counts in a 0-d tensor
            result[key] = int(value)
        elif isinstance(value, Tensor | np.ndarray) or hasattr(value, "detach"):
            array = host_array(value, f"{where}, {key}")
            moment = zeros_beside(param)
            check_shape(f"{where}, {key}", array, moment)
            overwrite(moment, array)
            result[key] = moment
        elif value is not None:
            result[key] = value
    return result
