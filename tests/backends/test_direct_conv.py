"""The direct convolutions against the reference, on shapes that force each of their paths."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minigan.backends import reference

pytest.importorskip("numba")

conv_tiles = pytest.importorskip("minigan.backends.cpu.conv_tiles")
direct_conv = pytest.importorskip("minigan.backends.cpu.direct_conv")
threads = pytest.importorskip("minigan.backends.cpu.threads")

_ONE, _TWO = (1, 1), (2, 2)

# N, C, K, (H, W), (KH, KW), stride, padding, dilation
SHAPES = {
    "first layer": (3, 1, 32, (28, 28), (4, 4), _TWO, _ONE, _ONE),
    "last layer": (2, 64, 1, (9, 10), (3, 3), _ONE, _ONE, _ONE),
    "spare lanes": (2, 3, 21, (9, 11), (3, 3), _ONE, _ONE, _ONE),
    "short rows, several images a tile": (70, 16, 48, (4, 4), (3, 3), _TWO, _ONE, _ONE),
    "last tile has fewer images": (37, 5, 16, (6, 9), (3, 3), _ONE, _ONE, _ONE),
    "fewer than 8 pixels": (1, 20, 40, (4, 5), (3, 3), _TWO, _ONE, _ONE),
    "one pixel": (5, 7, 18, (4, 4), (4, 4), _ONE, (0, 0), _ONE),
    "bands of rows": (1, 3, 17, (150, 40), (7, 7), _ONE, (3, 3), _ONE),
    "bands, the last one shorter": (2, 6, 16, (41, 23), (4, 4), _TWO, _ONE, _ONE),
    "padding beyond the kernel": (2, 4, 16, (5, 6), (2, 3), _ONE, (4, 5), _ONE),
    "full padding": (2, 9, 16, (8, 8), (5, 5), _ONE, (4, 4), _ONE),
    "asymmetric": (2, 4, 20, (9, 10), (3, 2), (2, 1), (0, 3), (2, 3)),
    "stride beyond the kernel": (2, 4, 16, (7, 11), (2, 2), (3, 4), (0, 0), _ONE),
    "rows that no window reads": (2, 4, 16, (10, 9), (3, 3), (4, 3), (0, 1), _ONE),
    "two pixels 7 apart": (1, 16, 4, (2, 7), (1, 7), (1, 7), (0, 0), _ONE),
    "no images": (0, 3, 16, (6, 6), (3, 3), _ONE, _ONE, _ONE),
    "no channels": (2, 0, 16, (6, 6), (3, 3), _ONE, _ONE, _ONE),
    "few rows": (2, 3, 16, (1, 30), (1, 5), _ONE, (0, 2), _ONE),
}


def _arrays(shape):
    n, c, k, hw, kernel, stride, padding, dilation = shape
    out = tuple(
        (hw[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
        for i in (0, 1)
    )
    rng = np.random.default_rng(0)
    sizes = ((n, c, *hw), (k, c, *kernel), (n, k, *out), (k,), (c,))
    return [rng.normal(size=size).astype(np.float32) for size in sizes]


def _assert_close(actual, expected):
    assert (actual.shape, actual.dtype) == (expected.shape, np.dtype(np.float32))
    size = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * size)


def _double(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


def _check(shape, layout=lambda a: a):
    """All three maps, with and without a bias, of arrays in this layout."""
    hw, kernel, *window = shape[3:]
    x, weight, grad, bias_k, bias_c = (layout(a) for a in _arrays(shape))
    for bias in (None, bias_k):
        _assert_close(
            direct_conv.conv2d(x, weight, bias, *window, grad.shape[2:]),
            reference.conv2d(*_double(x, weight, bias), *window, 1),
        )
    for bias in (None, bias_c):
        _assert_close(
            direct_conv.conv2d_input_grad(grad, weight, bias, hw, *window),
            reference.conv2d_input_grad(*_double(grad, weight, bias), hw, *window, 1),
        )
    _assert_close(
        direct_conv.conv2d_weight_grad(x, grad, kernel, *window),
        reference.conv2d_weight_grad(*_double(x, grad), kernel, *window, 1),
    )


@pytest.mark.parametrize("name", SHAPES)
def test_agrees_with_reference(name):
    _check(SHAPES[name])


def _reversed(a):
    return np.ascontiguousarray(a[..., ::-1])[..., ::-1]


def _sliced(a):
    return np.repeat(a, 2, axis=-1)[..., ::2]


def _broadcast(a):
    return np.broadcast_to(a[:1], a.shape)


@pytest.mark.parametrize("layout", [_reversed, _sliced, _broadcast, np.asfortranarray])
def test_any_layout(layout):
    _check(SHAPES["spare lanes"], layout)


@pytest.fixture
def small_limits(monkeypatch):
    """Tiles of a few pixels and sums of one part, so that small arrays are cut as large ones."""
    monkeypatch.setattr(conv_tiles, "_TILE_ELEMENTS", 200)
    monkeypatch.setattr(direct_conv, "_SUMS_LIMIT", 1)
    monkeypatch.setattr(conv_tiles, "_FEWEST_ROWS", 1)
    conv_tiles.tiling.cache_clear()
    yield
    conv_tiles.tiling.cache_clear()


@pytest.mark.parametrize("name", SHAPES)
def test_agrees_in_small_tiles(name, small_limits):
    _check(SHAPES[name])


@pytest.mark.parametrize("turned", [False, True])
def test_weight_grad_with_either_role(turned, monkeypatch):
    counts = iter([1, 2] if turned else [2, 1])
    monkeypatch.setattr(direct_conv, "_work", lambda *sizes: next(counts))
    x, _, grad, *_ = _arrays(SHAPES["spare lanes"])
    window = SHAPES["spare lanes"][5:]
    _assert_close(
        direct_conv.conv2d_weight_grad(x, grad, (3, 3), *window),
        reference.conv2d_weight_grad(*_double(x, grad), (3, 3), *window, 1),
    )


def test_a_nan_stays_in_its_image():
    """Tiles, spare lanes and blocks of fewer than 8 pixels hold what nobody may read."""
    for name in ("short rows, several images a tile", "spare lanes", "fewer than 8 pixels"):
        _, _, _, hw, kernel, *window = SHAPES[name]
        x, weight, grad, *_ = _arrays(SHAPES[name])
        x[0], grad[0] = np.nan, np.nan
        out = direct_conv.conv2d(x, weight, None, *window, grad.shape[2:])
        back = direct_conv.conv2d_input_grad(grad, weight, None, hw, *window)
        for result in (out, back):
            assert np.isnan(result[0]).all() and np.isfinite(result[1:]).all()
        x, _, grad, *_ = _arrays(SHAPES[name])
        grad[:, 0] = np.nan
        result = direct_conv.conv2d_weight_grad(x, grad, kernel, *window)
        assert np.isnan(result[0]).all() and np.isfinite(result[1:]).all()


def test_long_sums_round_no_worse_than_short_ones():
    """8192 products one after the other would have a relative error of 1.5e-6."""
    x, weight, *_ = _arrays((1, 512, 16, (8, 8), (4, 4), _TWO, _ONE, _ONE))
    found = direct_conv.conv2d(x, weight, None, _TWO, _ONE, _ONE, (4, 4))
    exact = reference.conv2d(*_double(x, weight), None, _TWO, _ONE, _ONE, 1)
    assert np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean()) < 6e-7


@pytest.fixture
def restore_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def test_bits_do_not_depend_on_threads(restore_threads):
    for name in ("short rows, several images a tile", "bands of rows", "first layer"):
        x, weight, grad, bias, _ = _arrays(SHAPES[name])
        hw, kernel, *window = SHAPES[name][3:]
        results = set()
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            arrays = (
                direct_conv.conv2d(x, weight, bias, *window, grad.shape[2:]),
                direct_conv.conv2d_input_grad(grad, weight, None, hw, *window),
                direct_conv.conv2d_weight_grad(x, grad, kernel, *window),
            )
            results.add(b"".join(a.tobytes() for a in arrays))
        assert len(results) == 1


_NARROW = """
import sys
from minigan.backends.cpu.lanes import LANES
assert LANES == 8, LANES
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "agrees or nan", sys.argv[1]]))
"""


@pytest.mark.slow
def test_agrees_on_a_machine_with_short_vectors(tmp_path):
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", _NARROW, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
