"""Sample grids and loss plots."""

import io

import numpy as np
import pytest
from PIL import Image

from minigan.errors import ShapeError
from minigan.training.pictures import loss_plot, png, sample_grid


def test_each_image_stands_in_its_cell():
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (5, 3, 4, 6)).astype(np.float32)
    grid = sample_grid(images, n_columns=3)
    assert (grid.shape, grid.dtype) == ((2 * 6 + 2, 3 * 8 + 2, 3), np.uint8)
    covered = np.zeros(grid.shape[:2], bool)
    for i in range(5):
        top, left = 2 + i // 3 * 6, 2 + i % 3 * 8
        expected = np.rint((images[i].astype(np.float64) + 1) * 127.5).transpose(1, 2, 0)
        np.testing.assert_array_equal(grid[top : top + 4, left : left + 6], expected)
        covered[top : top + 4, left : left + 6] = True
    assert not grid[~covered].any()


def test_the_range_ends_and_what_is_outside():
    values = np.array([-1, 1, -3, 3, np.nan, np.inf, 0], np.float32).reshape(7, 1, 1, 1)
    assert sample_grid(values, 7, padding=0).ravel().tolist() == [0, 255, 0, 255, 0, 255, 128]


@pytest.mark.parametrize("shape, columns", [((3, 4, 4), 1), ((2, 2, 4, 4), 1), ((0, 1, 4, 4), 1)])
def test_refuses_other_arrays(shape, columns):
    with pytest.raises(ShapeError, match="sample grid takes images"):
        sample_grid(np.zeros(shape), columns)
    with pytest.raises(ShapeError):
        sample_grid(np.zeros((1, 1, 4, 4)), 0)


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_png(channels, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    content = png(pixels)
    assert content == png(pixels.copy())
    image = Image.open(io.BytesIO(content))
    assert image.mode == mode
    np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


@pytest.mark.parametrize("n", [0, 1, 2, 120])
def test_loss_plot_is_the_same_bytes_each_time(n):
    rng = np.random.default_rng(0)
    rows = [
        {"step": i + 1, "epoch": 1, "d_loss": rng.normal(), "accuracy": rng.uniform()}
        for i in range(n)
    ]
    content = loss_plot(rows, "acgan")
    assert content == loss_plot(rows, "acgan")
    image = Image.open(io.BytesIO(content))
    assert image.size == (900, 700 if n else 350)
    assert not {"Software", "Creation Time"} & set(image.info)


def test_loss_plot_of_a_loss_that_some_steps_lack():
    rows = [{"step": i, "epoch": 1, "d_loss": 0.1 * i} for i in range(1, 9)]
    rows[3]["g_loss"] = rows[7]["g_loss"] = 1.0
    assert Image.open(io.BytesIO(loss_plot(rows))).size == (900, 350)


def test_loss_plot_shows_the_values():
    rows = [{"step": i, "epoch": 1, "loss": float(i)} for i in range(1, 9)]
    other = [{**row, "loss": row["loss"] ** 2} for row in rows]
    assert loss_plot(rows) != loss_plot(other)
