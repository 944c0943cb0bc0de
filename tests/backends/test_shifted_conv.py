"""Convolutions to few channels against the reference, on shapes that force each of their paths."""

import numpy as np
import pytest

from minigan.backends import reference

pytest.importorskip("numba")

shifted_conv = pytest.importorskip("minigan.backends.cpu.shifted_conv")
threads = pytest.importorskip("minigan.backends.cpu.threads")

_ONE, _TWO = (1, 1), (2, 2)

# N, C (many), K (few), (H, W), (KH, KW), padding, dilation
FORWARD = {
    "one channel": (3, 64, 1, (9, 10), (3, 3), _ONE, _ONE),
    "three channels": (2, 20, 3, (17, 40), (7, 7), (3, 3), _ONE),
    "fewer pixels than lanes": (5, 6, 2, (2, 3), (3, 3), _ONE, _ONE),
    "padding beyond the kernel": (2, 5, 1, (5, 6), (2, 3), (4, 5), _ONE),
    "asymmetric": (2, 4, 2, (9, 10), (3, 2), (0, 3), (2, 3)),
    "many rows": (1, 9, 3, (130, 33), (5, 5), (2, 2), _ONE),
    "no images": (0, 4, 1, (6, 6), (3, 3), _ONE, _ONE),
    "no channels": (2, 0, 3, (6, 6), (3, 3), _ONE, _ONE),
}
# N, K (many), C (few), (H, W) of the input, (KH, KW), stride, padding, dilation
BACKWARD = {
    "transposed": (3, 64, 1, (28, 28), (4, 4), _TWO, _ONE, _ONE),
    "odd sizes": (2, 16, 3, (15, 13), (3, 3), _TWO, _ONE, _ONE),
    "asymmetric": (2, 5, 2, (9, 10), (3, 2), (2, 1), (0, 3), (2, 3)),
    "some pixels meet no tap": (2, 4, 3, (7, 11), (2, 2), (3, 4), (0, 0), _ONE),
    "no padding": (2, 8, 1, (12, 12), (5, 5), _ONE, (0, 0), _ONE),
    "no images": (0, 4, 1, (6, 6), (3, 3), _ONE, _ONE, _ONE),
}


def _random(*sizes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=size).astype(np.float32) for size in sizes]


def _out(hw, kernel, stride, padding, dilation):
    return tuple(
        (hw[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )


def _double(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


def _assert_close(actual, expected):
    assert (actual.shape, actual.dtype) == (expected.shape, np.dtype(np.float32))
    size = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * size)


def _check_forward(shape, layout=lambda a: a):
    n, c, k, hw, kernel, padding, dilation = shape
    x, weight, bias = (layout(a) for a in _random((n, c, *hw), (k, c, *kernel), (k,)))
    for b in (None, bias):
        _assert_close(
            shifted_conv.conv2d(
                x, weight, b, padding, dilation, _out(hw, kernel, _ONE, padding, dilation)
            ),
            reference.conv2d(*_double(x, weight, b), _ONE, padding, dilation, 1),
        )


def _check_backward(shape, layout=lambda a: a):
    n, k, c, hw, kernel, *window = shape
    sizes = (n, k, *_out(hw, kernel, *window)), (k, c, *kernel), (c,)
    grad, weight, bias = (layout(a) for a in _random(*sizes))
    for b in (None, bias):
        _assert_close(
            shifted_conv.conv2d_input_grad(grad, weight, b, hw, *window),
            reference.conv2d_input_grad(*_double(grad, weight, b), hw, *window, 1),
        )


@pytest.mark.parametrize("name", FORWARD)
def test_conv2d_agrees_with_reference(name):
    _check_forward(FORWARD[name])


@pytest.mark.parametrize("name", BACKWARD)
def test_input_grad_agrees_with_reference(name):
    _check_backward(BACKWARD[name])


@pytest.mark.parametrize("limit", [1, 3000])
def test_agrees_in_narrow_bands(limit, monkeypatch):
    monkeypatch.setattr(shifted_conv, "_VALUES", limit)
    for shape in FORWARD.values():
        _check_forward(shape)
    for shape in BACKWARD.values():
        _check_backward(shape)


@pytest.mark.parametrize(
    "layout",
    [
        lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
        lambda a: np.broadcast_to(a[:1], a.shape),
        np.asfortranarray,
    ],
)
def test_any_layout(layout):
    _check_forward(FORWARD["three channels"], layout)
    _check_backward(BACKWARD["odd sizes"], layout)


def test_a_nan_stays_in_its_image():
    n, c, k, hw, kernel, padding, dilation = FORWARD["fewer pixels than lanes"]
    x, weight = _random((n, c, *hw), (k, c, *kernel))
    x[1] = np.nan
    found = np.isnan(shifted_conv.conv2d(x, weight, None, padding, dilation, hw))
    assert found[1].all() and not found[[0, 2, 3, 4]].any()


def test_bits_do_not_depend_on_threads():
    before = threads.get_num_threads()
    n, c, k, hw, kernel, padding, dilation = FORWARD["many rows"]
    x, weight = _random((n, c, *hw), (k, c, *kernel))
    results = set()
    try:
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.add(shifted_conv.conv2d(x, weight, None, padding, dilation, hw).tobytes())
    finally:
        threads.set_num_threads(before)
    assert len(results) == 1
