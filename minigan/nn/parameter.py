"""Parameter: a tensor that a Module trains."""

from __future__ import annotations

from typing import Any

from minigan.tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that requires a gradient; a Module that gets one registers it."""

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        self._array = data._array
        self._grad, self._grad_fn = None, None
        self._requires_grad = False
        self._version, self._leaf_hooks = data._version, None
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __reduce__(self) -> Any:
        raise TypeError("parameters are not pickled: save state_dict() as safetensors")
