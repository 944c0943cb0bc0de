"""A stand-in for CuPy without a GPU: arrays whose memory NumPy reads only where CuPy copies it.

It has what minigan uses of CuPy, and refuses what CuPy refuses: an implicit copy to the host,
NumPy arrays among the operands, reading or uploading while a stream is captured. Freed memory is
filled with NaN and handed out again, as CuPy's pools do, so that a graph that uses memory which it
does not own gives wrong numbers here too.

A captured stream executes nothing: it records each operation with the memory that it works on, and
the graph's launch runs them again on that memory. The file is long because it is one module's face.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.cuda_on_cpu.emulator import Emulator

GPUS = 2
_IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
    "array explicitly."
)


class CUDARuntimeError(RuntimeError):
    """What CuPy raises for an error of CUDA's."""


# --- memory -------------------------------------------------------------------------------------
class Block:
    """Memory of a pool; goes back to it when no array uses it any more."""

    def __init__(self, raw: np.ndarray, pool: MemoryPool, device: int) -> None:
        self.raw, self.pool, self.device = raw, pool, device

    def __del__(self) -> None:
        self.raw.fill(0xFF)
        self.pool.free.setdefault(self.raw.size, []).append(self.raw)


class MemoryPool:
    """Blocks by size; the last one freed is the first to be used again."""

    def __init__(self) -> None:
        self.free: dict[int, list[np.ndarray]] = {}
        self.total = 0

    def malloc(self, nbytes: int) -> Block:
        size = -(-max(nbytes, 1) // 512) * 512
        if _now.capturing and self is _default_pool:
            raise AssertionError("a captured stream allocates outside of the graph's own pool")
        waiting = self.free.get(size)
        if not waiting:
            self.total += size
            waiting = [np.full(size, 0xFF, np.uint8)]
        return Block(waiting.pop(), self, _now.device)

    def total_bytes(self) -> int:
        return self.total

    def used_bytes(self) -> int:
        return self.total - sum(size * len(raws) for size, raws in self.free.items())

    def free_all_blocks(self) -> None:
        for raws in self.free.values():
            self.total -= sum(raw.size for raw in raws)
            raws.clear()


_default_pool = MemoryPool()


class _Now:
    """The current device, stream and allocator of the one thread that there is."""

    def __init__(self) -> None:
        self.device = 0
        self.stream: Any = None
        self.allocator: Callable[[int], Block] = _default_pool.malloc
        self.launches = 0

    @property
    def capturing(self) -> Graph | None:
        return None if self.stream is None else self.stream.graph


_now = _Now()


def _forbidden_in_capture(what: str) -> None:
    if _now.capturing is not None:
        raise CUDARuntimeError(
            f"cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing "
            f"({what})"
        )


def _execute(operation: Callable[[], Any]) -> None:
    """Now, or at each launch of the graph that is being captured."""
    if _now.capturing is None:
        operation()
    else:
        _now.capturing.operations.append(operation)


def _new(shape: Any, dtype: Any) -> ndarray:
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    count = int(np.prod(shape, dtype=int))
    block = _now.allocator(count * dtype.itemsize)
    return ndarray(block.raw[: count * dtype.itemsize].view(dtype).reshape(shape), block)


def _computed(function: Callable[..., Any], *args: Any, **kwargs: Any) -> ndarray:
    """What a NumPy function makes of device arrays, in new device memory."""
    host_args, host_kwargs = _hosts(args), {k: _host(v) for k, v in kwargs.items()}

    def result() -> np.ndarray:
        return np.asarray(function(*host_args, **host_kwargs))

    with np.errstate(all="ignore"):
        value = result()  # also while capturing, for the shape and dtype that it would have
    out = _new(value.shape, value.dtype)
    if _now.capturing is None:
        out._host[...] = value
    else:
        target = out._host

        def run() -> None:
            with np.errstate(all="ignore"):
                target[...] = result()

        _now.capturing.operations.append(run)
    return out


def _host(value: Any) -> Any:
    """The memory of an operand; NumPy arrays are no operands."""
    if isinstance(value, ndarray):
        if value._block.device != _now.device:
            raise ValueError(
                f"an array of device {value._block.device} while the current device is "
                f"{_now.device}"
            )
        return value._host
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(_host(v) for v in value)
    return value


def _hosts(values: Any) -> tuple[Any, ...]:
    return tuple(_host(value) for value in values)


def _key(key: Any) -> Any:
    """An index; device arrays become the memory that holds the positions."""
    if isinstance(key, tuple):
        return tuple(_key(part) for part in key)
    if isinstance(key, ndarray):
        if key.dtype == bool:
            _forbidden_in_capture("a bool index asks how many elements are true")
        return key._host
    if isinstance(key, np.ndarray | list):
        raise IndexError("an index array on the host: minigan puts it on the device first")
    return key


def _is_view(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return not any(isinstance(part, ndarray) for part in parts)


# --- arrays -------------------------------------------------------------------------------------
class ndarray:
    """cupy.ndarray: `_host` is its memory, which only this module may touch."""

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray, block: Block, base: ndarray | None = None) -> None:
        self._host, self._block, self.base = host, block, base

    def _view(self, host: np.ndarray) -> ndarray:
        return ndarray(host, self._block, self if self.base is None else self.base)

    # what it is
    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: self._host.flags)
    device = property(lambda self: Device(self._block.device))
    data = property(lambda self: _Pointer(self))
    T = property(lambda self: self.transpose())

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[ndarray]:
        return (self[i] for i in range(len(self)))

    # to the host, and from it
    def get(self) -> np.ndarray:
        _forbidden_in_capture("a copy to the host")
        return self._host.copy()

    def set(self, array: np.ndarray) -> None:
        _forbidden_in_capture("a copy from the host")
        if not isinstance(array, np.ndarray) or array.shape != self.shape:
            raise ValueError("Shape mismatch")
        if array.dtype != self.dtype:
            raise TypeError("Dtype mismatch")
        self._host[...] = array

    def item(self) -> Any:
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def __bool__(self) -> bool:
        return bool(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __index__(self) -> int:
        return self.get().__index__()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError(_IMPLICIT)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = self._host.__array_interface__
        return {**interface, "stream": 1, "version": 3}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._block.device

    def __dlpack__(self, **kwargs: Any) -> Any:
        return _Capsule(self)

    # NumPy's functions of device arrays are CuPy's functions
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__" or not hasattr(cupy, ufunc.__name__):
            return NotImplemented
        if "out" in kwargs:
            (out,) = kwargs.pop("out")
            return _in_place(ufunc, out, *inputs)
        return getattr(cupy, ufunc.__name__)(*inputs, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        ours = getattr(cupy, func.__name__, None)
        return NotImplemented if ours is None else ours(*args, **kwargs)

    # views
    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        shape = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        host = self._host.reshape(shape)
        if np.shares_memory(host, self._host) or not host.size:
            return self._view(host)
        return self.copy().reshape(shape)

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self._host.transpose(*axes))

    def swapaxes(self, a: int, b: int) -> ndarray:
        return self._view(self._host.swapaxes(a, b))

    def squeeze(self, axis: Any = None) -> ndarray:
        return self._view(self._host.squeeze(axis))

    def view(self, dtype: Any) -> ndarray:
        return self._view(self._host.view(dtype))

    def ravel(self) -> ndarray:
        return self.reshape(-1)

    def __getitem__(self, key: Any) -> ndarray:
        if _is_view(key):
            host = self._host[_key(key) if isinstance(key, tuple) else (_key(key), ...)]
            return self._view(host)
        position = _key(key)
        return _computed(lambda x: x[position], self)

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray | list) and np.ndim(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        target, position, source = self._host, _key(key), _host(value)
        # NumPy's own errors for shapes come at once, also while capturing.
        np.broadcast_to(np.asarray(source), target[position].shape)

        def assign() -> None:
            target[position] = source

        _execute(assign)

    def fill(self, value: Any) -> None:
        self[...] = value

    # new arrays
    def astype(self, dtype: Any, copy: bool = True) -> ndarray:
        if not copy and self.dtype == np.dtype(dtype):
            return self
        return _computed(lambda x: x.astype(dtype), self)

    def copy(self, order: str = "C") -> ndarray:
        return _computed(lambda x: x.copy(), self)

    def take(self, indices: Any, axis: Any = None) -> ndarray:
        return _computed(lambda x, i: x.take(i, axis), self, indices)

    def clip(self, low: Any = None, high: Any = None, out: Any = None) -> ndarray:
        if out is not None:
            return _in_place(np.clip, out, self, low, high)
        return _computed(np.clip, self, low, high)

    def __reduce__(self) -> Any:
        raise TypeError("pickled")


def _method(name: str) -> Callable[..., ndarray]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> ndarray:
        return _computed(lambda x: getattr(x, name)(*args, **kwargs), self)

    return method


for _name in ("sum", "max", "min", "mean", "prod", "any", "all", "argmax", "argmin", "argsort"):
    setattr(ndarray, _name, _method(_name))


def _argsort(self: ndarray, axis: int = -1, kind: str | None = None) -> ndarray:
    _forbidden_in_capture("Thrust's sort waits for the stream")
    if kind not in (None, "stable"):
        raise ValueError("only a stable sort")
    return _computed(lambda x: x.argsort(axis, kind="stable"), self)


ndarray.argsort = _argsort  # type: ignore[attr-defined]


def _in_place(ufunc: Any, out: ndarray, *inputs: Any) -> ndarray:
    target, operands = out._host, _hosts(inputs)

    def run() -> None:
        with np.errstate(all="ignore"):
            ufunc(*operands, out=target, casting="same_kind")

    _execute(run)
    return out


def _operators() -> None:
    binary = {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide,
        "pow": np.power, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or,
        "xor": np.bitwise_xor, "lshift": np.left_shift, "rshift": np.right_shift,
        "mod": np.remainder, "floordiv": np.floor_divide,
    }  # fmt: skip
    compare = {
        "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
        "eq": np.equal, "ne": np.not_equal,
    }  # fmt: skip

    def forward(ufunc: Any) -> Any:
        return lambda self, other: _computed(ufunc, self, other)

    def reflected(ufunc: Any) -> Any:
        return lambda self, other: _computed(ufunc, other, self)

    def augmented(ufunc: Any) -> Any:
        return lambda self, other: _in_place(ufunc, self, self, other)

    for name, ufunc in (binary | compare).items():
        setattr(ndarray, f"__{name}__", forward(ufunc))
    for name, ufunc in binary.items():
        setattr(ndarray, f"__r{name}__", reflected(ufunc))
        setattr(ndarray, f"__i{name}__", augmented(ufunc))
    for name, ufunc in {"neg": np.negative, "abs": np.absolute, "invert": np.invert}.items():
        setattr(ndarray, f"__{name}__", (lambda u: lambda self: _computed(u, self))(ufunc))


_operators()


class _Pointer:
    """ndarray.data."""

    def __init__(self, array: ndarray) -> None:
        self._array = array
        self.ptr = array._host.ctypes.data

    def copy_from_host_async(self, address: int, nbytes: int, stream: Any = None) -> None:
        _forbidden_in_capture("a copy from the host")
        source = np.ctypeslib.as_array((np.ctypeslib.ctypes.c_ubyte * nbytes).from_address(address))
        self._array._host.reshape(-1).view(np.uint8)[:] = source


class _Capsule:
    def __init__(self, array: ndarray) -> None:
        self.array = array


# --- streams and graphs -------------------------------------------------------------------------
class Device:
    def __init__(self, index: int | None = None) -> None:
        self.id = _now.device if index is None else index

    def use(self) -> None:
        _now.device = self.id

    def synchronize(self) -> None:
        _forbidden_in_capture("waiting for the device")

    def __enter__(self) -> None:
        self._before = _now.device
        _now.device = self.id

    def __exit__(self, *exc: object) -> None:
        _now.device = self._before

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return self.id


class Event:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def record(self, stream: Any = None) -> None:
        pass

    def synchronize(self) -> None:
        _forbidden_in_capture("waiting for an event")


class Stream:
    def __init__(self, non_blocking: bool = False, null: bool = False) -> None:
        self.non_blocking, self.null = non_blocking, null
        self.graph: Graph | None = None
        self._before: list[Any] = []

    def __enter__(self) -> Stream:
        self._before.append(_now.stream)
        _now.stream = self
        return self

    def __exit__(self, *exc: object) -> None:
        _now.stream = self._before.pop()

    def record(self, event: Event | None = None) -> Event:
        return event or Event()

    def wait_event(self, event: Event) -> None:
        pass

    def synchronize(self) -> None:
        _forbidden_in_capture("waiting for the stream")

    def begin_capture(self, mode: int | None = None) -> None:
        if not self.non_blocking:
            raise CUDARuntimeError("cudaErrorStreamCaptureImplicit")
        self.graph = Graph()

    def end_capture(self) -> Graph:
        graph, self.graph = self.graph, None
        if graph is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not capturing")
        return graph


class Graph:
    """The operations of a capture, each bound to its memory."""

    def __init__(self) -> None:
        self.operations: list[Callable[[], Any]] = []

    def launch(self, stream: Any = None) -> None:
        for operation in self.operations:
            operation()

    def upload(self, stream: Any = None) -> None:
        pass


@contextlib.contextmanager
def _using_allocator(allocator: Callable[[int], Block]) -> Iterator[None]:
    before, _now.allocator = _now.allocator, allocator
    try:
        yield
    finally:
        _now.allocator = before


# --- the module ---------------------------------------------------------------------------------
def _function(function: Callable[..., Any]) -> Callable[..., ndarray]:
    def call(*args: Any, **kwargs: Any) -> ndarray:
        return _computed(function, *args, **kwargs)

    return call


def _asarray(value: Any, dtype: Any = None, copy: bool = False) -> ndarray:
    if isinstance(value, ndarray):
        moved = value._block.device != _now.device
        if moved:
            _forbidden_in_capture("a copy from another GPU")
            out = _new(value.shape, value.dtype)
            out._host[...] = value._host
            value = out
        wanted = value.dtype if dtype is None else np.dtype(dtype)
        return value if wanted == value.dtype and not copy else value.astype(wanted)
    host = np.asarray(value, dtype=dtype)
    out = _new(host.shape, host.dtype)
    if host.ndim:
        _forbidden_in_capture("a copy from the host")
        out._host[...] = host
    else:
        out[...] = host[()]
    return out


def _ascontiguousarray(array: ndarray, dtype: Any = None) -> ndarray:
    if not isinstance(array, ndarray):
        return _asarray(array, dtype)
    return array if array.flags.c_contiguous else array.copy()


def _filled(value: Any) -> Callable[..., ndarray]:
    def make(shape: Any, dtype: Any = np.float64) -> ndarray:
        out = _new(shape, dtype)
        out[...] = value
        return out

    return make


def _like(make: Callable[..., ndarray]) -> Callable[..., ndarray]:
    return lambda a, dtype=None, order="K", shape=None: make(
        a.shape if shape is None else shape, a.dtype if dtype is None else dtype
    )


def _full(shape: Any, value: Any, dtype: Any = None) -> ndarray:
    return _filled(value)(shape, np.asarray(value).dtype if dtype is None else dtype)


def _full_like(a: ndarray, value: Any, order: str = "K", shape: Any = None) -> ndarray:
    return _full(a.shape if shape is None else shape, value, a.dtype)


def _as_strided(array: ndarray, shape: Any, strides: Any) -> ndarray:
    return array._view(np.lib.stride_tricks.as_strided(array._host, shape, strides))


def _from_dlpack(source: Any) -> ndarray:
    return source.__dlpack__().array


def _no_cublas(function: Callable[..., Any]) -> Callable[..., ndarray]:
    def call(*args: Any, **kwargs: Any) -> ndarray:
        if _now.capturing is not None:
            raise NotImplementedError("calling cuBLAS API during stream capture is not supported")
        return _computed(function, *args, **kwargs)

    return call


def _joins(function: Callable[..., Any]) -> Callable[..., ndarray]:
    def call(arrays: Any, *args: Any, **kwargs: Any) -> ndarray:
        _forbidden_in_capture("the upload of a table of addresses")
        return _computed(function, list(arrays), *args, **kwargs)

    return call


def _add_at(out: ndarray, index: Any, values: Any) -> None:
    target, position, operand = out._host, _key(index), _host(values)
    _execute(lambda: np.add.at(target, position, operand))


def _module() -> Any:
    names = (  # noqa: SIM905
        "where exp log log1p expm1 sqrt sin cos tan tanh abs absolute sign floor maximum minimum "
        "fabs isfinite isnan isinf add subtract multiply divide true_divide power negative equal "
        "not_equal less less_equal greater greater_equal logical_and logical_or logical_not "
        "take_along_axis pad clip sum mean max min argmax argmin any all "
        "square reciprocal invert bitwise_and bitwise_or bitwise_xor left_shift right_shift "
        "cumsum nan_to_num repeat tile"
    ).split()
    module = SimpleNamespace(**{name: _function(getattr(np, name)) for name in names})
    module.add.at = _add_at
    for name in ("matmul", "tensordot", "dot", "einsum"):
        setattr(module, name, _no_cublas(getattr(np, name)))
    for name in ("concatenate", "stack"):
        setattr(module, name, _joins(getattr(np, name)))
    module.linalg = SimpleNamespace(norm=_function(np.linalg.norm))
    module.__version__ = "0.0 (stand-in)"
    module.ndarray = ndarray
    module.is_available = lambda: True
    module.asarray = _asarray
    module.array = lambda value, dtype=None, copy=True: _asarray(value, dtype, copy=copy)
    module.ascontiguousarray = _ascontiguousarray
    module.asnumpy = lambda array: array.get()
    module.from_dlpack = _from_dlpack
    module.empty = lambda shape, dtype=np.float64: _new(shape, dtype)
    module.zeros, module.ones = _filled(0), _filled(1)
    module.full = _full
    module.empty_like = _like(module.empty)
    module.full_like = _full_like
    module.zeros_like, module.ones_like = _like(module.zeros), _like(module.ones)
    module.arange = lambda *args, dtype=None: _computed(lambda: np.arange(*args, dtype=dtype))
    module.eye = lambda n, m=None, dtype=np.float64: _computed(lambda: np.eye(n, m, dtype=dtype))
    module.broadcast_to = lambda a, shape: a._view(np.broadcast_to(a._host, shape))
    module.moveaxis = lambda a, source, to: a._view(np.moveaxis(a._host, source, to))
    module.may_share_memory = lambda a, b: np.may_share_memory(a._host, b._host)
    module.flip = lambda a, axis=None: a._view(np.flip(a._host, axis))
    module.expand_dims = lambda a, axis: a._view(np.expand_dims(a._host, axis))
    module.argsort = lambda a, axis=-1, kind=None: a.argsort(axis, kind)
    module.lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_as_strided))
    for name in ("inf", "nan", "pi", "float32", "float64", "int64", "uint32", "uint64", "newaxis"):
        setattr(module, name, getattr(np, name))
    null = Stream(null=True)
    module.cuda = SimpleNamespace(
        Device=Device,
        Event=Event,
        Stream=Stream,
        Graph=Graph,
        MemoryPool=MemoryPool,
        using_allocator=_using_allocator,
        alloc_pinned_memory=lambda nbytes: bytearray(max(nbytes, 1)),
        get_current_stream=lambda: _now.stream or null,
        runtime=SimpleNamespace(
            getDevice=lambda: _now.device,
            getDeviceCount=lambda: GPUS,
            getDeviceProperties=lambda index: {"name": b"stand-in GPU"},
            streamCaptureModeRelaxed=2,
            CUDARuntimeError=CUDARuntimeError,
        ),
    )
    module.get_default_memory_pool = lambda: _default_pool
    return module


