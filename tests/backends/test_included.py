"""What only compiled code calls: no machine code of its own, and no crash where Python calls it."""

import numpy as np
import pytest

pytest.importorskip("numba")

import numba

from minigan.backends.cpu.included import included, included_as_is
from minigan.backends.cpu.threads import kernel, run


@included()
def _twice(x):
    return 2 * x


@included_as_is()
def _thrice(x):
    return 3 * x


@kernel
def _sums(chunk, chunks, x, out):
    for i in range(chunk * len(x) // chunks, (chunk + 1) * len(x) // chunks):
        out[i] = _twice(x[i]) + _thrice(x[i])


def test_kernels_include_it():
    x = np.arange(10, dtype=np.float32)
    out = np.zeros_like(x)
    run(_sums, 3, x, out)
    np.testing.assert_array_equal(out, 5 * x)


@pytest.mark.parametrize("function", [_twice, _thrice])
def test_a_call_from_python_is_refused(function):
    with pytest.raises(TypeError):
        function(1.0)


@pytest.mark.parametrize("function", [_twice, _thrice])
def test_it_has_no_machine_code(function):
    function.compile((numba.float64,))
    for compiled in function.overloads.values():
        engine = compiled.library.codegen._engine
        assert not engine.is_symbol_defined(compiled.fndesc.llvm_func_name)
