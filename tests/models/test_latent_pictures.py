"""Walks through a latent space: the path, and the rows of images made along it."""

import types

import numpy as np
import pytest

import minigan as mg
from minigan import models
from minigan.models.latent_pictures import interpolation, spherical
from minigan.tensor import Tensor

SHARES = np.linspace(0.0, 1.0, 9)


def pairs(n=5, k=16, seed=0):
    return np.random.default_rng(seed).standard_normal((2, n, k)).astype(np.float32)


def test_the_path_starts_and_ends_at_the_two_vectors():
    start, end = pairs()
    path = spherical(start, end, SHARES)
    assert path.shape == (5, 9, 16) and path.dtype == np.float32
    np.testing.assert_allclose(path[:, 0], start, atol=1e-6)
    np.testing.assert_allclose(path[:, -1], end, atol=1e-6)


def test_the_path_stays_on_the_sphere_and_turns_at_a_constant_rate():
    start, end = (v / np.linalg.norm(v, axis=1, keepdims=True) * 4 for v in pairs())
    path = spherical(start, end, SHARES)
    np.testing.assert_allclose(np.linalg.norm(path, axis=2), 4.0, rtol=1e-5)
    cosines = (path[:, 1:] * path[:, :-1]).sum(2) / 16
    np.testing.assert_allclose(cosines, cosines[:, :1] * np.ones((1, 8)), atol=1e-5)
    # A straight line would pass well inside.
    assert np.linalg.norm((start + end) / 2, axis=1).max() < 3.9


def test_a_right_angle_is_a_quarter_of_a_circle():
    path = spherical(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), SHARES)
    angles = SHARES * np.pi / 2
    np.testing.assert_allclose(path[0], np.stack([np.cos(angles), np.sin(angles)], 1), atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 2.0, 1.0 + 1e-7, -1.0, -3.0])
def test_vectors_on_one_line_have_no_arc_and_are_joined_straight(factor):
    start = pairs()[0]
    path = spherical(start, start * np.float32(factor), SHARES)
    expected = start[:, None] * (1 + SHARES * (factor - 1))[None, :, None]
    assert np.isfinite(path).all()
    np.testing.assert_allclose(path, expected, atol=1e-5)


def test_each_row_of_a_picture_is_a_path_of_its_own():
    """A decoder that gives the latent vector back shows what it was asked for."""
    asked = []

    def render(latent, labels):
        asked.append((latent, labels))
        return latent.reshape(len(latent), 1, 1, -1)

    gan = types.SimpleNamespace(
        draw_latent=lambda n, source: mg.randn(n, 6, generator=source),
        render=render,
        needs_labels=True,
        config=types.SimpleNamespace(n_classes=3),
    )
    images, columns = interpolation(gan, seed=4, rows=5, columns=7)
    assert images.shape == (35, 1, 1, 6) and columns == 7
    ((latent, labels),) = asked
    ends = gan.draw_latent(10, mg.Generator(4)).numpy()
    rows = latent.reshape(5, 7, 6)
    np.testing.assert_allclose(rows[:, 0], ends[:5], atol=1e-6)
    np.testing.assert_allclose(rows[:, -1], ends[5:], atol=1e-6)
    assert labels.tolist() == np.repeat([0, 1, 2, 0, 1], 7).tolist()  # one class a row


@pytest.mark.parametrize("name, size", [("gan", 8), ("acgan", 32)])
def test_a_models_interpolation_is_fixed_by_its_seed_and_disturbs_nothing(name, size):
    gan = models.create(name, img_size=size, seed=1)
    before, outer = gan.state_dict(), mg.random.get_state()
    images, columns = interpolation(gan, seed=3)
    assert images.shape == (80, 1, size, size) and columns == 10
    assert np.abs(images).max() <= 1
    again, other = interpolation(gan, seed=3)[0], interpolation(gan, seed=4)[0]
    assert np.array_equal(images, again) and not np.array_equal(images, other)
    assert gan.generator.training and gan.state_dict()["random"] == before["random"]
    assert mg.random.get_state() == outer


def test_neighbours_on_the_way_look_alike():
    gan = models.create("gan", img_size=8, seed=1)
    images, columns = interpolation(gan, seed=0, rows=4, columns=33)
    rows = images.reshape(4, columns, -1)
    steps = np.abs(np.diff(rows, axis=1)).mean(2)
    apart = np.abs(rows[:, 0] - rows[:, -1]).mean(1)
    assert (steps.max(1) < 0.25 * apart).all()


def test_the_latent_vectors_are_the_models_own_kind():
    """A model may draw from no Gaussian: its draw_latent decides, with the seed's source."""
    gan = models.create("gan", img_size=8, seed=1)
    seen = []
    original = gan.draw_latent

    def draw_latent(n: int, source: mg.Generator | None = None) -> Tensor:
        seen.append((n, source))
        return original(n, source)

    gan.draw_latent = draw_latent
    interpolation(gan, seed=0, rows=2, columns=3)
    ((n, source),) = seen
    assert n == 4 and source is not None
