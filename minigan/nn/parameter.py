"""Parameter: a tensor that a Module counts among what is trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.creation import as_tensor
from minigan.tensor import Tensor


class Parameter(Tensor):
    """A leaf tensor that a Module registers when it is set as an attribute.

    Shares the memory of `data`, a tensor or array. A copy.deepcopy is a Parameter again.
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        source = as_tensor(np.empty(0, np.float32) if data is None else data)
        self = object.__new__(cls)
        self._array, self._version = source._array, source._version
        self._grad = self._grad_fn = self._leaf_hooks = None
        self._requires_grad = False
        self.requires_grad_(requires_grad)
        return self

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
