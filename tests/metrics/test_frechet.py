"""Frechet distance: closed forms, agreement with a matrix square root, singular covariances."""

import numpy as np
import pytest
import scipy.linalg

from minigan.errors import DataError, ShapeError
from minigan.metrics import (
    FRECHET_NAME,
    frechet_distance,
    gaussian_frechet_distance,
    mean_and_covariance,
)


def spread_matrix(rng, dims):
    root = rng.normal(size=(dims, dims))
    return root @ root.T + np.eye(dims)


def test_diagonal_gaussians_have_a_closed_form():
    # Independent coordinates: (m_a - m_b)^2 + (s_a - s_b)^2 for each.
    distance = gaussian_frechet_distance([0, 1], np.diag([1.0, 4.0]), [3, 1], np.diag([9.0, 1.0]))
    assert distance == pytest.approx(9 + (1 - 3) ** 2 + (2 - 1) ** 2)


def test_it_agrees_with_a_matrix_square_root(rng):
    a, b = spread_matrix(rng, 20), spread_matrix(rng, 20)
    mean_a, mean_b = rng.normal(size=20), rng.normal(size=20)
    root = scipy.linalg.sqrtm(a @ b).real
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(a + b - 2 * root)
    assert gaussian_frechet_distance(mean_a, a, mean_b, b) == pytest.approx(expected, rel=1e-9)


def test_singular_covariances_are_exact(rng):
    # Rank 1 in 50 dimensions: A = u u^T and B = v v^T have tr (A B)^(1/2) = |u.v|.
    u, v = rng.normal(size=(2, 50))
    zero = np.zeros(50)
    distance = gaussian_frechet_distance(zero, np.outer(u, u), zero, np.outer(v, v))
    assert distance == pytest.approx(u @ u + v @ v - 2 * abs(u @ v), rel=1e-9)
    same = gaussian_frechet_distance(zero, np.outer(u, u), zero, np.outer(u, u))
    assert 0 <= same < 1e-6


def test_features_of_two_gaussians(rng):
    real = rng.normal(0, 1, (20_000, 8))
    generated = rng.normal(0.5, 2, (20_000, 8))
    # 8 (0.5^2 + (2 - 1)^2) = 10
    assert frechet_distance(real, generated) == pytest.approx(10, rel=0.05)


def test_fewer_rows_than_columns_and_dead_features_are_fine(rng):
    real, generated = rng.normal(size=(2, 30, 128)).astype(np.float32)
    real[:, ::2] = generated[:, ::2] = 0
    assert np.isfinite(frechet_distance(real, generated))
    assert frechet_distance(real, real) < 1e-6


def test_it_is_symmetric_and_survives_a_rotation_and_a_shift(rng):
    real, generated = rng.normal(size=(500, 6)), rng.gamma(2.0, size=(400, 6))
    distance = frechet_distance(real, generated)
    assert frechet_distance(generated, real) == pytest.approx(distance, rel=1e-9)
    turn = scipy.linalg.qr(rng.normal(size=(6, 6)))[0]
    moved = frechet_distance(real @ turn + 100, generated @ turn + 100)
    assert moved == pytest.approx(distance, rel=1e-7)


def test_mean_and_covariance_are_numpys(rng):
    rows = rng.normal(size=(50, 4))
    mean, covariance = mean_and_covariance(rows)
    np.testing.assert_allclose(mean, rows.mean(0))
    np.testing.assert_allclose(covariance, np.cov(rows, rowvar=False))


def test_real_digits_have_a_floor_and_half_of_the_digits_are_far(two_halves, reading):
    first, second = two_halves
    floor = frechet_distance(first, second)
    assert 0 < floor < 10  # 5.2 for 1,000 against 1,000; the fewer, the larger
    collapsed = frechet_distance(first, reading.features[reading.labels < 5])
    assert collapsed > 20 * floor


def test_its_name_is_not_fid():
    assert FRECHET_NAME == "Frechet distance (MNIST-CNN)"


def test_wrong_arguments_are_refused(rng):
    rows = rng.normal(size=(10, 4))
    with pytest.raises(ShapeError, match="4 columns and generated ones 3"):
        frechet_distance(rows, rows[:, :3])
    with pytest.raises(ShapeError, match=r"generated features: features must be \[N,D\]"):
        frechet_distance(rows, rows[0])
    with pytest.raises(DataError, match="1 rows, and at least 2"):
        frechet_distance(rows[:1], rows)
    rows_with_nan = rows.copy()
    rows_with_nan[7, 2] = np.nan
    with pytest.raises(DataError, match="generated features: row 7"):
        frechet_distance(rows, rows_with_nan)
    with pytest.raises(ShapeError, match="two Gaussians need"):
        gaussian_frechet_distance([0, 0], np.eye(2), [0, 0], np.eye(3))
    with pytest.raises(DataError, match="eigenvalue -1"):
        gaussian_frechet_distance([0, 0], np.diag([1.0, -1.0]), [0, 0], np.eye(2))
