"""Upsampling and a convolution by Winograd's way: the algebra, the three maps, which layers."""

import numpy as np
import pytest

from minigan.backends import reference
from minigan.backends.cpu import threads, upsample_conv, winograd_plan, winograd_upsample
from minigan.backends.cpu.winograd_matrices import TILES, UPSAMPLED, product_points, tables

# N, C, K, H, W
GEOMETRIES = [
    (1, 1, 1, 1, 1),
    (2, 3, 5, 4, 4),
    (3, 5, 7, 6, 9),  # partial tiles
    (16, 2, 3, 8, 8),  # whole vectors of images
    (21, 3, 4, 5, 7),
    (5, 33, 35, 4, 4),  # more channels than a vector has lanes
    (40, 2, 66, 12, 4),
    (0, 2, 3, 4, 4),
]


def test_the_matrices_upsample_and_correlate():
    a, g, b = (matrix.astype(np.float64) for matrix in tables()[TILES.index(UPSAMPLED)])
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(UPSAMPLED.window), rng.standard_normal(3)
    upsampled = np.repeat(x, 2)[1:-1]
    expected = [np.dot(w, upsampled[i : i + 3]) for i in range(UPSAMPLED.outputs)]
    np.testing.assert_allclose(
        a.T @ ((g @ w) * (b.T @ x)[product_points(UPSAMPLED)]), expected, atol=1e-6
    )


def calls(geometry):
    n, c, k, h, w = geometry
    rng = np.random.default_rng(geometry)
    x, grad = rng.standard_normal((n, c, h, w)), rng.standard_normal((n, k, 2 * h, 2 * w))
    weight, bias = rng.standard_normal((k, c, 3, 3)), rng.standard_normal(k)
    return (
        ("upsample_conv2d", (x, weight, bias)),
        ("upsample_conv2d", (x, weight, None)),
        ("upsample_conv2d_input_grad", (grad, weight)),
        ("upsample_conv2d_weight_grad", (x, grad)),
    )


def single(args):
    return [a if a is None else a.astype(np.float32) for a in args]


@pytest.mark.parametrize("here", [True, False], ids=["here", "otherwise"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_all_three_maps(monkeypatch, geometry, here):
    """Each choice of the planner, forced in turn."""
    monkeypatch.setattr(winograd_upsample, "suits", lambda *args: here)
    for name, args in calls(geometry):
        expected = getattr(reference, name)(*args)
        actual = getattr(upsample_conv, name)(*single(args))
        assert actual.shape == expected.shape and actual.dtype == np.float32
        scale = np.abs(expected).max(initial=1e-3)
        np.testing.assert_allclose(actual / scale, expected / scale, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("block_tiles", [1, 7, 200])
def test_blocks_of_few_tiles(monkeypatch, block_tiles):
    monkeypatch.setattr(winograd_plan, "_BLOCK_BYTES", 0)
    monkeypatch.setattr(winograd_plan, "_FEWEST_TILES", block_tiles)
    for geometry in ((20, 3, 5, 13, 10), (33, 2, 3, 9, 5)):
        test_all_three_maps(monkeypatch, geometry, True)


def test_the_rounding_error_is_small():
    """Root mean square, of the size of the result: 5e-7 to 1e-6; upsample_conv.py has 2e-7."""
    for name, args in calls((16, 64, 48, 8, 8)):
        expected = getattr(reference, name)(*args)
        actual = getattr(winograd_upsample, name)(*single(args))
        assert np.sqrt(np.mean((actual - expected) ** 2)) / expected.std() < 2e-6, name


def test_which_layers_belong_here(monkeypatch):
    assert winograd_upsample.suits(64, 128, 128, (8, 8))  # ACGAN's generator
    assert winograd_upsample.suits(64, 128, 64, (16, 16))
    assert not winograd_upsample.suits(1, 128, 64, (16, 16))  # lanes without images
    assert not winograd_upsample.suits(64, 128, 64, (5, 5))  # tiles that hang over the edge
    assert not winograd_upsample.suits(64, 2, 2, (16, 16))  # transforms cost more than is saved
    monkeypatch.setattr(winograd_upsample, "EXACT", True)
    assert not winograd_upsample.suits(64, 128, 128, (8, 8))


def test_the_same_bits_on_one_thread_and_on_many(monkeypatch):
    results = []
    for number in (1, 3):
        monkeypatch.setattr(threads, "_threads", number)
        results.append(
            [getattr(winograd_upsample, name)(*single(a)) for name, a in calls((20, 9, 12, 8, 8))]
        )
    for one, many in zip(*results, strict=True):
        np.testing.assert_array_equal(one, many)
