"""Pairs made from MNIST: what is in them, and that no answer is given away."""

import numpy as np
import pytest
from scipy import ndimage

from minigan.cli import main
from minigan.data import ArrayDataset, DataLoader, load
from minigan.data.derived_pairs import coloured, edges, inverted, sneakers_boots
from minigan.data.transforms import sobel_edges
from minigan.errors import ConfigError


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


@pytest.mark.parametrize("make", [inverted, coloured])
def test_halves_never_meet(make):
    """No example is in both domains of the training set, whatever the look."""
    pixels = np.random.default_rng(3).integers(0, 256, (9, 6, 6), dtype=np.uint8)
    data = ArrayDataset(pixels, np.arange(9), n_classes=10, channels=3)
    pairs = make(data, "pairs")
    domain_a, domain_b = pairs[:]
    grey = np.rint((data[:][0][:, :1] + 1) * 127.5).astype(int)

    def examples(images, domain):
        digits = np.rint((pairs.as_digits(images, domain) + 1) * 127.5).astype(int)
        return [int((grey == digit).all((1, 2, 3)).argmax()) for digit in digits]

    of_a, of_b = examples(domain_a, "a"), examples(domain_b, "b")
    assert of_a == [0, 1, 2, 3, 0] and of_b == [4, 5, 6, 7, 8]


def test_coloured_digits_keep_their_hue_and_their_digit():
    pairs = load("mnist-embedded-coloured", train=False)
    a, b = pairs[:40]
    assert a.shape == b.shape == (40, 3, 28, 28) and pairs.channels == 3
    np.testing.assert_array_equal(a[:, 0], a[:, 2])  # grey
    np.testing.assert_allclose(pairs.as_digits(b), a[:, :1], atol=1e-6)
    np.testing.assert_allclose(pairs.as_digits(a, "a"), a[:, :1], atol=1e-6)
    np.testing.assert_array_equal(pairs.batch(np.array([7, 3]))[1], b[[7, 3]])
    corners = b[:, :, 0, 0]
    assert (np.ptp(corners, axis=1) > 0.5).all()  # the ground is coloured
    assert len(np.unique(corners.round(3), axis=0)) == 40
    np.testing.assert_array_equal(
        pairs.labels(np.arange(40)), load("mnist-embedded", False)[:40][1]
    )
    with pytest.raises(ConfigError, match="channels is 1: mnist-embedded-coloured is RGB, use 3"):
        load("mnist-embedded-coloured", channels=1)


@pytest.mark.parametrize("train", [True, False])
def test_sneakers_and_boots(train):
    pairs = load("sneakers-boots-embedded", train)
    whole = load("fashion-embedded", train)
    sneakers, boots = (whole[whole.labels == each][0] for each in (7, 9))
    a, b = pairs[:]
    assert len(a) == len(b) == len(pairs) == max(len(sneakers), len(boots))
    np.testing.assert_array_equal(a, np.resize(sneakers, a.shape))
    np.testing.assert_array_equal(b, np.resize(boots, b.shape))
    assert set(pairs.labels(np.arange(len(pairs)))) == {7}
    back = sneakers_boots(whole, "back", "BtoA")
    assert set(back.labels(np.arange(len(back)))) == {9}


@pytest.mark.parametrize("name", ["mnist-embedded", "fashion-embedded"])
@pytest.mark.parametrize("size", [28, 32, 64, 128])
def test_enlarged_images_have_edges_too(name, size):
    a, _ = load(f"{name}-edges", img_size=size)[:50]
    share = (a > 0).mean((1, 2, 3))
    assert 0.08 < share.mean() < 0.4 and share.min() > 0.01


def test_edges_are_edges_of_the_test_split_s_images():
    train, test = (load("mnist-embedded-edges", train=train) for train in (True, False))
    assert not {x.tobytes() for x in train[:2000][1]} & {x.tobytes() for x in test[:][1]}
    assert train.train and not test.train


def test_digits_are_read_in_the_direction_of_the_batch():
    forth, back = (load("mnist-embedded-inverted", False, direction=d) for d in ("AtoB", "BtoA"))
    a, b = forth[:5]
    for pairs, first, second in ((forth, a, b), (back, b, a)):
        mine = pairs[:5]
        np.testing.assert_array_equal(mine[0], first)
        np.testing.assert_array_equal(pairs.as_digits(first, "a"), a)
        np.testing.assert_array_equal(pairs.as_digits(second, "b"), a)
        np.testing.assert_array_equal(pairs.as_digits(second), a)


def test_a_classifier_reads_pairs_of_three_channels():
    pairs = load("mnist-embedded-inverted", False, channels=3)
    a, b = pairs[:6]
    assert a.shape[1] == 3 and pairs.as_digits(b).shape == (6, 1, 28, 28)
    np.testing.assert_allclose(pairs.as_digits(b), a[:, :1], atol=1e-6)


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
