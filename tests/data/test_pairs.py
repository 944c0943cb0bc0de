"""Aligned and unaligned folders: which halves, which images, framed how, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from minigan.data import AlignedFolder, DataLoader, PairDataset, UnalignedFolder
from minigan.data.key import batch_key
from minigan.data.transforms import normalise
from minigan.errors import ConfigError, DataError


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def aligned(rng, write_image, tmp_path):
    """Three training and two test pairs of 10x10; returns the root and the pixels of training."""
    pixels = rng.integers(0, 256, (5, 10, 20, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        write_image(image, f"facades/{'train' if i < 3 else 'test'}/{i}.png")
    return tmp_path / "facades", pixels


@pytest.fixture
def unaligned(write_image, tmp_path):
    """Image i of A has the value i, of B 100 + i, in tests 50 more; 4 A and 7 B, 3 and 2."""
    for folder, n, first in (
        ("trainA", 4, 0),
        ("trainB", 7, 100),
        ("testA", 3, 50),
        ("testB", 2, 150),
    ):
        for i in range(n):
            write_image(np.full((10, 10, 3), first + i), f"horses/{folder}/{i}.png")
    return tmp_path / "horses"


def as_batch(pixels):
    return normalise(np.asarray(pixels).transpose(0, 3, 1, 2))


def values(images):
    return np.rint((images[:, 0, 0, 0] + 1) * 127.5).astype(int).tolist()


# --- aligned ---


def test_a_is_the_left_half_and_b_the_right(aligned):
    root, pixels = aligned
    data = AlignedFolder(root)
    assert isinstance(data, PairDataset)
    assert (len(data), data.channels, data.img_size, data.n_classes) == (3, 3, 10, 0)
    assert (data.name, data.train, data.direction) == ("facades", True, "AtoB")
    a, b = data.batch(np.array([2, 0]))
    assert a.dtype == b.dtype == np.float32
    np.testing.assert_array_equal(a, as_batch(pixels[[2, 0], :, :10]))
    np.testing.assert_array_equal(b, as_batch(pixels[[2, 0], :, 10:]))
    assert data[1][0].shape == (3, 10, 10)


def test_the_other_direction(aligned):
    forth, back = (AlignedFolder(aligned[0], direction=way) for way in ("AtoB", "BtoA"))
    for mine, theirs in zip(forth[:], back[:][::-1], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    key = batch_key(0, 0, 0)
    pairs = (data.training_batch(np.arange(3), key) for data in (forth, back))
    for mine, theirs in zip(next(pairs), next(pairs)[::-1], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_test_images_are_not_in_training(aligned):
    train, test = (AlignedFolder(aligned[0], train=train)[:] for train in (True, False))
    for mine, theirs in zip(train, test, strict=True):
        assert not {x.tobytes() for x in mine} & {x.tobytes() for x in theirs}
    np.testing.assert_array_equal(test[0], as_batch(aligned[1][3:, :, :10]))


def test_both_halves_are_framed_alike(rng, write_image, tmp_path):
    half = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    write_image(np.concatenate([half, 255 - half], axis=1), "x/train/0.png")
    data = AlignedFolder(tmp_path / "x", img_size=9, load_size=12, flip=True)
    a, b = data.training_batch(np.zeros(50, int), batch_key(0, 0, 0))
    np.testing.assert_allclose(a, -b, atol=1e-6)
    assert len({x.tobytes() for x in a}) > 15  # of 16 places, mirrored or not


def test_halves_are_resized_apart(write_image, tmp_path):
    both = np.zeros((16, 32), np.uint8)
    both[:, 16:] = 255
    write_image(both, "x/train/0.png")
    (a,), (b,) = AlignedFolder(tmp_path / "x", img_size=8)[:]
    assert a.shape == (1, 8, 8) and (a == -1).all() and (b == 1).all()


def test_a_flat_root_is_for_training(rng, write_image, tmp_path):
    write_image(rng.integers(0, 256, (4, 8)), "x/0.png")
    assert len(AlignedFolder(tmp_path / "x")) == 1
    with pytest.raises(DataError, match="no test/ in it"):
        AlignedFolder(tmp_path / "x", train=False)


@pytest.mark.parametrize("kind", ["aligned", "unaligned"])
def test_the_middle_of_an_augmented_epoch_resumes_bit_for_bit(kind, request):
    made = request.getfixturevalue(kind)
    root, reader = (made[0], AlignedFolder) if kind == "aligned" else (made, UnalignedFolder)

    def loader():
        return DataLoader(reader(root, img_size=8, load_size=10, flip=True), 1, seed=2)

    straight, states, whole = loader(), [], []
    for a, b in straight:
        whole.append((a, b))
        states.append(straight.state_dict())
    for stop in range(1, len(whole)):
        resumed = loader()
        resumed.load_state_dict(states[stop - 1])
        rest = list(resumed)
        assert len(rest) == len(whole) - stop
        for mine, theirs in zip(rest, whole[stop:], strict=True):
            np.testing.assert_array_equal(mine[0], theirs[0])
            np.testing.assert_array_equal(mine[1], theirs[1])


# --- unaligned ---


def test_as_long_as_the_larger_set(unaligned):
    data = UnalignedFolder(unaligned)
    assert (len(data), data.channels, data.img_size, data.n_classes) == (7, 3, 10, 0)
    assert "4 in trainA and 7 in trainB" in data.source
    a, b = data[:]
    assert values(a) == [0, 1, 2, 3, 0, 1, 2] and values(b) == list(range(100, 107))


def test_tests_go_by_index(unaligned):
    data = UnalignedFolder(unaligned, train=False)
    a, b = data.batch(np.arange(3))
    assert values(a) == [50, 51, 52] and values(b) == [150, 151, 150]


def test_in_training_b_is_random_and_a_is_not(unaligned):
    data = UnalignedFolder(unaligned)
    indices = np.tile(np.arange(7), 100)
    a, b = (np.array(values(x)) for x in data.training_batch(indices, batch_key(0, 0, 0)))
    np.testing.assert_array_equal(a, indices % 4)
    counts = np.bincount(b - 100, minlength=7)
    assert len(counts) == 7 and ((counts - 100) ** 2 / 100).sum() < 22.5  # 6 degrees, p = 0.001
    table = np.histogram2d(a, b - 100, bins=(4, 7))[0]
    expected = table.sum(1, keepdims=True) / 7
    assert ((table - expected) ** 2 / expected).sum() < 51.2  # 24 degrees: b ignores a


def test_a_and_b_are_framed_on_their_own(write_image, tmp_path):
    ramp = np.arange(144).reshape(12, 12)
    for folder in ("trainA", "trainB"):
        write_image(ramp, f"x/{folder}/0.png")
    data = UnalignedFolder(tmp_path / "x", img_size=8, load_size=12, flip=True)
    a, b = data.training_batch(np.zeros(200, int), batch_key(3, 0, 0))
    same = (a == b).all(axis=(1, 2, 3)).mean()
    assert same < 0.1  # 1 in 50 by chance
    for images in (a, b):
        mirrored = (images[:, 0, 0, 0] > images[:, 0, 0, -1]).mean()
        assert 0.35 < mirrored < 0.65
        assert len({x.tobytes() for x in images}) > 40


def test_sets_of_different_sizes_and_colours(rng, write_image, tmp_path):
    write_image(rng.integers(0, 256, (9, 14)), "x/trainA/0.png")
    write_image(rng.integers(0, 256, (20, 12, 3)), "x/trainB/0.png")
    data = UnalignedFolder(tmp_path / "x")
    a, b = data[:]
    assert a.shape == b.shape == (1, 3, 9, 9)
    np.testing.assert_array_equal(a[:, 0], a[:, 2])
    assert UnalignedFolder(tmp_path / "x", channels=1)[:][1].shape == (1, 1, 9, 9)


def test_unaligned_in_the_other_direction(unaligned):
    b, a = UnalignedFolder(unaligned, direction="BtoA")[:]
    assert values(a)[0] == 0 and values(b)[0] == 100


# --- bad input ---


def refused(error, match, reader, *args, **options):
    with pytest.raises(error, match=match) as caught:
        reader(*args, **options)
    assert "\n" not in str(caught.value)


def test_an_odd_width_cannot_be_two_halves(aligned, write_image):
    write_image(np.zeros((10, 21, 3)), "facades/train/odd.png")
    refused(DataError, "odd.png: 21 pixels wide, an odd number", AlignedFolder, aligned[0])


def test_halves_smaller_than_the_crop(aligned):
    root, _ = aligned
    refused(DataError, "0.png: 10x10 pixels, smaller than img_size 11", AlignedFolder, root,
            img_size=11)  # fmt: skip
    refused(ConfigError, "load_size is 8", AlignedFolder, root, img_size=9, load_size=8)


def test_unaligned_images_smaller_than_the_crop(unaligned, write_image):
    write_image(np.zeros((6, 40)), "horses/trainB/small.png")
    refused(DataError, "trainB/small.png: 40x6 pixels, smaller than img_size 10", UnalignedFolder,
            unaligned, img_size=10)  # fmt: skip


def test_folders_that_are_missing_or_empty(unaligned, aligned, tmp_path):
    for reader in (AlignedFolder, UnalignedFolder):
        refused(DataError, "nowhere: no such folder", reader, tmp_path / "nowhere")
    refused(DataError, "no trainA and no trainB in it", UnalignedFolder, aligned[0])
    refused(DataError, "--data unaligned", AlignedFolder, unaligned)
    for path in (unaligned / "trainB").iterdir():
        path.unlink()
    refused(DataError, "trainB: no images in it", UnalignedFolder, unaligned)
    (unaligned / "trainB").rmdir()
    refused(DataError, "horses: no trainB in it; unaligned images lie in", UnalignedFolder,
            unaligned)  # fmt: skip


@pytest.mark.parametrize("kind", ["aligned", "unaligned"])
def test_broken_files_are_named(kind, request, tmp_path):
    made = request.getfixturevalue(kind)
    reader, folder = (
        (AlignedFolder, made[0] / "train")
        if kind == "aligned"
        else (UnalignedFolder, made / "trainB")
    )
    noise = np.random.default_rng(0).integers(0, 256, (10, 20, 3), dtype=np.uint8)
    path = folder / "9.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:300])
    data = reader(folder.parent)  # its header is whole
    with pytest.raises(DataError, match="9.png: cannot be read"):
        for _ in DataLoader(data, 2, shuffle=False):
            pass
    path.write_bytes(b"not an image")
    refused(DataError, "9.png: cannot be read", reader, folder.parent)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"direction": "BA"}, "direction is 'BA': use AtoB or BtoA"),
        ({"channels": 2}, "channels is 2"),
        ({"img_size": 0}, "img_size is 0"),
    ],
)
def test_bad_options(aligned, unaligned, options, match):
    refused(ConfigError, match, AlignedFolder, aligned[0], **options)
    refused(ConfigError, match, UnalignedFolder, unaligned, **options)


def test_folders_have_no_labels(aligned):
    with pytest.raises(DataError, match="'facades' has no labels"):
        AlignedFolder(aligned[0]).labels(np.arange(2))
