"""Compiling what no compiled code calls: on disk it has machine code only.

Beside a function's machine code numba keeps its LLVM code, for what is compiled later to include
it. Nothing includes a kernel's entry (threads.py), and to read that code again, with all that the
entry includes, took a quarter of the first step of a process.

Before numba loads a function it imports all that it compiles with, and SciPy's linear algebra: half
a second. Here that waits until something is compiled.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba.core.caching import FunctionCache
from numba.core.runtime import rtsys

from minigan.backends.cpu.included import OptimisedAsAWhole, compiler_with


class _MachineCode(OptimisedAsAWhole):
    """A function that is loaded without its LLVM code."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.enable_object_caching()

    def serialize_using_object_code(self) -> tuple[str, str, tuple[bytes, bytes]]:
        self._ensure_finalized()
        # Numba finds no machine code but that of functions which the LLVM code defines.
        names = [
            function.name
            for function in self.get_defined_functions()
            if function.linkage == llvmlite.binding.Linkage.external
        ]
        return self.name, "object", (self._get_compiled_object(), _nothing(names))


def _nothing(names: list[str]) -> bytes:
    """LLVM code of functions of these names that do nothing."""
    module = ir.Module()
    for name in names:
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), []), name)
        ir.IRBuilder(function.append_basic_block()).ret_void()
    return bytes(llvmlite.binding.parse_assembly(str(module)).as_bitcode())


class _Files(FunctionCache):
    """A function's code on disk. Where it is full, the next process compiles again."""

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _warn_once(f"CPU kernels are not kept, the next process compiles them again: {error}")


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


class _MachineCodeFiles(_Files):
    """The same, loaded without what compiling needs."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)  # the allocator that compiled code calls
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


_compiler = compiler_with(_MachineCode)


def machine_code(**options: Any) -> Callable[..., Any]:
    """`numba.njit` for what is called from Python only, kept on disk."""

    def compiled(function: Callable[..., Any]) -> Any:
        return kept(numba.njit(pipeline_class=_compiler, **options)(function), _MachineCodeFiles)

    return compiled


def kept(dispatcher: Any, files: type[_Files] = _Files) -> Any:
    """The function of `numba.njit`, its code on disk where the package's or the user's folder can
    be written; numba's `cache=True` raises where none can."""
    with contextlib.suppress(RuntimeError):
        dispatcher._cache = files(dispatcher.py_func)
    return dispatcher
