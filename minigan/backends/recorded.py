"""Arrays that write down what is done to them, so that it can be done again without Python.

A step of a small network spends a third of its time between its kernels: on the graph, on checks,
on memory. All of that comes out the same each time. So a step can be recorded: it runs as usual,
on `RecordedArray`s, which compute at once and put each computation on a tape, with the addresses
that it read and wrote. To run the tape is to take the step again. `cpu/graph.py` makes and runs it.

A RecordedArray is no numpy.ndarray, as a CuPy array is none: NumPy hands each function of it to
`__array_ufunc__` or `__array_function__`, and nothing can be computed unseen. What cannot be
repeated (a value that is read back, a shape that depends on values) is computed all the same, but
the tape is marked with the reason: the step is then right, and the tape of no use.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from minigan.backends.arena import Arena, Lease
from minigan.errors import CaptureError

Action = Callable[[], Any]

_MASK64 = (1 << 64) - 1

_SHAPES_BY_VALUE = (np.nonzero, np.flatnonzero, np.argwhere, np.unique, np.extract, np.compress)
_OF_NO_VALUES = (np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj,
                 np.may_share_memory)  # fmt: skip
_HAVE_OUT = ("sum", "mean", "max", "min", "prod", "any", "all", "clip", "argmax", "argmin", "take",
             "cumsum", "var", "std")  # fmt: skip
_OTHERS = ("reshape", "transpose", "swapaxes", "ravel", "flatten", "squeeze", "view", "diagonal",
           "repeat", "argsort", "dot")  # fmt: skip


class Memory:
    """What the tapes of a model work in. Only one runs at a time, so they share what passes."""

    def __init__(self) -> None:
        self.passing, self.lasting = Arena(), Arena()
        self.pinned: list[Lease] = []  # of what lasts
        self.notes: dict[str, Any] = {}  # of kernels, by their module


class Tape:
    """What a recording consists of: actions in order, and the memory that they work in.

    An action is called without arguments. `refusal` says why the tape cannot stand for the step.
    """

    def __init__(self, memory: Memory, generator: np.ndarray, state: tuple[int, int]) -> None:
        """generator: uint64 [seed, offset] of the random numbers, now in that state."""
        self.memory, self._generator, self._state = memory, generator, state
        generator[:] = state
        self.drawn = 0  # counters of random numbers that are used up
        self._thread = threading.get_ident()
        self._lasting = False
        self.actions: list[Action] = []
        self.kept: dict[int, Any] = {}  # what the actions need, by its identity
        self.refusal: str | None = None

    def refuse(self, reason: str) -> None:
        """Say why this tape cannot be repeated; the first reason is the one that counts."""
        self.refusal = self.refusal or reason

    def append(self, action: Action) -> None:
        """Put down what has just been done."""
        errors = np.geterr()
        quiet = {kind: how for kind, how in errors.items() if how == "ignore" != _ERRORS.get(kind)}
        self.actions.append(partial(_quietly, quiet, action) if quiet else action)

    def do(self, action: Action) -> None:
        """Do it, and put it down as one; not what it consists of."""
        _Active.tape = None
        try:
            action()
        finally:
            _Active.tape = self
        self.append(action)

    def empty(self, shape: Any, dtype: Any) -> RecordedArray:
        """An array in the tape's memory, not filled."""
        arena = self.memory.lasting if self._lasting else self.memory.passing
        raw, lease = arena.empty(shape, dtype)
        if self._lasting:
            self.memory.pinned.append(lease)
        return RecordedArray(raw, lease)

    def like(self, values: np.ndarray) -> RecordedArray:
        """A copy of an array, its axes in the same order in memory."""
        order = sorted(range(values.ndim), key=lambda axis: -abs(values.strides[axis]))
        out = self.empty([values.shape[axis] for axis in order], values.dtype)
        raw = out.raw.transpose(np.argsort(order)) if order else out.raw
        raw[...] = values
        return RecordedArray(raw, out.owner)

    def known(self, array: Any) -> RecordedArray:
        """An array whose memory outlives the tape, or is of its own."""
        if isinstance(array, RecordedArray):
            return array
        self.kept[id(array)] = array
        return RecordedArray(array, array)

    def counter(self, seed: int, offset: int, words: int) -> tuple[RecordedArray, int]:
        """For a draw of random words: where seed and counter are, and how far from there it is."""
        ahead = (offset - self._state[1]) & _MASK64
        if seed != self._state[0] or ahead != self.drawn:  # the draws of one generator adjoin
            self.refuse("it draws from a generator of its own: let it draw from minigan's")
            return self.known(np.array([seed, offset], np.uint64)), 0
        self.drawn += -(-words // 4)
        return self.known(self._generator), ahead

    @contextmanager
    def apart(self) -> Iterator[list[Action]]:
        """Collect the actions of the block in a list, not on the tape.

        Their memory is used by nothing else, also before the block: so they can run at any place of
        the tape, and what they make is there when it runs again.
        """
        outer, self.actions, self._lasting = self.actions, [], True
        try:
            yield self.actions
        finally:
            self.actions, self._lasting = outer, False

    def of_this_thread(self) -> bool:
        """Whether it is this thread's work that is recorded."""
        return self._thread == threading.get_ident()


_ERRORS: dict[str, Any] = {**np.geterr()}


def _quietly(errors: dict[str, Any], action: Action) -> None:
    with np.errstate(**errors):
        action()


class _Active:
    tape: Tape | None = None
    lock = threading.Lock()  # one recording at a time


def tape() -> Tape | None:
    """The tape of the recording that this thread is in."""
    found = _Active.tape
    return found if found is not None and found.of_this_thread() else None


@contextmanager
def recording_to(new: Tape) -> Iterator[None]:
    """Record what this thread computes in the block. Raises CaptureError inside of such a block."""
    if tape() is not None:
        raise CaptureError("it is part of a step that is being recorded")
    with _Active.lock:
        _Active.tape = new
        try:
            yield
        finally:
            _Active.tape = None


def is_recording() -> bool:
    """Whether any thread records: if not, nothing is asked of anything else."""
    return _Active.tape is not None


def recorded(array: Any) -> Any:
    """The array, or while a step is recorded one that writes down what is done to it."""
    if _Active.tape is None or (now := tape()) is None or not isinstance(array, np.ndarray):
        return array
    return now.known(array)


def raw(value: Any) -> Any:
    """A recorded array as NumPy's, in the same memory; also inside of lists and tuples."""
    if isinstance(value, RecordedArray):
        return value.raw
    if isinstance(value, list | tuple):
        return type(value)([raw(v) for v in value])
    return value


class RecordedArray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array of a recording: `raw`, and what keeps its memory from being given to others."""

    __slots__ = ("base", "owner", "raw")

    def __init__(self, raw: np.ndarray, owner: Any, base: RecordedArray | None = None) -> None:
        self.raw, self.owner, self.base = raw, owner, base

    # --- what it is ---------------------------------------------------------------------------
    shape = property(lambda self: self.raw.shape)
    strides = property(lambda self: self.raw.strides)
    dtype = property(lambda self: self.raw.dtype)
    ndim = property(lambda self: self.raw.ndim)
    size = property(lambda self: self.raw.size)
    itemsize = property(lambda self: self.raw.itemsize)
    nbytes = property(lambda self: self.raw.nbytes)
    flags = property(lambda self: self.raw.flags)
    T = property(lambda self: self.transpose())

    def __len__(self) -> int:
        return len(self.raw)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"RecordedArray({self.raw!r})"

    # --- what is computed from it -------------------------------------------------------------
    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        function = getattr(ufunc, method)
        out = options.pop("out", None)
        given, options = raw(inputs), {key: raw(value) for key, value in options.items()}
        if out is not None or method == "at":
            places = {} if out is None else {"out": raw(out)}
            _done(partial(function, *given, **places, **options))
            return None if out is None else out[0] if len(out) == 1 else out
        result = function(*given, **options)
        now = tape()
        if now is None:
            return result
        if isinstance(result, tuple):
            return _kept(now, result, [], partial(function, *given, **options))
        new = now.like(np.asarray(result))
        now.append(partial(function, *given, out=new.raw, **options))
        return new

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function is np.empty_like and (now := tape()) is not None:
            like = function(*raw(args), **options)
            return now.empty(like.shape, like.dtype)
        return _applied(function, function is np.concatenate, args, options)

    def __getitem__(self, key: Any) -> Any:
        parts = key if isinstance(key, tuple) else (key,)
        if any(_is_mask(part) for part in parts):
            _refused("it selects by a mask, which gives an array whose shape depends on values")
        return _applied(operator.getitem, False, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        _done(partial(operator.setitem, self.raw, raw(key), raw(value)))

    def copy(self, order: Any = "C") -> Any:
        """As ndarray's, C-contiguous."""
        return _filled_by_copy(self.raw, self.raw.copy(order))

    def astype(self, dtype: Any, order: Any = "K", copy: bool = True) -> Any:
        """As ndarray's."""
        result = self.raw.astype(dtype, order, copy=copy)
        return self if result is self.raw else _filled_by_copy(self.raw, result)

    def fill(self, value: Any) -> None:
        """As ndarray's."""
        self[...] = value

    # --- what no tape can repeat --------------------------------------------------------------
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "device":  # what others ask to see what this is
            raise AttributeError(name)
        _refused(f"it uses {name!r} of an array, which is not known how to record")
        return getattr(self.raw, name)

    def _read(self, how: str) -> np.ndarray:
        _refused(f"it reads a value back, with {how}: keep the tensor instead")
        return self.raw

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._read("numpy()"), dtype, copy=copy)

    def __float__(self) -> float:
        return float(self._read("float()"))

    def __int__(self) -> int:
        return int(self._read("int()"))

    def __index__(self) -> int:
        return operator.index(self._read("int()")[()])

    def __bool__(self) -> bool:
        return bool(self._read("bool()"))

    def item(self, *args: Any) -> Any:
        """As ndarray's."""
        return self._read("item()").item(*args)

    def tolist(self) -> Any:
        """As ndarray's."""
        return self._read("tolist()").tolist()


