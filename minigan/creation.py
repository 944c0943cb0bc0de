"""Functions that make tensors: from data, filled, counted and random.

Arguments and defaults are PyTorch's. Python floats become float32, ints int64 and bools bool;
NumPy arrays and tensors keep their dtype. `dtype` is a NumPy dtype or its name, `size` is ints or
one tuple, and `device` is "cpu" (default), "cuda" or "cuda:N".
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from minigan.backends import kernels_on
from minigan.device import Device
from minigan.device import device as as_device
from minigan.errors import ConfigError, DTypeError, ShapeError
from minigan.random import Generator, default_generator
from minigan.tensor import Tensor

DType = Any  # numpy.dtype, a NumPy scalar type, or a name such as "float32"
DeviceLike = str | Device | None

_FLOAT, _INT, _BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_)
_DLPACK_CPU = (1, 3)  # DLDeviceType: kDLCPU, kDLCUDAHost


# --- from data ----------------------------------------------------------------------------------
def tensor(
    data: Any, dtype: DType = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of `data`: a number, nested sequences, an array or a tensor.

    Raises ShapeError for ragged sequences and DTypeError for what holds no numbers.
    """
    if isinstance(data, Tensor):
        copied = _converted(data, dtype, device)
        same = copied._array is data._array
        return (copied.clone() if same else copied).requires_grad_(requires_grad)
    return _finish(np.array(_host_array(data, dtype)), device, requires_grad)


def as_tensor(data: Any, dtype: DType = None, device: DeviceLike = None) -> Tensor:
    """Like `tensor`, but shares memory with an array or tensor of the wanted dtype and device."""
    if isinstance(data, Tensor):
        same_device = device is None or as_device(device) == data.device
        if same_device and (dtype is None or as_dtype(dtype) == data.dtype):
            return data
        return _converted(data, dtype, device)
    return _finish(_host_array(data, dtype), device, False)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor on the memory of a NumPy array: a change of one is seen in the other."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy needs a numpy.ndarray, got {type(array).__name__}")
    as_dtype(array.dtype)
    return Tensor._wrap(array)


def from_dlpack(source: Any) -> Tensor:
    """A tensor on the memory of any object that speaks DLPack (torch, CuPy, JAX, ...)."""
    kind, index = source.__dlpack_device__()
    on_cpu = kind in _DLPACK_CPU
    xp = kernels_on(as_device("cpu" if on_cpu else f"cuda:{index}")).xp
    array = xp.from_dlpack(source)
    as_dtype(array.dtype)
    return Tensor._wrap(array)


