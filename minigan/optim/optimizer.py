"""What all optimisers share: parameter groups, their state, and saving both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minigan.autograd import enable_grad
from minigan.backends import kernels_for
from minigan.backends.protocol import Array, Kernels
from minigan.backends.recorded import recorded
from minigan.errors import CheckpointError, ConfigError, DTypeError
from minigan.nn.state import check_shape, host_array, overwrite
from minigan.optim.clock import Clock
from minigan.tensor import Tensor

Params = Iterable[Tensor] | Iterable[dict[str, Any]]
Group = dict[str, Any]


class Optimizer:
    """Base of all optimisers.

    `params` are the parameters, or dicts with "params" and options of their own; `defaults` are
    the options of groups that do not set them. Parameters without a gradient are skipped.

    A step can be part of a captured graph, also several steps of one optimiser: no launch has
    an argument that changes from step to step, since the learning rate and the steps taken are in
    the device's memory (`Clock`), where the kernels count them up. Take a step before capturing,
    which makes the moments. The captured `step` itself counts as taken: launch the graph once for
    it. Then, for each replay: `refresh()`, launch, `replayed(steps in the graph)`. All options but
    the learning rate, and which parameters have gradients, are those of the capture.
    """

    _counts_on_device = False  # whether the kernels need to know how many steps were taken

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self._clocks: dict[tuple[int, str], Clock] = {}  # of (group, backend)
        self._moved: list[tuple[Group, Clock, list[int]]] = []  # by the last step
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
        moving = [_with_gradients(group) for group in self.param_groups]
        self._moved = []
        for number, (group, rows) in enumerate(zip(self.param_groups, moving, strict=True)):
            for kernels, batch in _by_backend(group["params"], rows):
                clock = self._clocks.setdefault((number, kernels.name), Clock(kernels.xp))
                clock.set(self._times(group))
                self._update(kernels, [group["params"][row] for row in batch], batch, group, clock)
                self._moved.append((group, clock, batch))
        self._count(1)
        return loss

    def refresh(self) -> None:
        """Bring the learning rates and step counts in the device's memory up to date.

        `step` does so itself; call it before a graph is replayed. It does nothing when the device
        has them already, which is so unless a scheduler or load_state_dict changed them.
        """
        for (number, _), clock in self._clocks.items():
            clock.set(self._times(self.param_groups[number]))

    def replayed(self, steps: int) -> None:
        """Count what a replayed graph did: `steps` more updates like the last `step`."""
        self._count(steps)

    def _times(self, group: Group) -> list[float]:
        """What a clock holds: the learning rate, and each parameter's steps if those matter."""
        if not self._counts_on_device:
            return [group["lr"]]
        return [group["lr"], *(self.state.get(p, {}).get("step", 0) for p in group["params"])]

    def _count(self, steps: int) -> None:
        for group, clock, rows in self._moved:
            for row in rows:
                param = group["params"][row]
                param._version[0] += steps
                if "step" in self.state[param]:
                    self.state[param]["step"] += steps
                if self._counts_on_device:
                    clock.held[1 + row] += steps

    def _update(
        self,
        kernels: Kernels,
        params: list[Tensor],
        rows: list[int],
        group: Group,
        clock: Clock,
    ) -> None:
        """Change parameters in place; `rows` are their places in the group, and in the clock."""
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


def _with_gradients(group: Group) -> list[int]:
    """Places in the group of the parameters that have a gradient, of their own dtype."""
    rows = []
    for row, param in enumerate(group["params"]):
        grad = param.grad
        if grad is None:
            continue
        if grad.dtype != param.dtype:
            raise DTypeError(
                f"a parameter of shape {tuple(param.shape)} is {param.dtype}, its gradient "
                f"{grad.dtype}: convert one"
            )
        rows.append(row)
    return rows


def _by_backend(params: list[Tensor], rows: list[int]) -> list[tuple[Kernels, list[int]]]:
    """The rows of each backend: nearly always one."""
    found: dict[str, tuple[Kernels, list[int]]] = {}
    for row in rows:
        kernels = kernels_for(params[row]._array)
        found.setdefault(kernels.name, (kernels, []))[1].append(row)
    return list(found.values())


def arrays_of(tensors: Iterable[Tensor | None]) -> list[Array | None]:
    """The arrays of tensors, some of which may not be there."""
    return [None if tensor is None else recorded(tensor._array) for tensor in tensors]


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