cupy = _module()


class FakeLauncher(Emulator):
    """Runs the real kernels on the stand-in's memory, and counts them by name."""

    xp = cupy

    def __init__(self, library: Any) -> None:
        super().__init__(library)
        self.launched: dict[str, int] = {}

    def address(self, array: Any) -> int:
        return array._host.ctypes.data

    def launch(
        self,
        file: str,
        kernel: str,
        grid: tuple[int, ...],
        block: int,
        args: tuple[Any, ...],
        pointed: Any = (),
    ) -> None:
        for arg in (*args, *pointed):
            if isinstance(arg, np.ndarray) and arg.dtype.names is None:
                raise TypeError(f"{kernel}: an array on the host among the arguments")
        self.launched[kernel] = self.launched.get(kernel, 0) + 1
        host_args, host_pointed = _hosts(args), _hosts(pointed)
        run = super().launch
        _execute(lambda: run(file, kernel, grid, block, host_args, host_pointed))


def as_one_launch(function: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel of the reference in the place of a launch: NumPy on the memory of device arrays.

    It makes one array, several, or none and changes its arguments.
    """

    in_place = function.__annotations__["return"] in (None, "None")

    def launch(*args: Any) -> Any:
        hosts = _hosts(args)
        if in_place:
            _execute(lambda: function(*hosts))
            return None
        values = function(*hosts)
        several = values if isinstance(values, tuple) else (values,)
        outs = tuple(_new(value.shape, value.dtype) for value in several)
        targets = [out._host for out in outs]
        if _now.capturing is None:
            _fill(targets, several)
        else:
            _now.capturing.operations.append(lambda: _fill(targets, function(*hosts)))
        return outs if isinstance(values, tuple) else outs[0]

    return launch


def _fill(targets: list[np.ndarray], values: Any) -> None:
    values = values if isinstance(values, tuple) else (values,)
    for target, value in zip(targets, values, strict=True):
        target[...] = value


def reset() -> None:
    """As at the start: the next test must not see this one's device or stream."""
    assert _now.stream is None and _now.allocator == _default_pool.malloc
    _now.device = 0
