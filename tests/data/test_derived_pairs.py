"""Pairs made from MNIST: what is in them, and that no answer is given away."""

import numpy as np
import pytest
from scipy import ndimage

from minigan.cli import main
from minigan.data import ArrayDataset, DataLoader, load
from minigan.data.derived_pairs import edges, inverted
from minigan.data.transforms import sobel_edges


def numbered(n, train=True):
    """Images that tell which they are: all pixels of image i are i."""
    pixels = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None], (n, 8, 8))
    return ArrayDataset(pixels, np.arange(n) % 3, name="numbered", train=train)


def index_of(images):
    return np.rint((images[:, 0, 0, 0] + 1) * 127.5).astype(int)


def test_edges_are_those_of_scipys_sobel_filter():
    images = np.random.default_rng(0).uniform(-1, 1, (3, 2, 9, 7)).astype(np.float32)
    made = sobel_edges(images, 0.5)
    for image, edge in zip(images.reshape(-1, 9, 7), made.reshape(-1, 9, 7), strict=True):
        x, y = (ndimage.sobel(image, axis, mode="nearest") for axis in (0, 1))
        np.testing.assert_array_equal(edge > 0, np.hypot(x, y) > 4 * 0.5)
    assert made.dtype == np.float32 and set(np.unique(made)) == {-1.0, 1.0}
    assert (sobel_edges(np.zeros((1, 1, 5, 5), np.float32)) == -1).all()


def test_digits_have_edges_around_their_strokes():
    a, b = load("mnist-embedded-edges")[:20]
    assert a.shape == b.shape == (20, 1, 28, 28)
    share = (a > 0).mean((1, 2, 3))
    assert (share > 0.05).all() and (share < 0.5).all()
    np.testing.assert_array_equal(a, sobel_edges(b))


def test_aligned_pairs_keep_the_labels_of_their_set():
    pairs = edges(numbered(9), "edges")
    np.testing.assert_array_equal(pairs.labels(np.array([4, 2])), [1, 2])
    assert len(pairs) == 9 and pairs.as_digits(pairs[:2][1]).shape == (2, 1, 8, 8)


@pytest.mark.parametrize("n", [8, 9])
def test_no_training_image_is_in_both_domains(n):
    pairs = inverted(numbered(n), "inverted")
    a, b = pairs[:]
    of_a, of_b = index_of(a), index_of(-b)
    assert not set(of_a) & set(of_b)
    assert set(of_a) | set(of_b) == set(range(n))
    np.testing.assert_array_equal(pairs.labels(np.arange(len(pairs))), of_a % 3)


def test_in_the_test_split_b_is_the_answer_to_a():
    pairs = inverted(numbered(7, train=False), "inverted")
    a, b = pairs[:]
    assert len(pairs) == 7
    np.testing.assert_array_equal(b, -a)
    np.testing.assert_array_equal(pairs.as_digits(b), a)


def test_the_loader_resumes_pairs():
    loaders = [DataLoader(load("mnist-embedded-inverted"), 16, seed=3) for _ in range(2)]
    first = iter(loaders[0])
    next(first)
    loaders[1].load_state_dict(loaders[0].state_dict())
    for mine, theirs in zip(next(first), next(iter(loaders[1])), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_model_of_images_refuses_pairs_and_the_reverse(tmp_path, capsys):
    run = tmp_path / "run"
    flags = ["--max_steps", "1", "--run_dir", str(run)]
    assert main(["train", "gan", "--data", "mnist-embedded-edges", *flags]) == 2
    assert "gan learns from images" in capsys.readouterr().err
    small = ["--img_size", "32", "--channels", "1", "--ngf", "4", "--ndf", "4"]
    assert main(["train", "pix2pix", "--data", "mnist-embedded", *small, *flags]) == 2
    assert "pix2pix learns from pairs" in capsys.readouterr().err
    assert not run.exists()