# --- filled -------------------------------------------------------------------------------------
def empty(
    *size: Any, dtype: DType = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """Uninitialised memory: for tensors that are filled at once."""
    array = _xp(device).empty(_size(size), as_dtype(dtype, _FLOAT))
    return Tensor._wrap(array).requires_grad_(requires_grad)


def zeros(
    *size: Any, dtype: DType = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """All 0."""
    array = _xp(device).zeros(_size(size), as_dtype(dtype, _FLOAT))
    return Tensor._wrap(array).requires_grad_(requires_grad)


def ones(
    *size: Any, dtype: DType = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """All 1."""
    array = _xp(device).ones(_size(size), as_dtype(dtype, _FLOAT))
    return Tensor._wrap(array).requires_grad_(requires_grad)


def full(
    size: Any,
    fill_value: Any,
    dtype: DType = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """All `fill_value`; the dtype follows from it."""
    value = _host_array(fill_value, dtype)
    if value.ndim:
        raise ShapeError(f"full needs one number to fill with, got shape {value.shape}")
    array = _xp(device).full(_size((size,)), value.item(), value.dtype)
    return Tensor._wrap(array).requires_grad_(requires_grad)


def eye(
    n: int,
    m: int | None = None,
    dtype: DType = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """The [n, m] matrix with ones on the diagonal; m = n by default."""
    rows, columns = _size((n, n if m is None else m))
    array = _xp(device).eye(rows, columns, dtype=as_dtype(dtype, _FLOAT))
    return Tensor._wrap(array).requires_grad_(requires_grad)


# --- counted ------------------------------------------------------------------------------------
def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    dtype: DType = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below `end`; `arange(end)` starts at 0. int64 when all are ints."""
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) * step < 0:
        raise ConfigError(f"arange: a step of {step} does not lead from {start} to {end}")
    integers = all(isinstance(value, int | np.integer) for value in (start, end, step))
    count = math.ceil((end - start) / step)
    counts: Any = _xp(device).arange(count, dtype=np.int64 if integers else np.float64)
    array = (start + step * counts).astype(as_dtype(dtype, _INT if integers else _FLOAT))
    return Tensor._wrap(array).requires_grad_(requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    dtype: DType = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` values, evenly spaced from `start` to `end`, both included."""
    (steps,) = _size((steps,))
    return _finish(np.linspace(start, end, steps, dtype=as_dtype(dtype, _FLOAT)), device,
                   requires_grad)  # fmt: skip


# --- random -------------------------------------------------------------------------------------
def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform on [0, 1)."""
    source = generator or default_generator
    array = source.uniform(_size(size), dtype=as_dtype(dtype, _FLOAT), device=device)
    return Tensor._wrap(array).requires_grad_(requires_grad)


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: DType = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Gaussian with mean 0 and standard deviation 1."""
    source = generator or default_generator
    array = source.normal(_size(size), dtype=as_dtype(dtype, _FLOAT), device=device)
    return Tensor._wrap(array).requires_grad_(requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    generator: Generator | None = None,
    dtype: DType = None,
    device: DeviceLike = None,
) -> Tensor:
    """Integers from `low` to `high` - 1: `randint(high, size)` or `randint(low, high, size)`."""
    if size is None:
        high, size = None, high
    if high is None:
        low, high = 0, low
    if size is None:
        raise ConfigError("randint needs randint(high, size) or randint(low, high, size)")
    array = (generator or default_generator).randint(low, high, _size((size,)), device=device)
    return Tensor._wrap(array.astype(as_dtype(dtype, _INT), copy=False))


def randperm(
    n: int,
    generator: Generator | None = None,
    dtype: DType = None,
    device: DeviceLike = None,
) -> Tensor:
    """0, ..., n - 1 in random order."""
    (n,) = _size((n,))
    array = (generator or default_generator).permutation(n, device=device)
    return Tensor._wrap(array.astype(as_dtype(dtype, _INT), copy=False))


# --- like another -------------------------------------------------------------------------------
def empty_like(
    input: Tensor, dtype: DType = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """`empty` with the shape, dtype and device of `input`."""
    return empty(input.shape, requires_grad=requires_grad, **_like(input, dtype, device))


def zeros_like(
    input: Tensor, dtype: DType = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """`zeros` with the shape, dtype and device of `input`."""
    return zeros(input.shape, requires_grad=requires_grad, **_like(input, dtype, device))


def ones_like(
    input: Tensor, dtype: DType = None, device: DeviceLike = None, requires_grad: bool = False
) -> Tensor:
    """`ones` with the shape, dtype and device of `input`."""
    return ones(input.shape, requires_grad=requires_grad, **_like(input, dtype, device))


def full_like(
    input: Tensor,
    fill_value: Any,
    dtype: DType = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """`full` with the shape, dtype and device of `input`."""
    return full(input.shape, fill_value, requires_grad=requires_grad, **_like(input, dtype, device))


def rand_like(
    input: Tensor,
    generator: Generator | None = None,
    dtype: DType = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """`rand` with the shape, dtype and device of `input`."""
    return rand(
        input.shape,
        generator=generator,
        requires_grad=requires_grad,
        **_like(input, dtype, device),
    )


def randn_like(
    input: Tensor,
    generator: Generator | None = None,
    dtype: DType = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """`randn` with the shape, dtype and device of `input`."""
    return randn(
        input.shape,
        generator=generator,
        requires_grad=requires_grad,
        **_like(input, dtype, device),
    )


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    generator: Generator | None = None,
    dtype: DType = None,
    device: DeviceLike = None,
) -> Tensor:
    """`randint` with the shape, dtype and device of `input`."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, input.shape, generator, **_like(input, dtype, device))


# --- arguments ----------------------------------------------------------------------------------
def as_dtype(dtype: DType, default: np.dtype = _FLOAT) -> np.dtype:
    """`dtype` as a numpy.dtype; raises DTypeError unless it is a bool, integer or float type."""
    if dtype is None:
        return default
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"unknown dtype {dtype!r}: use minigan.float32, 'int64', ...") from None
    if found.kind not in "biuf" or not found.isnative:
        raise DTypeError(
            f"dtype {found!r} is not supported: use a bool, integer or float type in native order"
        )
    return found


def _size(size: tuple[Any, ...]) -> tuple[int, ...]:
    """Ints, or one sequence of ints, as a shape."""
    dims: Any = size[0] if len(size) == 1 and np.ndim(size[0]) else size
    try:
        shape = tuple(operator.index(length) for length in dims)
    except TypeError:
        raise ShapeError(f"a size is made of ints, got {size!r}") from None
    if any(length < 0 for length in shape):
        raise ShapeError(f"a size cannot be negative, got {shape}")
    return shape


def _xp(device: DeviceLike) -> Any:
    return kernels_on(as_device(device or "cpu")).xp


def _like(input: Tensor, dtype: DType, device: DeviceLike) -> dict[str, Any]:
    return {
        "dtype": input.dtype if dtype is None else dtype,
        "device": input.device if device is None else device,
    }


def _finish(array: np.ndarray, device: DeviceLike, requires_grad: bool) -> Tensor:
    return Tensor._wrap(_xp(device).asarray(array)).requires_grad_(requires_grad)


def _converted(data: Tensor, dtype: DType, device: DeviceLike) -> Tensor:
    """A tensor's values, outside its graph, with another dtype and on another device if asked."""
    y = data.detach().to(data.device if device is None else device)
    return y if dtype is None else y.to(as_dtype(dtype))


def _host_array(data: Any, dtype: DType) -> np.ndarray:
    """`data` in NumPy, of the dtype asked for or implied; shares memory where it can."""
    if hasattr(data, "detach"):  # a torch.Tensor, perhaps in a graph
        data = data.detach()
    try:
        array = np.asarray(data)
    except ValueError:
        raise ShapeError("tensor(): nested sequences must all have the same length") from None
    if dtype is not None:
        wanted = as_dtype(dtype)
    elif array.dtype == np.float64 and not _carries_dtype(data):
        wanted = _FLOAT
    else:
        wanted = array.dtype
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"a tensor holds numbers; {type(data).__name__} gives {array.dtype}")
    return array.astype(wanted, copy=False)


def _carries_dtype(data: Any) -> bool:
    """Whether the numbers in `data` come with a dtype, as NumPy's do and Python's do not."""
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return hasattr(data, "dtype")
