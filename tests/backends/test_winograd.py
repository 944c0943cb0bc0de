"""Winograd's convolutions: the algebra exactly, the maps in float32, and which layers they take."""

import os
import subprocess
import sys

import numpy as np
import pytest

from minigan.backends import reference
from minigan.backends.cpu import conv, threads, winograd, winograd_order, winograd_plan
from minigan.backends.cpu.register_block import COLUMNS
from minigan.backends.cpu.threads import run
from minigan.backends.cpu.winograd_images import Images
from minigan.backends.cpu.winograd_matrices import TILES, matrices, tables
from minigan.backends.cpu.winograd_order import needed_units, unit_of
from minigan.backends.cpu.winograd_phases import place, reach
from minigan.backends.cpu.winograd_plan import Part
from minigan.backends.cpu.winograd_products import BLOCK, add_products, multiply, points_apart
from minigan.backends.cpu.winograd_rows import Rows
from minigan.backends.cpu.winograd_weights import to_points

# N, C, H, W, K, kernel, stride, padding
GEOMETRIES = [
    (1, 1, 4, 4, 1, 3, 1, (1, 1)),
    (2, 3, 9, 7, 5, 3, 1, (1, 1)),  # partial tiles
    (3, 5, 6, 11, 6, 3, 1, (0, 2)),
    (2, 4, 13, 10, 3, 5, 1, (2, 0)),  # tiles of 2x2 outputs
    (2, 3, 8, 8, 5, 4, 2, (1, 1)),
    (3, 3, 10, 13, 5, 4, 1, (1, 1)),  # tiles of 3x3 outputs
    (1, 2, 33, 31, 3, 4, 1, (1, 2)),
    (2, 3, 13, 17, 4, 7, 2, (3, 3)),
    (1, 2, 15, 12, 7, 4, 2, (1, 0)),
    (3, 4, 14, 14, 4, 5, 2, (2, 2)),
    (2, 3, 9, 16, 3, 3, 2, (1, 1)),
    (1, 2, 40, 38, 3, 4, 2, (1, 1)),  # more than a block of tiles
    (5, 33, 8, 8, 35, 3, 1, (1, 1)),  # more channels than a vector has lanes
    (0, 2, 8, 8, 3, 3, 1, (1, 1)),
    (21, 3, 10, 9, 4, 4, 2, (1, 1)),  # a vector of images and a part of one
    (50, 2, 7, 7, 3, 5, 2, (2, 2)),
    (17, 3, 11, 11, 4, 4, 2, (0, 0)),  # a row and a column that no window reaches
    (3, 2, 5, 5, 3, 3, 1, (6, 7)),  # tiles of nothing but padding
]


def arrays(geometry):
    n, c, h, w, k, kernel, stride, padding = geometry
    rng = np.random.default_rng((n, c, h, w, k, kernel))
    x, weight = rng.standard_normal((n, c, h, w)), rng.standard_normal((k, c, kernel, kernel))
    window = (stride, stride), padding, (1, 1), 1
    grad = rng.standard_normal(reference.conv2d(x, weight, None, *window).shape)
    return x, weight, grad, rng.standard_normal(k), rng.standard_normal(c), window


IMAGES, ROWS = Images, Rows
# What becomes the lanes for the first half of the images, and for the others.
LANES = pytest.mark.parametrize(
    "lanes", [(IMAGES, IMAGES), (ROWS, ROWS), (IMAGES, ROWS)], ids=["images", "rows", "both"]
)


