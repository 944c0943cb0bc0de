"""Digits in colours: the formula, read independently, and the way back."""

import colorsys

import numpy as np

from minigan.data.colour import coloured_digits, hues, uncoloured_digits


def test_hues_are_fixed_by_the_number_and_uniform():
    numbers = np.arange(3000)
    drawn = hues(numbers)
    np.testing.assert_array_equal(hues(numbers[::-1]), drawn[::-1])
    np.testing.assert_array_equal(hues(numbers[40:41]), drawn[40:41])
    counts = np.histogram(drawn, bins=6, range=(0, 2 * np.pi))[0]
    assert counts.sum() == 3000 and ((counts - 500) ** 2 / 500).sum() < 20.6  # p = 0.001


def test_every_pixel_against_the_formula():
    rng = np.random.default_rng(1)
    grey = rng.uniform(-1, 1, (3, 1, 2, 2)).astype(np.float32)
    grey[0, 0] = [[-1, 1], [0, 0.5]]
    numbers = np.array([5, 0, 7])
    made = coloured_digits(np.repeat(grey, 3, axis=1), numbers)
    assert made.dtype == np.float32 and np.abs(made).max() <= 1
    for n, c, y, x in np.ndindex(made.shape):
        hue, g = float(hues(numbers)[n]), float(grey[n, 0, y, x])
        expected = (0.4 * g - 0.1) + (0.6 * g + 0.1) * np.cos(hue - np.deg2rad(120 * c))
        np.testing.assert_allclose(made[n, c, y, x], expected, atol=1e-6)


def test_strokes_are_bright_and_on_the_opposite_hue():
    numbers = np.arange(50)
    for hue, stroke, ground in zip(
        hues(numbers),
        coloured_digits(np.ones((50, 1, 1, 1), np.float32), numbers),
        coloured_digits(-np.ones((50, 1, 1, 1), np.float32), numbers),
        strict=True,
    ):
        of_stroke, of_ground = (
            colorsys.rgb_to_hsv(*(pixel.ravel().astype(float) / 2 + 0.5))
            for pixel in (stroke, ground)
        )
        turn = (of_stroke[0] - hue / (2 * np.pi) + 0.5) % 1 - 0.5
        assert abs(turn) < 0.03  # HSV measures hues along a hexagon, we along a circle
        assert abs((of_stroke[0] - of_ground[0]) % 1 - 0.5) < 0.04
        assert stroke.mean() > ground.mean() + 0.7
        assert min(of_stroke[1], of_ground[1]) > 0.5  # both are coloured


def test_the_mean_of_the_channels_gives_the_digit_back():
    grey = np.random.default_rng(2).uniform(-1, 1, (20, 1, 5, 5)).astype(np.float32)
    made = coloured_digits(np.repeat(grey, 3, axis=1), np.arange(20))
    np.testing.assert_allclose(uncoloured_digits(made), grey, atol=1e-6)
    assert np.abs(uncoloured_digits(np.ones((1, 3, 2, 2), np.float32))).max() == 1
