"""The operations as methods and operators of Tensor: one table, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.device import Device, device
from minigan.errors import DTypeError
from minigan.ops import activation, elementwise, inplace, linear, reduction, resample, shape
from minigan.ops.operands import ToDevice, cast
from minigan.tensor import Tensor


def _transposed(x: Tensor) -> Tensor:
    return shape.permute(x, *range(x.ndim)[::-1])


def _to(x: Tensor, *args: Any, device: Any = None, dtype: Any = None) -> Tensor:
    """x on another device and/or with another dtype: to("cuda:0"), to(mg.float64), to(other)."""
    for arg in args:
        if isinstance(arg, Tensor):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, Device) or (isinstance(arg, str) and not _names_dtype(arg)):
            device = arg
        else:
            dtype = arg
    y = x if dtype is None else cast(x, dtype)
    return y if device is None else _on_device(y, device)


def _names_dtype(text: str) -> bool:
    try:
        np.dtype(text)
    except TypeError:
        return False
    return True


def _on_device(x: Tensor, target: Any) -> Tensor:
    target = device(target)
    return x if target == x.device else ToDevice(target)(x)


def _type_as(x: Tensor, other: Tensor) -> Tensor:
    return cast(x, other.dtype)


def _view(x: Tensor, *sizes: Any) -> Tensor:
    if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer, tuple, list)):
        raise DTypeError(f"view: expected sizes, got {sizes[0]!r}; use .to(dtype) to convert")
    return shape.reshape(x, *sizes)


def _swap(operation: Any) -> Any:
    return lambda x, other: operation(other, x)


def _named(module: Any, names: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names.split()}


_METHODS: dict[str, Any] = {
    **_named(elementwise, "add sub mul div neg exp log sqrt rsqrt sin cos abs clamp sign"),
    **_named(elementwise, "maximum minimum"),
    "pow": elementwise.power,
    "square": lambda x: elementwise.mul(x, x),
    "reciprocal": lambda x: elementwise.div(1.0, x),
    "__add__": elementwise.add,
    "__radd__": _swap(elementwise.add),
    "__sub__": elementwise.sub,
    "__rsub__": _swap(elementwise.sub),
    "__mul__": elementwise.mul,
    "__rmul__": _swap(elementwise.mul),
    "__truediv__": elementwise.div,
    "__rtruediv__": _swap(elementwise.div),
    "__pow__": elementwise.power,
    "__rpow__": _swap(elementwise.power),
    "__neg__": elementwise.neg,
    "__abs__": elementwise.abs,
    "__iadd__": inplace.augmented(elementwise.add, inplace.add_),
    "__isub__": inplace.augmented(elementwise.sub, inplace.sub_),
    "__imul__": inplace.augmented(elementwise.mul, inplace.mul_),
    "__itruediv__": inplace.augmented(elementwise.div, inplace.div_),
    "__eq__": elementwise.equal,
    "__ne__": elementwise.not_equal,
    "__lt__": elementwise.less,
    "__le__": elementwise.less_equal,
    "__gt__": elementwise.greater,
    "__ge__": elementwise.greater_equal,
    "eq": elementwise.equal,
    "ne": elementwise.not_equal,
    "lt": elementwise.less,
    "le": elementwise.less_equal,
    "gt": elementwise.greater,
    "ge": elementwise.greater_equal,
    "__invert__": lambda x: Tensor._wrap(~x._array),
    "__matmul__": linear.matmul,
    "__rmatmul__": _swap(linear.matmul),
    "matmul": linear.matmul,
    "mm": linear.matmul,
    "bmm": linear.matmul,
    "__getitem__": shape.getitem,
    "__setitem__": inplace.setitem,
    **_named(shape, "reshape permute transpose expand squeeze unsqueeze flatten unflatten"),
    **_named(shape, "split chunk flip repeat index_select gather clone contiguous"),
    "view": _view,
    "view_as": lambda x, other: shape.reshape(x, *other.shape),
    "reshape_as": lambda x, other: shape.reshape(x, *other.shape),
    "expand_as": lambda x, other: shape.expand(x, *other.shape),
    "t": _transposed,
    "T": property(_transposed),
    "pad": resample.pad,
    **_named(reduction, "sum mean var std amax amin max min argmax argmin norm logsumexp any all"),
    **_named(activation, "relu tanh sigmoid softmax log_softmax"),
    **_named(inplace, "copy_ fill_ zero_ clamp_ normal_ uniform_ add_ sub_ mul_ div_"),
    "to": _to,
    "type_as": _type_as,
    "cpu": lambda x: _on_device(x, "cpu"),
    "cuda": lambda x, index=0: _on_device(x, f"cuda:{index}"),
    "float": lambda x: cast(x, np.float32),
    "double": lambda x: cast(x, np.float64),
    "long": lambda x: cast(x, np.int64),
    "int": lambda x: cast(x, np.int32),
    "bool": lambda x: cast(x, np.bool_),
}

for _name, _method in _METHODS.items():
    setattr(Tensor, _name, _method)
