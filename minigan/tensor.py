"""Tensor: an array and its place in the graph.

The differentiable methods and operators (`x + y`, `x.sum()`, `x[i]`, ...) are attached by
`minigan.ops`, where each is defined beside its derivative.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minigan.device import Device, device_of
from minigan.errors import DTypeError, GradError, ShapeError

if TYPE_CHECKING:
    from minigan.autograd import Function


class Size(tuple):
    """A shape; `numel()` counts the elements."""

    def numel(self) -> int:
        n = 1
        for length in self:
            n *= length
        return n

    def __repr__(self) -> str:
        return f"Size({list(self)})"


_hook_number = itertools.count()  # never used twice: remove() must not hit a later hook


class HookHandle:
    """Returned by `register_hook`; `remove()` takes the hook out again."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks, self._key = hooks, key

    def remove(self) -> None:
        self._hooks.pop(self._key, None)


class Tensor:
    """A multi-dimensional array that remembers how it was computed.

    Created by `minigan.tensor`, `zeros`, `randn`, ... `requires_grad=True` makes it a leaf whose
    `.grad` a backward fills. float32 unless asked otherwise; integer tensors hold labels.
    """

    __slots__ = ("_array", "_grad", "_grad_fn", "_requires_grad", "_version", "_leaf_hooks",
                 "__weakref__")  # fmt: skip
    __array_ufunc__ = None  # an ndarray on the left hands the operation to Tensor

    _array: Any
    _grad: Tensor | None
    _grad_fn: Function | None
    _requires_grad: bool
    _version: list[int]  # shared by all views of one memory; counts changes in place
    _leaf_hooks: dict[int, Any] | None

    if TYPE_CHECKING:  # attached by minigan.ops

        def __getattr__(self, name: str) -> Any: ...

        __add__: Any
        __radd__: Any
        __iadd__: Any
        __sub__: Any
        __rsub__: Any
        __isub__: Any
        __mul__: Any
        __rmul__: Any
        __imul__: Any
        __truediv__: Any
        __rtruediv__: Any
        __itruediv__: Any
        __pow__: Any
        __rpow__: Any
        __matmul__: Any
        __neg__: Any
        __abs__: Any
        __lt__: Any
        __le__: Any
        __gt__: Any
        __ge__: Any
        __invert__: Any
        __getitem__: Any
        __setitem__: Any

    @classmethod
    def _wrap(
        cls, array: Any, *, version: list[int] | None = None, grad_fn: Function | None = None
    ) -> Tensor:
        """Around an array, without a copy. For operations."""
        self = object.__new__(Tensor)
        # NumPy's functions of a 0-d array return scalars, which are no arrays.
        self._array = np.asarray(array) if isinstance(array, np.generic) else array
        self._grad = None
        self._grad_fn = grad_fn
        self._requires_grad = grad_fn is not None
        self._version = [0] if version is None else version
        self._leaf_hooks = None
        return self

    # --- what it is ---------------------------------------------------------------------------
    @property
    def shape(self) -> Size:
        return Size(self._array.shape)

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self._array.shape[dim]

    @property
    def ndim(self) -> int:
        return self._array.ndim

    def dim(self) -> int:
        return self._array.ndim

    def numel(self) -> int:
        return int(self._array.size)

    @property
    def dtype(self) -> np.dtype:
        return self._array.dtype

    @property
    def device(self) -> Device:
        return device_of(self._array)

    def is_floating_point(self) -> bool:
        return self._array.dtype.kind == "f"

    def is_contiguous(self) -> bool:
        return bool(self._array.flags.c_contiguous)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise ShapeError("a 0-d tensor has no length")
        return self._array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(f"the truth of a tensor of shape {tuple(self.shape)} is ambiguous: "
                             "use .any() or .all()")  # fmt: skip
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._array.dtype.kind not in "iu":
            raise DTypeError(f"only integer tensors can index; this one is {self.dtype}")
        return int(self.item())

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        host = self._array if self.device.type == "cpu" else self._read("repr()")
        text = np.array2string(host, separator=", ", prefix="tensor(")
        notes = [] if self.dtype in (np.float32, np.int64, np.bool_) else [f"dtype={self.dtype}"]
        if self.device.type != "cpu":
            notes.append(f"device='{self.device}'")
        if self._grad_fn is not None:
            notes.append(f"grad_fn=<{self._grad_fn.name}>")
        elif self._requires_grad:
            notes.append("requires_grad=True")
        return f"tensor({', '.join([text, *notes])})"

    # --- gradients ------------------------------------------------------------------------------
    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, value: bool = True) -> Tensor:
        """Ask for a gradient, or stop asking. Leaves only; floating point only."""
        if self._grad_fn is not None:
            if value:
                return self
            raise GradError("requires_grad of a computed tensor cannot be switched off: "
                            "use .detach()")  # fmt: skip
        if value and not self.is_floating_point():
            raise DTypeError(
                f"only floating-point tensors have gradients; this one is {self.dtype}"
            )
        self._requires_grad = bool(value)
        return self

    @property
    def is_leaf(self) -> bool:
        return self._grad_fn is None

    @property
    def grad_fn(self) -> Function | None:
        return self._grad_fn

    @property
    def grad(self) -> Tensor | None:
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and value.shape != self.shape:
            raise ShapeError(f".grad of a tensor of shape {tuple(self.shape)} cannot have shape "
                             f"{tuple(value.shape)}")  # fmt: skip
        self._grad = value

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None,
        create_graph: bool = False,
    ) -> None:  # fmt: skip
        """Add the gradient of this tensor to `.grad` of every leaf it was computed from."""
        from minigan.autograd import backward

        backward(self, gradient, retain_graph, create_graph)

    def detach(self) -> Tensor:
        """The same memory, cut off from the graph."""
        return Tensor._wrap(self._array, version=self._version)

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if value.shape != self.shape:
            raise ShapeError(f".data of shape {tuple(self.shape)} cannot be set to shape "
                             f"{tuple(value.shape)}")  # fmt: skip
        self._array = value._array
        self._version[0] += 1

    @property
    def _hooks(self) -> dict[int, Any] | None:
        return self._leaf_hooks

    def register_hook(self, fn: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Call fn(grad) when this tensor's gradient is complete; what it returns replaces it."""
        if not self._requires_grad:
            raise GradError("a hook needs a tensor that requires a gradient")
        owner: Any = self._grad_fn
        if owner is not None:
            owner._hooks = hooks = owner._hooks or {}
        else:
            self._leaf_hooks = hooks = self._leaf_hooks or {}
        key = next(_hook_number)
        hooks[key] = fn
        return HookHandle(hooks, key)

    def retain_grad(self) -> None:
        """Let `backward` fill `.grad` of this computed tensor too, after its hooks."""
        if self._grad_fn is not None:
            self._grad_fn._retained = weakref.ref(self)  # the graph must not keep its output alive

    # --- out of minigan -------------------------------------------------------------------------
    def _plain(self, what: str) -> Any:
        if self._requires_grad:
            raise GradError(f"{what} of a tensor that requires a gradient would lose the graph: "
                            "use .detach() first")  # fmt: skip
        return self._array

    def numpy(self) -> np.ndarray:
        """As a NumPy array; shares memory on the CPU, copies from a GPU."""
        array = self._plain("numpy()")
        return array if self.device.type == "cpu" else self._read("numpy()")

    def item(self) -> Any:
        """The value of a one-element tensor as a Python number."""
        if self.numel() != 1:
            raise ShapeError(f"item() needs one element; this tensor has shape {tuple(self.shape)}")
        return self._array.item() if self.device.type == "cpu" else self._read("item()").item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return (self._array if self.device.type == "cpu" else self._read("tolist()")).tolist()

    def _read(self, what: str) -> np.ndarray:
        """A copy from the GPU, which waits until the GPU has come so far."""
        from minigan.backends.cuda.graph import refuse_while_recording

        refuse_while_recording(f"it reads a value back, with {what}: keep the tensor instead")
        return self._array.get()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        if self.device.type != "cpu":
            raise AttributeError("__array_interface__ is for tensors on the CPU")
        return self._plain("__array_interface__").__array_interface__

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.device.type != "cuda":
            raise AttributeError("__cuda_array_interface__ is for tensors on a GPU")
        return self._plain("__cuda_array_interface__").__cuda_array_interface__

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self._plain("__dlpack__").__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._grad_fn is not None:
            raise GradError("only leaf tensors can be deep-copied: use .detach() or .clone()")
        copy = object.__new__(type(self))
        memo[id(self)] = copy
        copy._array, copy._grad, copy._grad_fn = self.detach().clone()._array, None, None
        copy._requires_grad, copy._version, copy._leaf_hooks = self._requires_grad, [0], None
        return copy
