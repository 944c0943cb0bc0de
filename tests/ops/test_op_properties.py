"""Properties that hold for every shape: broadcasting, and maps against their adjoints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from op_samples import as_tensor

from minigan import ops
from minigan.autograd import grad
from minigan.ops.conv import Conv2d, Conv2dInputGrad, Conv2dWeightGrad, Geometry
from minigan.tensor import Tensor


def wide(rng: np.random.Generator, *shape: int) -> Tensor:
    return as_tensor(np.asarray(rng.standard_normal(shape)), True)


@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=3, min_side=0))
def test_broadcasting_sums_the_gradient_back(shapes):
    """f = sum u (a b + c): each gradient is the full-size one, summed over repeated axes."""
    rng = np.random.default_rng(0)
    a, b, c = (wide(rng, *s) for s in shapes.input_shapes)
    y = a * b + c
    assert tuple(y.shape) == shapes.result_shape
    u = np.asarray(rng.standard_normal(y.shape))
    results = grad(y, [a, b, c], as_tensor(u, False))
    full = [u * b._array, u * a._array, u]
    for got, array, t in zip(results, full, (a, b, c), strict=True):
        array = np.broadcast_to(array, y.shape)
        lead = array.ndim - t.ndim
        axes = (*range(lead), *(lead + i for i, n in enumerate(t.shape) if n == 1))
        want = array.sum(axes, keepdims=True).reshape(t.shape)
        np.testing.assert_allclose(got._array, want, rtol=1e-12, atol=1e-12)


@st.composite
def geometries(draw):
    """A convolution that fits: (geometry, channels, filters, image, kernel)."""

    def two(low, high):
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    groups = draw(st.integers(1, 3))
    stride, dilation, kernel = two(1, 3), two(1, 2), two(1, 4)
    padding = two(0, 2)
    hw = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 4))
        for k, p, d in zip(kernel, padding, dilation, strict=True)
    )
    channels, filters = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    return Geometry(stride, padding, dilation, groups), channels, filters, hw, kernel


@given(case=geometries())
def test_the_three_convolutions_are_one_trilinear_form(case):
    """<C(x, w), g> = <x, T(g, w)> = <w, G(x, g)>."""
    geometry, channels, filters, hw, kernel = case
    rng = np.random.default_rng(0)
    x = wide(rng, 2, channels, *hw)
    w = wide(rng, filters, channels // geometry.groups, *kernel)
    y = Conv2d(geometry)(x, w)
    g = wide(rng, *y.shape)
    form = float((y * g).sum())
    by_input = float((Conv2dInputGrad(geometry, hw)(g, w) * x).sum())
    by_weight = float((Conv2dWeightGrad(geometry, kernel)(x, g) * w).sum())
    scale = float((y.abs() * g.abs()).sum()) + 1.0
    assert by_input == pytest.approx(form, abs=1e-12 * scale)
    assert by_weight == pytest.approx(form, abs=1e-12 * scale)


@given(case=geometries())
def test_conv2d_equals_pytorch_for_any_geometry(torch, case):
    geometry, channels, filters, hw, kernel = case
    rng = np.random.default_rng(1)
    x, w = wide(rng, 2, channels, *hw), wide(rng, filters, channels // geometry.groups, *kernel)
    y = ops.conv2d(x, w, None, *geometry)
    tx, tw = (torch.tensor(t._array, requires_grad=True) for t in (x, w))
    ty = torch.nn.functional.conv2d(tx, tw, None, *geometry)
    u = rng.standard_normal(y.shape)
    ours = grad(y, [x, w], as_tensor(u, False))
    theirs = torch.autograd.grad(ty, [tx, tw], torch.tensor(u))
    np.testing.assert_allclose(y._array, ty.detach().numpy(), rtol=1e-10, atol=1e-10)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a._array, b.numpy(), rtol=1e-10, atol=1e-10)


@given(case=geometries(), extra=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_conv_transpose2d_equals_pytorch_for_any_geometry(torch, case, extra):
    geometry, channels, filters, hw, kernel = case
    stride, padding, dilation, groups = geometry
    extra = tuple(min(e, n - 1) for e, n in zip(extra, stride, strict=True))
    rng = np.random.default_rng(2)
    x, w = wide(rng, 2, channels, *hw), wide(rng, channels, filters // groups, *kernel)
    smallest = geometry.smallest_input_hw(hw, kernel)
    if min(n + e for n, e in zip(smallest, extra, strict=True)) < 1:
        return  # refused, as test_op_errors.py holds
    y = ops.conv_transpose2d(x, w, None, stride, padding, extra, groups, dilation)
    tx, tw = (torch.tensor(t._array, requires_grad=True) for t in (x, w))
    ty = torch.nn.functional.conv_transpose2d(
        tx, tw, None, stride, padding, extra, groups, dilation
    )
    u = rng.standard_normal(y.shape)
    ours = grad(y, [x, w], as_tensor(u, False))
    theirs = torch.autograd.grad(ty, [tx, tw], torch.tensor(u))
    np.testing.assert_allclose(y._array, ty.detach().numpy(), rtol=1e-10, atol=1e-10)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a._array, b.numpy(), rtol=1e-10, atol=1e-10)


@given(
    x=hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4),
                 elements=st.floats(-5, 5)),
    data=st.data(),
)  # fmt: skip
def test_indexing_equals_numpy_and_its_adjoint(x, data):
    key = data.draw(hnp.basic_indices(x.shape, allow_newaxis=True))
    t = as_tensor(x, True)
    y = t[key]
    np.testing.assert_array_equal(y._array, x[key])
    u = np.random.default_rng(0).standard_normal(y.shape)
    (g,) = grad(y, t, as_tensor(np.asarray(u), False))
    assert float((g._array * x).sum()) == pytest.approx(float((u * x[key]).sum()), abs=1e-9)
