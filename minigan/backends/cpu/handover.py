"""Handing work to helper threads from compiled code: no interpreter lock, no call to the system.

To wake a sleeping thread takes longer than most kernels of a small network. So a helper that has
finished its share keeps looking for the next one for a while before it sleeps: the kernels of a
training step follow each other fast enough to find it awake.

Caller and helpers meet at a desk, an array of 64-bit words: the job (`_FUNCTION`, `_ARGUMENTS`,
`_CHUNKS`), the next chunk to take, and a word for each helper that says what it does. The caller
changes FREE or ASLEEP to POSTED, the helper POSTED to WORKING and that to FREE. Chunks are taken
one by one, so a helper that comes late, or never, only leaves more of them to the caller, who takes
his offer back before he returns. A desk has one caller at a time; others do their work alone.
"""

from __future__ import annotations

import ctypes
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigan.backends.cpu.machine_code import kept, machine_code

_FREE, _POSTED, _WORKING, _ASLEEP = range(4)

_WORD, _LINE = 8, 128  # bytes; two cache lines, as processors fetch them in pairs
_FUNCTION, _ARGUMENTS, _CHUNKS, _FAILED, _OWNED = range(0, 5 * _WORD, _WORD)
_ACQUIRE, _RELEASE, _YIELD = range(5 * _WORD, 8 * _WORD, _WORD)  # functions of the system
_JOURNAL = 8 * _WORD  # 0, or where to note what is called: see `Journal`
_NEXT = _LINE
_HELPERS = 2 * _LINE  # of each helper, a line: what it does, and the lock that it sleeps at
_LOCK = _WORD

_JOURNAL_BYTES = 1 << 14
_RECORD = 3 * _WORD  # of a recorded call: the function, its arguments, the number of chunks

_PATIENCE = 4096  # looks at a helper that is still working before the core is offered to others

# Part of the names of the kernels' copies, in which this file is compiled.
STAMP = f"{zlib.crc32(Path(__file__).read_bytes()):08x}"

_options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_inlined = numba.njit(**_options)


def _compiled(function: Callable[..., Any]) -> Any:
    """What other compiled code calls."""
    return kept(numba.njit(**_options)(function))


