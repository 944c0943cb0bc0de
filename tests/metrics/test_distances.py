"""Distances in blocks equal distances by definition, whatever the size of the blocks."""

import numpy as np
import pytest

from minigan.metrics import distances
from minigan.metrics.distances import own_distances, squared_distances


@pytest.mark.parametrize("elements", [1, 40, 1 << 20])
def test_blocks_put_together_are_all_distances(rng, monkeypatch, elements):
    monkeypatch.setattr(distances, "_BLOCK_ELEMENTS", elements)
    a, b = rng.normal(size=(13, 5)), rng.normal(size=(9, 5))
    found = np.full((13, 9), np.nan)
    for rows, block in squared_distances(a, b):
        found[rows] = block
    np.testing.assert_allclose(found, ((a[:, None] - b) ** 2).sum(2))


def test_no_block_is_larger_than_the_bound(rng, monkeypatch):
    monkeypatch.setattr(distances, "_BLOCK_ELEMENTS", 40)
    a, b = rng.normal(size=(13, 5)), rng.normal(size=(9, 5))
    assert [block.size for _, block in squared_distances(a, b)] == [36, 36, 36, 9]


def test_far_from_the_origin_float32_is_still_exact_enough(rng):
    a = rng.normal(size=(50, 8)).astype(np.float32) + 1000
    (_, block), *_ = squared_distances(a, a)
    exact = ((a[:, None].astype(np.float64) - a) ** 2).sum(2)
    np.testing.assert_allclose(block, exact, atol=1e-4)
    assert block.dtype == np.float32


def test_the_diagonal_is_what_was_asked_for(rng, monkeypatch):
    monkeypatch.setattr(distances, "_BLOCK_ELEMENTS", 20)
    a = rng.normal(size=(11, 3))
    found = np.concatenate([block.copy() for _, block in own_distances(a, np.inf)])
    assert np.isinf(np.diag(found)).all() and np.isfinite(found).sum() == 110
