"""Collecting a module's state, and putting a saved state back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minigan.backends import kernels_for
from minigan.errors import CheckpointError
from minigan.tensor import Tensor

if TYPE_CHECKING:
    from minigan.nn.module import Module

StateDict = dict[str, Any]
_NAMED_IN_ERRORS = 8


class LoadResult(NamedTuple):
    """What load_state_dict could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not any(self):
            return "<All keys matched successfully>"
        return (f"LoadResult(missing_keys={self.missing_keys}, "
                f"unexpected_keys={self.unexpected_keys})")  # fmt: skip


def collect_state(module: Module, into: StateDict, prefix: str, keep_vars: bool) -> StateDict:
    """Add {prefix + name: tensor} of `module` and everything below it, in PyTorch's order."""
    saved = {k: t for k, t in module._buffers.items() if k not in module._transient}
    for name, tensor in {**module._parameters, **saved}.items():
        if tensor is not None:
            into[prefix + name] = tensor if keep_vars else tensor.detach()
    for name, child in module._modules.items():
        if child is not None:
            collect_state(child, into, f"{prefix}{name}.", keep_vars)
    return into


def load_state(module: Module, state: StateDict, strict: bool) -> LoadResult:
    """Check everything, then copy everything: an error leaves the module untouched."""
    targets = collect_state(module, {}, "", keep_vars=False)
    missing = [key for key in targets if key not in state]
    unexpected = [key for key in state if key not in targets]
    if strict and (missing or unexpected):
        found = [f"{what} {_some(keys)}" for what, keys in
                 (("missing", missing), ("unexpected", unexpected)) if keys]  # fmt: skip
        raise CheckpointError(
            f"{type(module).__name__}: the state does not fit: {'; '.join(found)} "
            "(strict=False loads the rest)"
        )
    values = {key: host_array(state[key], key) for key in targets if key in state}
    for key, value in values.items():
        check_shape(key, value, targets[key])
    for key, value in values.items():
        overwrite(targets[key], value)
    return LoadResult(missing, unexpected)


def _some(keys: list[str]) -> str:
    rest = len(keys) - _NAMED_IN_ERRORS
    return ", ".join(keys[:_NAMED_IN_ERRORS]) + (f" and {rest} more" if rest > 0 else "")


def host_array(value: Any, key: str) -> np.ndarray:
    """A tensor of ours or of torch, or anything NumPy understands, as numbers in NumPy."""
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{key}: a {type(value).__name__} is no array: {error}") from None
    if array.dtype.kind not in "biuf":
        raise CheckpointError(f"{key}: expected numbers, got {type(value).__name__}")
    return array


def check_shape(key: str, value: np.ndarray, target: Tensor) -> None:
    """Raise CheckpointError, naming the key and both shapes, unless they agree."""
    if value.shape != tuple(target.shape):
        raise CheckpointError(
            f"{key}: the saved shape {value.shape} does not fit the module's {tuple(target.shape)}"
        )


def overwrite(target: Tensor, value: np.ndarray) -> None:
    """Copy `value` into the memory of `target`, in its dtype."""
    target._array[...] = kernels_for(target._array).xp.asarray(value)
    target._version[0] += 1