def _method(name: str) -> Any:
    function = getattr(np.ndarray, name)

    def method(self: RecordedArray, *args: Any, **options: Any) -> Any:
        return _applied(function, name in _HAVE_OUT, (self, *args), options)

    method.__name__, method.__doc__ = name, "As ndarray's."
    return method


for _name in (*_HAVE_OUT, *_OTHERS):
    setattr(RecordedArray, _name, _method(_name))


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray | RecordedArray) and part.dtype == np.bool_


def _refused(reason: str) -> None:
    if (now := tape()) is not None:
        now.refuse(reason)


def _done(action: Action) -> None:
    """Do what changes memory that is there."""
    action()
    if (now := tape()) is not None:
        now.append(action)


def _filled_by_copy(source: np.ndarray, result: np.ndarray) -> Any:
    now = tape()
    if now is None:
        return result
    new = now.like(result)
    now.append(partial(np.copyto, new.raw, source, casting="unsafe"))
    return new


def _applied(function: Any, has_out: bool, args: Any, options: dict[str, Any]) -> Any:
    """A function of NumPy, on recorded arrays: a view, new values, or a change in place."""
    now = tape()
    again = partial(function, *raw(args), **{key: raw(value) for key, value in options.items()})
    result = again()
    if now is None or function in _OF_NO_VALUES:
        return result
    if result is None or options.get("out") is not None:  # in place, as by np.copyto
        now.append(again)
        return options.get("out")
    if function in _SHAPES_BY_VALUE:
        now.refuse(f"it uses {function.__name__}, whose result's shape depends on values")
    given = list(_arrays((args, tuple(options.values()))))
    if has_out and _viewed(result, given) is None:
        new = now.like(np.asarray(result))
        now.append(partial(again, out=new.raw))
        return new
    return _kept(now, result, given, again)


