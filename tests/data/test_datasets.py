"""ArrayDataset, Subset and the pixel arithmetic, against Pillow and torchvision's formula."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from minigan.data import ArrayDataset, Subset
from minigan.data.transforms import grayscale, normalise, resize
from minigan.errors import ConfigError, DataError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def grey(rng) -> np.ndarray:
    return rng.integers(0, 256, size=(12, 28, 28), dtype=np.uint8)


@pytest.fixture
def labels(rng) -> np.ndarray:
    return rng.integers(0, 10, size=12)


@pytest.mark.parametrize("size", [1, 14, 27, 29, 32, 64])
def test_resize_is_pillow_byte_for_byte(grey, size):
    expected = [
        np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
        for image in grey
    ]
    np.testing.assert_array_equal(resize(grey[:, None], size)[:, 0], expected)


def test_resize_of_colour_is_pillow_byte_for_byte(rng):
    colour = rng.integers(0, 256, size=(5, 20, 20, 3), dtype=np.uint8)
    expected = [
        np.asarray(Image.fromarray(image).resize((33, 33), Image.Resampling.BILINEAR))
        for image in colour
    ]
    result = resize(colour.transpose(0, 3, 1, 2), 33).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(result, expected)


def test_grayscale_is_pillow_byte_for_byte(rng):
    colour = rng.integers(0, 256, size=(5, 20, 20, 3), dtype=np.uint8)
    expected = [np.asarray(Image.fromarray(image).convert("L")) for image in colour]
    np.testing.assert_array_equal(grayscale(colour.transpose(0, 3, 1, 2))[:, 0], expected)


def test_normalise_has_the_bits_of_to_tensor_and_normalize():
    torch = pytest.importorskip("torch")
    pixels = np.arange(256, dtype=np.uint8)
    expected = (torch.from_numpy(pixels).float().div(255) - 0.5).div(0.5).numpy()
    result = normalise(pixels)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)
    assert (result[0], result[-1]) == (-1, 1)


def test_batch_shapes_dtypes_and_range(grey, labels):
    data = ArrayDataset(grey, labels)
    images, targets = data.batch(np.array([3, 3, 0]))
    assert images.shape == (3, 1, 28, 28) and images.dtype == np.float32
    assert images.min() >= -1 and images.max() <= 1
    assert targets.dtype == np.int64
    np.testing.assert_array_equal(targets, labels[[3, 3, 0]])
    np.testing.assert_allclose(images[2, 0], grey[0] / 127.5 - 1, atol=1e-6)


def test_indexing(grey, labels):
    data = ArrayDataset(grey, labels)
    image, label = data[-1]
    assert image.shape == (1, 28, 28) and label == labels[-1] and label.dtype == np.int64
    np.testing.assert_array_equal(image, data.batch([11])[0][0])
    np.testing.assert_array_equal(data[2:5][1], labels[2:5])
    np.testing.assert_array_equal(data[[4, 1]][0], data.batch(np.array([4, 1]))[0])
    assert len(list(data)) == 12
    with pytest.raises(IndexError):
        data[12]


@pytest.mark.parametrize("cache", [True, False])
def test_resizing_does_not_depend_on_the_order_of_use(grey, labels, cache, monkeypatch):
    if not cache:
        monkeypatch.setattr("minigan.data.dataset._CACHE_BYTES", 0)
    data = ArrayDataset(grey, labels, img_size=32)
    expected = normalise(resize(grey[:, None], 32))
    for indices in ([5, 5, 2], [2, 7], range(12), [5]):
        np.testing.assert_array_equal(data.batch(np.array(indices))[0], expected[list(indices)])
    assert data.img_size == 32


def test_grey_to_three_channels_and_back(grey, labels):
    images, _ = ArrayDataset(grey, labels, img_size=32, channels=3)[:]
    assert images.shape == (12, 3, 32, 32)
    np.testing.assert_array_equal(images[:, 0], images[:, 2])
    colour = np.repeat(grey[..., None], 3, axis=3)
    np.testing.assert_array_equal(
        ArrayDataset(colour, labels, channels=1)[:][0], ArrayDataset(grey, labels)[:][0]
    )


def test_attributes(grey, labels):
    data = ArrayDataset(grey, labels, n_classes=10, name="noise", source="a test", train=False)
    assert (data.name, data.source, data.train) == ("noise", "a test", False)
    assert (data.n_classes, data.channels, data.img_size, len(data)) == (10, 1, 28, 12)
    assert ArrayDataset(grey, labels).n_classes == labels.max() + 1
    assert "12 images 1x28x28" in repr(data)


def test_a_batch_is_a_copy(grey, labels):
    data = ArrayDataset(grey, labels)
    images, targets = data.batch(np.arange(12))
    before = images.copy()
    images[:], targets[:] = 0, -1
    np.testing.assert_array_equal(data.batch(np.arange(12))[0], before)
    np.testing.assert_array_equal(data.batch(np.arange(12))[1], labels)


def test_subset(grey, labels):
    data = ArrayDataset(grey, labels, n_classes=10)
    part = Subset(data, [9, -1, 4])
    assert (len(part), part.n_classes, part.img_size) == (3, 10, 28)
    np.testing.assert_array_equal(part[:][1], labels[[9, 11, 4]])
    np.testing.assert_array_equal(Subset(part, [2])[0][0], data[4][0])
    assert part.source == "3 of the 12 images of memory"
    with pytest.raises(IndexError):
        Subset(data, [12])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((12, 28, 28), np.float32), "float32"),
        (np.zeros((12, 28), np.uint8), r"\[12, 28\]"),
        (np.zeros((12, 28, 28, 2), np.uint8), r"\[12, 28, 28, 2\]"),
        (np.zeros((12, 28, 30), np.uint8), "28x30"),
        (np.zeros((12, 0, 0), np.uint8), "0x0"),
        (np.zeros((11, 28, 28), np.uint8), "11 images but 12 labels"),
    ],
)
def test_bad_images(images, labels, message):
    with pytest.raises(DataError, match=message):
        ArrayDataset(images, labels)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.full(12, 10), "label 10 of image 0 .* 0 to 9"),
        (np.array([0] * 11 + [-1]), "label -1 of image 11"),
        (np.zeros(12), "float64"),
        (np.zeros((12, 1), int), r"\[12, 1\]"),
    ],
)
def test_bad_labels(grey, wrong, message):
    with pytest.raises(DataError, match=message):
        ArrayDataset(grey, wrong, n_classes=10)


@pytest.mark.parametrize("option", [{"img_size": 0}, {"channels": 2}, {"n_classes": 0}])
def test_bad_options(grey, labels, option):
    with pytest.raises(ConfigError, match=f"{next(iter(option))} is {next(iter(option.values()))}"):
        ArrayDataset(grey, labels, **option)
