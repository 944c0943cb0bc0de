"""Compiling what only other compiled code calls: to LLVM's code, not to the machine's.

Numba makes machine code of each function, and what calls it is compiled with a copy of it inside.
Nothing calls a helper but a kernel, and nothing a kernel but its entry (threads.py), so their own
machine code would never run. Without it, and with a kernel optimised once, in its entry, the first
step of a fresh installation comes a quarter to a third earlier.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

_without_wrappers: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


# What Python runs instead: it raises TypeError, where a null pointer would end the process.
_REFUSAL = ctypes.cast(ctypes.pythonapi.PyErr_BadArgument, ctypes.c_void_p).value


class OptimisedAsAWhole(JITCodeLibrary):
    """Code whose functions LLVM does not simplify one by one before it optimises all of them.

    Of what a kernel's entry includes helpers are optimised already, and the kernel is with the
    rest: it comes out about as fast, a tenth of the first step earlier.
    """

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _Included(JITCodeLibrary):
    """The code of a function and of all that it calls."""

    def get_pointer_to_function(self, name: str) -> int | None:
        self._ensure_finalized()
        return _REFUSAL

    def _finalize_final_module(self) -> None:
        # Numba still writes to a variable of each function in the process: it gets no more.
        code = self._final_module
        shared = [
            str(variable)
            for variable in code.global_variables
            if variable.linkage == llvmlite.binding.Linkage.common
        ]
        self._final_module = llvmlite.binding.parse_assembly("\n".join(shared))
        super()._finalize_final_module()
        self._final_module = code


class _IncludedAsIs(OptimisedAsAWhole, _Included):
    """The same, not optimised: whoever includes it does that."""

    def _optimize_final_module(self) -> None:
        """Nothing to do."""


def compiler_with(library: type[JITCodeLibrary]) -> type[Compiler]:
    """Numba's compiler, which puts a function into a library of this kind."""

    class Including(Compiler):
        def compile_extra(self, func: Callable[..., Any]) -> Any:
            codegen = self.state.targetctx.codegen()
            self.state.library = library(codegen, func.__qualname__)
            return super().compile_extra(func)

    return Including


_optimised, _as_is = compiler_with(_Included), compiler_with(_IncludedAsIs)


def included(**options: Any) -> Callable[..., Any]:
    """`numba.njit` for a helper. By itself it is optimised too: loops that LLVM finds in small
    functions become faster ones (direct convolutions by a fifth).

    A literal has a type of its own, for which a large helper would be compiled once more: where
    others pass a number, pass np.int64(0).
    """
    return numba.njit(pipeline_class=_optimised, **_without_wrappers, **options)


def included_as_is(**options: Any) -> Callable[..., Any]:
    """`numba.njit` for what is called from one place."""
    return numba.njit(pipeline_class=_as_is, **_without_wrappers, **options)