def _kept(now: Tape, result: Any, given: list[Any], again: Action) -> Any:
    """Results of a recorded function: views as they are, new values in memory of the tape's."""
    several = isinstance(result, tuple | list)
    outputs: list[Any] = []
    fills: list[tuple[int, np.ndarray]] = []
    for i, value in enumerate(result if several else [result]):
        source = _viewed(value, given)
        if not isinstance(value, np.ndarray | np.generic):
            now.refuse(f"it reads a value back: a {type(value).__name__}")
            outputs.append(value)
        elif source is not None:
            seen = now.known(source)
            outputs.append(RecordedArray(np.asarray(value), seen.owner, seen))
        else:
            outputs.append(new := now.like(np.asarray(value)))
            fills.append((i, new.raw))
    if fills:
        now.append(partial(_fill, fills, again, several))
    return type(result)(outputs) if several else outputs[0]


def _fill(places: list[tuple[int, np.ndarray]], again: Action, several: bool) -> None:
    results = again()
    for i, place in places:
        np.copyto(place, results[i] if several else results)


def _arrays(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, np.ndarray | RecordedArray):
            yield value
        elif isinstance(value, list | tuple):
            yield from _arrays(value)


def _viewed(result: Any, given: list[Any]) -> Any:
    """The argument in whose memory a result lies, if it lies in one's."""
    if not isinstance(result, np.ndarray) or result.base is None:
        return None
    return next((a for a in given if np.may_share_memory(result, raw(a))), None)
