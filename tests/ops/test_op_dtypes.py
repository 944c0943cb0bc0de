"""float32 stays float32, Python numbers never promote, integers become floats where they must."""

from __future__ import annotations

import numpy as np
import pytest
from op_runner import DIFFERENTIABLE, forward, in_dtype, named, upstream
from op_samples import Entry, Sample, as_tensor

import minigan as mg
from minigan import ops
from minigan.autograd import grad, gradcheck, gradgradcheck
from minigan.tensor import Tensor

KEEPS_DTYPE = [c for c in DIFFERENTIABLE if c[1].name not in ("Tensor.to", "Tensor.double")]


@pytest.mark.parametrize(**named(KEEPS_DTYPE))
def test_float32_in_float32_out(entry: Entry, sample: Sample):
    """Values, gradients by the fused and the composite rule, and gradients of gradients."""
    outputs, leaves = forward(entry, sample, in_dtype(np.float32))
    outputs = [o for o in outputs if o.is_floating_point()]
    assert {o.dtype for o in outputs} == {np.dtype(np.float32)}
    ups = [as_tensor(u.astype(np.float32), True) for u in upstream(outputs)]
    fused = grad(outputs, leaves, ups, retain_graph=True)
    first = grad(outputs, leaves, ups, create_graph=True)
    assert {g.dtype for g in fused} == {np.dtype(np.float32)}
    assert {g.dtype for g in first} == {np.dtype(np.float32)}
    live = [g for g in first if g.requires_grad]
    vs = [as_tensor(v.astype(np.float32), False) for v in upstream(live)]
    second = grad(live, [*leaves, *ups], vs, allow_unused=True)
    assert {g.dtype for g in second if g is not None} <= {np.dtype(np.float32)}


NUMBERS = [2, 2.5, True, np.float64(2.5), np.int64(2), 1e300]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{type(n).__name__}-{n}")
@pytest.mark.parametrize(
    "operation", [ops.add, ops.sub, ops.mul, ops.div, ops.maximum, ops.minimum]
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_never_promote(operation, number, dtype):
    x = as_tensor(np.array([1.0, 2.0], dtype), False)
    with np.errstate(over="ignore"):
        assert operation(x, number).dtype == dtype
        assert operation(number, x).dtype == dtype


@pytest.mark.parametrize("number", [2, 3, 0.5, -1.0, np.float64(2.0), np.int64(2)])
def test_powers_never_promote(number):
    x = as_tensor(np.array([1.0, 2.0], np.float32), False)
    assert (x**number).dtype == np.float32
    assert (number**x).dtype == np.float32


def test_tensors_promote_as_numpy_but_labels_never_widen():
    f32, f64 = mg.ones(2), mg.ones(2, dtype=mg.float64)
    labels = mg.tensor([1, 2])
    assert (f32 + f64).dtype == np.float64
    assert (f32 * labels).dtype == np.float32
    assert (labels * f32).dtype == np.float32
    assert (labels + labels).dtype == np.int64
    assert (labels + 1).dtype == np.int64
    assert (labels * 1.5).dtype == np.float32
    assert (labels / 2).dtype == np.float32
    assert (f32 * (f32 > 0)).dtype == np.float32
    assert ops.cat([f32, f64]).dtype == np.float64


def test_0d_tensors_keep_the_dtype_of_the_other_operand():
    x = mg.ones(2)
    assert (x * x.sum()).dtype == np.float32
    assert (x * mg.tensor(2.0)).dtype == np.float32


@pytest.mark.parametrize("function", [ops.exp, ops.sqrt, ops.mean, ops.tanh, ops.sigmoid, ops.relu])
def test_integers_become_float32_where_the_result_is_no_integer(function):
    assert function(mg.tensor([1, 4])).dtype == np.float32


def test_sums_of_integers_stay_integers():
    assert mg.tensor([1, 4]).sum().dtype == np.int64
    assert mg.tensor([1, 4]).max().dtype == np.int64
    assert (mg.tensor([1, 4]) ** 2).tolist() == [1, 16]


def test_conversions():
    x = mg.tensor([0.0, 1.6])
    assert x.double().dtype == np.float64
    assert x.double().float().dtype == np.float32
    assert x.long().tolist() == [0, 1] and x.long().dtype == np.int64
    assert x.int().dtype == np.int32
    assert x.bool().tolist() == [False, True]
    assert x.to(mg.float64).dtype == x.to("float64").dtype == np.float64
    assert x.to("cpu", dtype=mg.float64).dtype == np.float64
    assert x.to(x.double()).dtype == np.float64
    assert x.to("cpu") is x and x.float() is x


def test_cast_first_and_second_order():
    def through_float64(x: Tensor) -> Tensor:
        return x.to("float64") ** 3

    x = mg.tensor([0.5, -1.5], requires_grad=True)
    (g,) = grad(through_float64(x).sum(), x, create_graph=True)
    assert g.dtype == np.float32
    np.testing.assert_allclose(g.detach(), 3 * np.array([0.25, 2.25]), rtol=1e-6)
    (gg,) = grad(g.sum(), x)
    np.testing.assert_allclose(gg, 6 * np.array([0.5, -1.5]), rtol=1e-6)


def test_cast_in_a_checked_function():
    """A float64 function of float64 inputs that passes through another dtype and back."""
    wide = np.longdouble
    if np.dtype(wide) == np.float64:
        pytest.skip("longdouble is float64 on this platform")
    x = as_tensor(np.array([0.3, -1.2]), True)

    def cube(x: Tensor) -> Tensor:
        return (x.to(np.dtype(wide)) ** 3).to("float64")

    assert gradcheck(cube, [x]) and gradgradcheck(cube, [x])


def test_integers_take_no_gradient():
    with pytest.raises(mg.errors.DTypeError, match="floating-point.*int64"):
        mg.tensor([1, 2]).requires_grad_()
