"""Real digits, and what the classifier sees in them: read once for all tests of metrics."""

import numpy as np
import pytest

from minigan import data
from minigan.metrics import read


@pytest.fixture(scope="session")
def real_digits():
    """2,000 real test digits [N,1,28,28] and their labels."""
    return data.load("mnist-embedded", train=False)[:]


@pytest.fixture(scope="session")
def reading(real_digits):
    return read(real_digits[0])


@pytest.fixture(scope="session")
def two_halves(reading):
    """Features of two disjoint sets of 1,000 real digits, mixed over writers."""
    order = np.random.default_rng(0).permutation(len(reading.features))
    return reading.features[order[::2]], reading.features[order[1::2]]


@pytest.fixture
def rng():
    return np.random.default_rng(0)