def new_desk(helpers: int) -> np.ndarray:
    """A desk for so many helpers, all asleep until they are started."""
    desk = np.zeros((_HELPERS + helpers * _LINE) // _WORD, np.int64)
    # Python's own locks work on every system, and these functions do not need the interpreter.
    python = ctypes.pythonapi
    desk[_ACQUIRE // _WORD] = _address(python.PyThread_acquire_lock)
    desk[_RELEASE // _WORD] = _address(python.PyThread_release_lock)
    desk[_YIELD // _WORD] = _address(_yielding())
    python.PyThread_allocate_lock.restype = ctypes.c_void_p
    for helper in range(helpers):
        line = (_HELPERS + helper * _LINE) // _WORD
        desk[line] = _ASLEEP
        desk[line + _LOCK // _WORD] = lock = python.PyThread_allocate_lock()
        python.PyThread_acquire_lock(ctypes.c_void_p(lock), 1)
    return desk


class Journal:
    """A desk without helpers, which notes each call so that `repeat_calls` can make it again."""

    def __init__(self) -> None:
        self._desk, self._note = new_desk(0), np.zeros(_JOURNAL_BYTES // _WORD, np.int64)
        self._desk[_JOURNAL // _WORD] = self._note.ctypes.data
        self.address = self._desk.ctypes.data

    def last(self) -> tuple[int, np.ndarray] | None:
        """The address of the function called last and a copy of its arguments; None where they
        were too many."""
        function, size = (int(word) for word in self._note[:2])
        return (function, self._note[2 : 2 + -(-size // _WORD)].copy()) if function else None


def all_asleep(desk: np.ndarray) -> bool:
    """Whether no helper is looking for work."""
    return bool((desk[_HELPERS // _WORD :: _LINE // _WORD] == _ASLEEP).all())


def _yielding() -> Any:
    """The system's function that lets another thread have this core."""
    if os.name == "nt":
        return ctypes.WinDLL("kernel32").SwitchToThread  # type: ignore[attr-defined]
    return ctypes.CDLL(None).sched_yield


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


# --- what Python has no word for ------------------------------------------------------------------
_primitive: Any = intrinsic  # whose type does not count the compiler among the arguments
_INT, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@_primitive
def _load(typingctx, address):
    def code(context, builder, signature, args):
        return builder.load_atomic(_word(builder, args[0]), "acquire", _WORD)

    return types.int64(types.int64), code


@_primitive
def _store(typingctx, address, value):
    def code(context, builder, signature, args):
        builder.store_atomic(args[1], _word(builder, args[0]), "release", _WORD)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), code


@_primitive
def _add(typingctx, address, value):
    """Add to a word; what it was before."""

    def code(context, builder, signature, args):
        return builder.atomic_rmw("add", _word(builder, args[0]), args[1], "acq_rel")

    return types.int64(types.int64, types.int64), code


@_primitive
def _change(typingctx, address, old, new):
    """Set a word to `new` if it is `old`; whether it was."""

    def code(context, builder, signature, args):
        pair = builder.cmpxchg(_word(builder, args[0]), args[1], args[2], "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(types.int64, types.int64, types.int64), code


@_primitive
def _pause(typingctx):
    """Tell the processor that this loop only waits."""

    def code(context, builder, signature, args):
        processor = builder.module.triple.split("-")[0]
        if processor == "x86_64":
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        elif processor in ("aarch64", "arm64"):
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(32)])
            hint = cgutils.get_or_insert_function(builder.module, kind, "llvm.aarch64.hint")
            builder.call(hint, [ir.Constant(ir.IntType(32), 1)])
        return context.get_dummy_value()

    return types.void(), code


@_primitive
def _call(typingctx, function, pointer, number):
    """Call a C function of a pointer and an int; one that takes fewer ignores the rest."""

    def code(context, builder, signature, args):
        kind = ir.FunctionType(ir.IntType(32), [_BYTES, ir.IntType(32)])
        function = builder.inttoptr(args[0], kind.as_pointer())
        number = builder.trunc(args[2], ir.IntType(32))
        builder.call(function, [builder.inttoptr(args[1], _BYTES), number])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), code


_SHARE = ir.FunctionType(ir.IntType(32), [_BYTES, _INT, _INT])  # (arguments, chunk, chunks)


@_primitive
def _run_chunk(typingctx, function, arguments, chunk, chunks):
    """Call what `packed` made; 0 unless the kernel raised."""

    def code(context, builder, signature, args):
        function = builder.inttoptr(args[0], _SHARE.as_pointer())
        arguments = builder.inttoptr(args[1], _BYTES)
        return builder.call(function, [arguments, args[2], args[3]])

    return types.int32(types.int64, types.int64, types.int64, types.int64), code


def _copied_in(library: Any, compiled: Any) -> str:
    """Put a compiled kernel, with all that it calls, into a library; under which name.

    To link it would leave other definitions of the same names in the process: the ones that it was
    compiled from, and those in other kernels that share a helper. All are optimised apart, so they
    may round apart, and which of them runs would depend on what was compiled or loaded before.
    """
    module = llvmlite.binding.parse_assembly(compiled.library.get_llvm_str())
    for function in module.functions:
        if not function.is_declaration:
            function.linkage = "internal"
    kernel = module.get_function(compiled.fndesc.llvm_func_name)
    name = f"{kernel.name}.{STAMP}"
    kernel.name, kernel.linkage = name, "external"
    library.add_llvm_module(module)
    return name


def _unowned(builder: Any, value: Any, kind: Any, at: tuple[int, ...] = ()) -> Any:
    """Arguments whose arrays say nothing of who owns their memory.

    The caller does, for as long as the kernel runs. What a journal notes is used when the objects
    that owned an array are gone, though the memory is not: to count references would be an error.
    """
    if isinstance(kind, types.Array):
        for field in (0, 1):  # meminfo, parent
            none = ir.Constant(_BYTES, None)
            value = builder.insert_value(value, none, [*at, field])
    elif isinstance(kind, types.BaseTuple):
        items: Any = kind
        for i, item in enumerate(items):
            value = _unowned(builder, value, item, (*at, i))
    return value


@_primitive
def packed(typingctx, kernel, args):
    """(function, arguments, size): the addresses of the kernel behind one signature that any thread
    can call, and of its arguments on the caller's stack, which are so many bytes."""
    call = kernel.get_call_type(typingctx, (types.int64, types.int64, *args.types), {})

    def code(context, builder, signature, values):
        compiled = kernel.dispatcher.get_compile_result(call)
        symbol = _copied_in(context.active_code_library, compiled)
        name = builder.module.get_unique_name(f"share.{symbol}")
        function = ir.Function(builder.module, _SHARE, name)
        function.linkage = "internal"
        inside = ir.IRBuilder(function.append_basic_block())
        place, chunk, chunks = function.args
        kind = context.get_value_type(args)
        items = cgutils.unpack_tuple(inside, inside.load(inside.bitcast(place, kind.as_pointer())))
        kind = context.call_conv.get_function_type(call.return_type, call.args)
        own = cgutils.get_or_insert_function(builder.module, kind, symbol)
        status, _ = context.call_conv.call_function(
            inside, own, call.return_type, call.args, [chunk, chunks, *items]
        )
        inside.ret(status.code)
        memory = cgutils.alloca_once_value(builder, _unowned(builder, values[1], args))
        size = context.get_abi_sizeof(context.get_value_type(args))
        found = [builder.ptrtoint(function, _INT), builder.ptrtoint(memory, _INT), _INT(size)]
        return context.make_tuple(builder, signature.return_type, found)

    return types.UniTuple(types.int64, 3)(kernel, args), code


# --- the two sides of the desk --------------------------------------------------------------------
@_inlined
def _work(desk, function, arguments, chunks):
    """Run chunks until none is left."""
    chunk = _add(desk + _NEXT, 1)
    while chunk < chunks:
        if _run_chunk(function, arguments, chunk, chunks) != 0:
            _store(desk + _FAILED, 1)
        chunk = _add(desk + _NEXT, 1)


@machine_code(**_options)
def serve(desk, helper, looks):
    """A helper's life: do what is posted; sleep where nothing was for so many looks."""
    me = desk + _HELPERS + helper * _LINE
    left = 0
    while True:
        if _load(me) == _POSTED and _change(me, _POSTED, _WORKING):
            _work(desk, _load(desk + _FUNCTION), _load(desk + _ARGUMENTS), _load(desk + _CHUNKS))
            _store(me, _FREE)
            left = looks
        elif left > 0:
            left -= 1
            _pause()
        elif _load(me) == _ASLEEP or _change(me, _FREE, _ASLEEP):
            _call(_load(desk + _ACQUIRE), _load(me + _LOCK), 1)
            left = looks


@_compiled
def _write_down(journal, function, arguments, size):
    """Note a call: its function, how many bytes its arguments are, and they; no function if there
    is no room."""
    fits = 2 * _WORD + size <= _JOURNAL_BYTES
    _store(journal, function if fits else 0)
    _store(journal + _WORD, size)
    for byte in range(0, size if fits else 0, _WORD):
        _store(journal + 2 * _WORD + byte, _load(arguments + byte))


@_compiled
def lead(desk, helpers, chunks, function, arguments, size):
    """The caller's side: run all chunks, with `helpers` helpers; whether none of them raised."""
    if _load(desk + _JOURNAL) != 0:
        _write_down(_load(desk + _JOURNAL), function, arguments, size)
    if helpers == 0 or not _change(desk + _OWNED, 0, 1):
        failed = 0
        for chunk in range(chunks):
            failed |= _run_chunk(function, arguments, chunk, chunks)
        return failed == 0
    _store(desk + _FUNCTION, function)
    _store(desk + _ARGUMENTS, arguments)
    _store(desk + _CHUNKS, chunks)
    _store(desk + _FAILED, 0)
    _store(desk + _NEXT, 0)
    for helper in range(helpers):
        word = desk + _HELPERS + helper * _LINE
        if not _change(word, _FREE, _POSTED) and _change(word, _ASLEEP, _POSTED):
            _call(_load(desk + _RELEASE), _load(word + _LOCK), 0)
    _work(desk, function, arguments, chunks)
    for helper in range(helpers):
        word = desk + _HELPERS + helper * _LINE
        if not _change(word, _POSTED, _FREE):
            looks = 0
            while _load(word) == _WORKING:
                _pause()
                looks += 1
                if looks > _PATIENCE:
                    _call(_load(desk + _YIELD), 0, 0)
    done = _load(desk + _FAILED) == 0
    _store(desk + _OWNED, 0)
    return done


@machine_code(**_options)
def repeat_calls(desk, helpers, records, count):
    """Make recorded calls again, with up to `helpers` helpers; whether no kernel raised."""
    for record in range(records, records + count * _RECORD, _RECORD):
        chunks = _load(record + 2 * _WORD)
        most = min(helpers, chunks - 1)
        if not lead(desk, most, chunks, _load(record), _load(record + _WORD), 0):
            return False
    return True