def put_in_lanes(monkeypatch, lanes):
    def fastest(sizes):
        n = sizes.n
        if lanes[0] is lanes[1]:
            return 0.0, [Part(0, n, lanes[0])]
        half = -(-n // 2)
        parts = [Part(0, half, lanes[0]), Part(half, n, lanes[1])]
        return 0.0, [part for part in parts if part.first < part.last]

    monkeypatch.setattr(winograd_plan, "fastest", fastest)


@LANES
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_all_three_maps(monkeypatch, geometry, lanes):
    put_in_lanes(monkeypatch, lanes)
    monkeypatch.setattr(winograd, "suits", lambda *args: True)
    monkeypatch.setattr(conv.columns_conv, "suits", lambda *args: False)
    x, weight, grad, bias_k, bias_c, window = arrays(geometry)
    for name, args in (
        ("conv2d", (x, weight, bias_k, *window)),
        ("conv2d", (x, weight, None, *window)),
        ("conv2d_activation", (x, weight, bias_k, *window, 0.2)),
        ("conv2d_activation", (x, weight, None, *window, 0.0)),
        ("conv2d_input_grad", (grad, weight, bias_c, x.shape[2:], *window)),
        ("conv2d_input_grad", (grad, weight, None, x.shape[2:], *window)),
        ("conv2d_weight_grad", (x, grad, weight.shape[2:], *window)),
    ):
        expected = getattr(reference, name)(*args)
        single = [a.astype(np.float32) if isinstance(a, np.ndarray) else a for a in args]
        actual = getattr(conv, name)(*single)
        assert actual.shape == expected.shape and actual.dtype == np.float32
        scale = np.abs(expected).max(initial=1e-3)
        np.testing.assert_allclose(actual / scale, expected / scale, atol=2e-5, err_msg=name)


@LANES
def test_an_activation_of_what_is_no_number(monkeypatch, lanes):
    put_in_lanes(monkeypatch, lanes)
    monkeypatch.setattr(winograd, "suits", lambda *args: True)
    x, weight = np.ones((20, 3, 9, 10), np.float32), np.ones((5, 3, 3, 3), np.float32)
    window, down = ((1, 1), (1, 1), (1, 1), 1), np.full(5, -np.inf, np.float32)
    np.testing.assert_array_equal(conv.conv2d_activation(x, weight, down, *window, 0.0), 0)
    for slope in (0.0, 0.2):
        y = conv.conv2d_activation(x * np.float32(np.nan), weight, None, *window, slope)
        assert np.isnan(y).all()


@LANES
@pytest.mark.parametrize("block_tiles", [1, 7, 200])
def test_blocks_of_few_tiles(monkeypatch, block_tiles, lanes):
    monkeypatch.setattr(winograd_plan, "_BLOCK_BYTES", 0)
    monkeypatch.setattr(winograd_plan, "_FEWEST_TILES", block_tiles)
    test_all_three_maps(monkeypatch, (20, 3, 15, 18, 5, 4, 2, (1, 1)), lanes)
    test_all_three_maps(monkeypatch, (2, 3, 17, 9, 5, 3, 1, (1, 1)), lanes)
    test_all_three_maps(monkeypatch, (2, 3, 17, 9, 5, 5, 1, (1, 1)), lanes)


def test_a_padding_has_a_plan_of_its_own():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((5, 3, 3, 3)).astype(np.float32)
    for pad in (0, 1, 2):  # to 8x8, so that all else is the same
        x = rng.standard_normal((2, 3, 10 - 2 * pad, 10 - 2 * pad)).astype(np.float32)
        actual = winograd.conv2d(x, weight, None, 1, (pad, pad), (8, 8))
        expected = reference.conv2d(x, weight, None, (1, 1), (pad, pad), (1, 1), 1)
        np.testing.assert_allclose(actual, expected, atol=1e-4)


@LANES
def test_all_that_is_multiplied_was_filled(monkeypatch, lanes):
    """What happens to lie in memory may be subnormal, which takes ten times as long to multiply."""
    put_in_lanes(monkeypatch, lanes)
    empty, run, multiplied = winograd_plan.points_apart, winograd_plan.run, []

    def poisoned(*shape):
        array = empty(*shape)
        array[...] = np.nan
        return array

    def watched(kernel, chunks, *args):
        if kernel is winograd_plan.multiply:
            multiplied.append(args[4].copy())
        run(kernel, chunks, *args)

    monkeypatch.setattr(winograd_plan, "points_apart", poisoned)
    monkeypatch.setattr(winograd_plan, "run", watched)
    x, weight, grad, *_ = arrays((40, 3, 4, 4, 5, 5, 2, (2, 2)))  # half a block is left
    x, weight, grad = (a.astype(np.float32) for a in (x, weight, grad))
    winograd.conv2d(x, weight, None, 2, (2, 2), grad.shape[2:])
    winograd.conv2d_input_grad(grad, weight, None, 2, (2, 2), x.shape[2:])
    assert len(multiplied) >= 2
    for array in multiplied:
        assert np.isfinite(array).all()


@pytest.mark.parametrize("m, r", [(4, 2), (4, 3), (3, 4), (2, 5), (3, 3)])
def test_the_matrices_compute_a_correlation(m, r):
    a, g, b = (matrix.astype(np.float64) for matrix in matrices(m, r))
    rng = np.random.default_rng(m)
    d, w = rng.standard_normal(m + r - 1), rng.standard_normal(r)
    expected = [np.dot(w, d[i : i + r]) for i in range(m)]
    np.testing.assert_allclose(a.T @ ((g @ w) * (b.T @ d)), expected, atol=1e-6)


def test_a_kind_of_tiles_has_matrices_of_its_sizes():
    for tile, (a, g, b) in zip(TILES, tables(), strict=True):
        assert a.shape == (tile.products, tile.outputs) and g.shape == (tile.products, tile.taps)
        assert b.shape == (tile.window, tile.window)


@LANES
@pytest.mark.parametrize("kernel, stride", [(3, 1), (4, 1), (4, 2), (5, 1), (5, 2)])
def test_the_rounding_error_is_small(monkeypatch, kernel, stride, lanes):
    """Root mean square, of the size of the result: 8e-7 to 2e-6; direct ones have 2e-7 to 7e-7."""
    put_in_lanes(monkeypatch, lanes)
    x, weight, grad, _, _, window = arrays((2, 64, 32, 32, 48, kernel, stride, (1, 1)))
    single = [array.astype(np.float32) for array in (x, weight, grad)]
    pad, hw = (1, 1), (kernel, kernel)
    for actual, expected in (
        (
            winograd.conv2d(single[0], single[1], None, stride, pad, grad.shape[2:]),
            reference.conv2d(x, weight, None, *window),
        ),
        (
            winograd.conv2d_input_grad(single[2], single[1], None, stride, pad, x.shape[2:]),
            reference.conv2d_input_grad(grad, weight, None, x.shape[2:], *window),
        ),
        (
            winograd.conv2d_weight_grad(single[0], single[2], stride, pad, hw),
            reference.conv2d_weight_grad(x, grad, hw, *window),
        ),
    ):
        error = np.sqrt(np.mean((actual - expected) ** 2)) / expected.std()
        assert error < 4e-6


@pytest.mark.parametrize("kernel, stride", [(3, 1), (4, 1), (5, 1), (3, 2), (4, 2), (5, 2), (7, 2)])
def test_weights_out_of_reach_are_zero_and_all_others_are_not(kernel, stride):
    channels = 3
    weight = np.random.default_rng(0).uniform(1, 2, (2, channels, kernel, kernel))
    tile = next(tile for tile in TILES if tile.taps == -(-kernel // stride))
    u = to_points(weight.astype(np.float32), tile, stride)[:, :, : stride**2 * channels]
    multiplied = np.zeros(u.shape, bool)
    for f, (first, last) in enumerate(reach(kernel, stride, round(len(u) ** 0.5), channels)):
        multiplied[f, :, first:last] = True
    np.testing.assert_array_equal(u != 0, multiplied)


def test_each_phase_of_a_channel_has_a_place_of_its_own():
    places = [place.py_func(phase, 2, c, 5) for phase in range(4) for c in range(5)]
    assert sorted(places) == list(range(20))
    assert [place.py_func(phase, 2, 0, 5) // 5 for phase in range(4)] == [1, 0, 2, 3]


@pytest.mark.parametrize("across", [1, 2, 3])
@pytest.mark.parametrize("block", [(0, 2, 0, 2, 1, 1), (1, 4, 0, 3, 0, 1), (2, 3, 1, 2, 1, 0)])
def test_tiles_that_a_point_needs_lie_side_by_side(block, across):
    g0, g1, t0, t1, short_row, short_column = block
    rows, order = t1 - t0, {}
    for group in range(g0, g1):
        for ty in range(rows):
            for tx in range(across):
                order[unit_of.py_func(group, ty, tx, block, across)] = ty, tx
    assert sorted(order) == list(range((g1 - g0) * rows * across))
    for kind, (first, last) in enumerate(needed_units(block, across)):
        infinite_row, infinite_column = divmod(kind, 2)
        for unit, (ty, tx) in order.items():
            short = infinite_row & short_row and ty == rows - 1
            short = short or (infinite_column & short_column and tx == across - 1)
            assert (first <= unit < last) == (not short)


def test_short_tiles_have_fewer_products_and_the_same_bits(monkeypatch):
    x, weight, grad, _, _, _ = arrays((64, 8, 14, 14, 8, 4, 2, (1, 1)))
    x, weight, grad = (array.astype(np.float32) for array in (x, weight, grad))
    put_in_lanes(monkeypatch, (IMAGES, IMAGES))

    def maps():
        winograd_plan._plan.cache_clear()
        return (
            winograd.conv2d(x, weight, None, 2, (1, 1), (7, 7)),
            winograd.conv2d_input_grad(grad, weight, None, 2, (1, 1), (14, 14)),
            winograd.conv2d_weight_grad(x, grad, 2, (1, 1), (4, 4)),
        )

    blocks, products = [], []
    needed = Images.needed

    def counted(tiling, block):
        blocks.append(needed(tiling, block))
        products.append(int(np.diff(blocks[-1])[winograd_order.kinds(5), 0].sum()))
        return blocks[-1]

    def everything(tiling, block):
        whole = needed(tiling, block)
        whole[:] = whole[0]
        return whole

    monkeypatch.setattr(Images, "needed", counted)
    short = maps()
    whole_blocks = sum(int(block[0, 1]) for block in blocks)
    assert sum(products) * 100 == 81 * 25 * whole_blocks
    monkeypatch.setattr(Images, "needed", everything)
    for one, other in zip(short, maps(), strict=True):
        np.testing.assert_array_equal(one, other)
    winograd_plan._plan.cache_clear()


def chosen(n, c, k, kernel, stride, size, dilation=1):
    shape = (k, c, kernel, kernel)
    pixels = n * size * size
    return winograd.suits(n, c, shape, (stride, stride), (dilation, dilation), (size, size), pixels)


def test_which_layers_belong_here():
    assert chosen(1, 256, 256, 3, 1, 64)  # a residual block of CycleGAN
    assert chosen(64, 128, 256, 4, 2, 8)  # DCGAN
    assert chosen(50, 64, 128, 5, 2, 7)  # WGAN-GP's critic
    assert not chosen(5, 64, 128, 5, 2, 7)  # tiles that hang over the edge, lanes without images
    assert not chosen(64, 1, 64, 4, 2, 32)
    assert not chosen(1, 256, 256, 3, 1, 2)
    assert not chosen(1, 256, 256, 7, 1, 64)
    assert not chosen(1, 256, 256, 1, 1, 64)
    assert not chosen(1, 256, 256, 3, 3, 64)
    assert not chosen(1, 256, 256, 3, 1, 64, dilation=2)


def test_what_becomes_the_lanes():
    def parts(n, *sizes):
        return [tuple(part) for part in winograd_plan.fastest(winograd._sizes(n, *sizes))[1]]

    assert parts(64, 128, 256, 4, 2, (8, 8)) == [(0, 64, IMAGES)]
    assert parts(63, 128, 256, 4, 2, (8, 8)) == [(0, 63, IMAGES)]  # one lane without an image
    assert parts(100, 64, 128, 5, 1, (8, 8)) == [(0, 96, IMAGES), (96, 100, ROWS)]
    assert parts(50, 128, 256, 5, 2, (4, 4)) == [(0, 50, IMAGES)]  # 50 tiles: one register block
    assert parts(1, 256, 256, 3, 1, (64, 64)) == [(0, 1, ROWS)]


def test_minigan_exact_keeps_to_direct_convolutions():
    code = (
        "from minigan.backends.cpu import winograd;"
        "print(winograd.suits(1, 256, (256, 256, 3, 3), (1, 1), (1, 1), (64, 64), 4096))"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "MINIGAN_EXACT": value},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for value in ("1", "0", "")
    ]
    assert answers == ["False", "True", "True"]


@LANES
def test_the_same_bits_on_one_thread_and_on_many(monkeypatch, lanes):
    put_in_lanes(monkeypatch, lanes)
    x, weight, grad, _, _, _ = arrays((4, 33, 16, 16, 32, 3, 1, (1, 1)))
    x, weight, grad = (array.astype(np.float32) for array in (x, weight, grad))
    results = []
    for number in (1, 3):
        monkeypatch.setattr(threads, "_threads", number)
        results.append(
            (
                winograd.conv2d(x, weight, None, 1, (1, 1), (16, 16)),
                winograd.conv2d_input_grad(grad, weight, None, 1, (1, 1), (16, 16)),
                winograd.conv2d_weight_grad(x, grad, 1, (1, 1), (3, 3)),
            )
        )
    for one, many in zip(*results, strict=True):
        np.testing.assert_array_equal(one, many)


def test_products_read_nothing_that_is_not_needed():
    """NaN is there: in other blocks, in channels out of reach and in the rows of A beside it."""
    rows, inner, block, (first, last) = 6, 40, 1, (9, 30)
    rng = np.random.default_rng(0)
    a, b = (points_apart(1, *shape) for shape in ((rows, inner), (3, inner, BLOCK)))
    a[:], b[:] = np.nan, np.nan
    a[0, :4, first:last] = rng.standard_normal((4, last - first))
    b[0, block, first:last] = rng.standard_normal((last - first, BLOCK))
    out = points_apart(1, 3, rows, BLOCK)
    out[:] = np.nan
    of_a, of_rows = np.array([[first, last]]), np.array([[0, 4]])
    starts, pairs, kinds = np.array([0, 1]), np.array([[0, 0]]), np.array([1])
    needed = np.array([[0, 3], [block, block + 1]])
    run(multiply, 1, a, inner, 1, of_a, b, of_rows, starts, pairs, kinds, needed, out)
    expected = np.zeros_like(out)
    expected[0, block, :4] = a[0, :4, first:last] @ b[0, block, first:last]
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("begins", [False, True])
def test_sums_of_products_read_nothing_that_is_not_needed(begins):
    rows, block, channels = 6, 1, slice(COLUMNS, 2 * COLUMNS)
    rng = np.random.default_rng(0)
    q, v = points_apart(1, 3, rows, BLOCK), points_apart(1, 3, 3 * COLUMNS, BLOCK)
    q[:], v[:] = np.nan, np.nan
    q[0, block] = rng.standard_normal((rows, BLOCK))
    v[0, block, channels] = rng.standard_normal((COLUMNS, BLOCK))
    sums = points_apart(1, rows, 3 * COLUMNS)
    sums[:] = 7
    reached, kinds = np.array([[channels.start, channels.stop]]), np.array([1])
    needed = np.array([[0, 3], [block, block + 1]])
    run(add_products, 1, q, v, np.array([0]), reached, kinds, needed, begins, sums)
    expected = np.full_like(sums, 7)
    expected[0, :, channels] = q[0, block] @ v[0, block, channels].T + (0 if begins else 7)
    np.testing.assert_allclose(sums, expected, rtol=1e-5, atol=1e-5)
