"""Folders of images: what is read, how it is framed and augmented, and what is refused."""

import gc
import threading

import numpy as np
import pytest
from PIL import Image

from minigan.data import DataLoader, ImageFolder, image_store
from minigan.data.framing import Framing
from minigan.data.key import batch_key
from minigan.data.transforms import normalise
from minigan.errors import ConfigError, DataError


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def ten(rng, write_image, tmp_path):
    """Ten coloured images of 12x12; returns the folder and the pixels [10,12,12,3]."""
    pixels = rng.integers(0, 256, (10, 12, 12, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        write_image(image, f"flat/{i:02}.png")
    return tmp_path / "flat", pixels


def as_batch(pixels):
    """uint8 [N,H,W,C] -> what a data set makes of it."""
    return normalise(np.asarray(pixels).transpose(0, 3, 1, 2))


# --- reading ---


def test_a_flat_folder_has_no_labels(ten):
    folder, pixels = ten
    data = ImageFolder(folder)
    assert (len(data), data.channels, data.img_size, data.n_classes) == (10, 3, 12, 0)
    assert (data.name, data.train, data.classes) == ("flat", True, ())
    assert str(folder) in data.source
    images, labels = data.batch(np.array([3, 0, 3]))
    assert labels is None and images.dtype == np.float32
    np.testing.assert_array_equal(images, as_batch(pixels[[3, 0, 3]]))
    image, label = data[-1]
    assert label is None and image.shape == (3, 12, 12)


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.webp", "a.jpg", "a.JPEG"])
def test_formats(name, rng, write_image, tmp_path):
    pixels = np.repeat(np.repeat(rng.integers(0, 256, (1, 1, 3)), 8, 0), 8, 1)
    options = {"lossless": True} if name.endswith("webp") else {}
    write_image(pixels, f"x/{name}", **options)
    (image,), _ = ImageFolder(tmp_path / "x")[:]
    np.testing.assert_allclose(image, as_batch([pixels])[0], atol=0.04)


def test_other_and_hidden_files_are_left_out(ten):
    folder, _ = ten
    (folder / "notes.txt").write_text("no image")
    (folder / "._00.png").write_bytes(b"what some systems leave behind")
    (folder / "folder.png").mkdir()
    assert len(ImageFolder(folder)) == 10


def test_one_folder_a_class(write_image, tmp_path):
    for i, name in enumerate(("b/1.png", "a/1.png", "a/2.png", "c/0.png")):
        write_image(np.full((4, 4), 10 * i), f"x/{name}")
    data = ImageFolder(tmp_path / "x")
    images, labels = data[:]
    assert data.classes == ("a", "b", "c") and data.n_classes == 3 and data.channels == 1
    np.testing.assert_array_equal(labels, [0, 0, 1, 2])
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(images[:, 0, 0, 0], normalise(np.uint8([10, 20, 0, 30])))


def test_splits_share_the_numbers_of_the_classes(write_image, tmp_path):
    for value, name in enumerate(("train/a/0", "train/b/0", "train/c/0", "test/c/0", "test/b/0")):
        write_image(np.full((4, 4), value), f"x/{name}.png")
    train, test = (ImageFolder(tmp_path / "x", train=train) for train in (True, False))
    assert train.classes == test.classes == ("a", "b", "c")
    np.testing.assert_array_equal(test[:][1], [1, 2])
    seen = {image.tobytes() for image in train[:][0]}
    assert not seen & {image.tobytes() for image in test[:][0]}
    assert (train.train, test.train) == (True, False)


def test_val_is_the_test_split_where_there_is_no_test(write_image, tmp_path):
    write_image(np.zeros((4, 4)), "x/train/0.png")
    write_image(np.full((4, 4), 255), "x/val/0.png")
    assert ImageFolder(tmp_path / "x", train=False)[0][0].min() == 1


def test_grey_becomes_rgb_and_colours_become_luma(ten, write_image):
    folder, pixels = ten
    grey = np.arange(144).reshape(12, 12)
    write_image(grey, "flat/grey.png")
    coloured, luma = ImageFolder(folder), ImageFolder(folder, channels=1)
    assert coloured.channels == 3 and luma.channels == 1
    np.testing.assert_array_equal(coloured[10][0], as_batch([np.dstack([grey] * 3)])[0])
    expected = [np.asarray(Image.fromarray(image).convert("L"))[..., None] for image in pixels]
    np.testing.assert_array_equal(luma[:10][0], as_batch(expected))


def test_palettes_transparency_and_one_bit_images(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    red = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    red.save(folder / "alpha.png")
    # One transparency value for each colour: Pillow warns when that is converted to RGB at once.
    red.convert("RGB").quantize(2).save(folder / "palette.png", transparency=b"\x80\x00")
    Image.new("1", (4, 4), 1).save(folder / "bit.png")
    images, _ = ImageFolder(folder)[:]
    np.testing.assert_array_equal(images[0, :, 0, 0], [1, -1, -1])
    assert (images[1] == 1).all()
    np.testing.assert_array_equal(images[2, :, 0, 0], [1, -1, -1])


def test_photographs_are_turned_upright(tmp_path, write_image):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    lying = np.zeros((8, 24, 3), np.uint8)
    lying[:4] = 255  # the upper half, which is the right half of the upright picture
    write_image(lying, "x/0.jpg", exif=exif, quality=100)
    image, _ = ImageFolder(tmp_path / "x", img_size=8)[0]
    assert image.shape == (3, 8, 8)
    assert image[:, :, :3].max() < -0.9 and image[:, :, 5:].min() > 0.9
    with pytest.raises(DataError, match="8x24"):
        ImageFolder(tmp_path / "x", img_size=9)


# --- framing ---


@pytest.mark.parametrize("shape", [(20, 31), (31, 20), (20, 20)])
def test_the_shorter_side_is_resized_and_the_centre_cropped(shape, rng, write_image, tmp_path):
    pixels = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    write_image(pixels, "x/0.png")
    height, width = (16 if length == 31 else 10 for length in shape)
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    top, left = (height - 10) // 2, (width - 10) // 2
    expected = np.asarray(resized)[top : top + 10, left : left + 10]
    np.testing.assert_array_equal(
        ImageFolder(tmp_path / "x", img_size=10)[:][0], as_batch([expected])
    )


def places(framed, whole):
    """Where each crop [C,s,s] comes from in the image [C,h,w]: {(top, left, flipped)}."""
    size = framed.shape[-1]
    found = []
    for crop in framed:
        where = [
            (top, left, flip)
            for top in range(whole.shape[1] - size + 1)
            for left in range(whole.shape[2] - size + 1)
            for flip, seen in ((False, crop), (True, crop[:, :, ::-1]))
            if np.array_equal(whole[:, top : top + size, left : left + size], seen)
        ]
        assert len(where) == 1
        found += where
    return found


def test_training_crops_come_from_everywhere_and_half_of_them_are_mirrored(ten):
    folder, pixels = ten
    data = ImageFolder(folder, img_size=10, load_size=12, flip=True)
    indices = np.zeros(600, dtype=np.int64)
    images, _ = data.training_batch(indices, batch_key(0, 0, 0))
    found = places(images, as_batch(pixels[:1])[0])
    assert {(top, left) for top, left, _ in found} == {(t, le) for t in range(3) for le in range(3)}
    assert 0.4 < np.mean([flip for *_, flip in found]) < 0.6
    np.testing.assert_array_equal(data.batch([0])[0], as_batch(pixels[:1, 1:11, 1:11]))


def test_flip_alone_and_crop_alone(ten):
    folder, pixels = ten
    indices, key = np.zeros(40, dtype=np.int64), batch_key(1, 0, 0)
    whole = as_batch(pixels[:1])[0]
    flipped = ImageFolder(folder, flip=True).training_batch(indices, key)[0]
    assert set(places(flipped, whole)) == {(0, 0, False), (0, 0, True)}
    cropped = ImageFolder(folder, img_size=9, load_size=12).training_batch(indices, key)[0]
    assert not any(flip for *_, flip in places(cropped, whole))
    plain = ImageFolder(folder, img_size=12).training_batch(indices, key)[0]
    assert set(places(plain, whole)) == {(0, 0, False)}


def test_without_load_size_a_wide_image_is_cropped_in_the_middle(rng, write_image, tmp_path):
    write_image(rng.integers(0, 256, (8, 20, 3)), "x/0.png")
    data = ImageFolder(tmp_path / "x")
    drawn = data.training_batch(np.zeros(9, int), batch_key(0, 0, 0))[0]
    np.testing.assert_array_equal(drawn, np.repeat(data.batch([0])[0], 9, axis=0))


def test_a_test_split_is_whole_and_never_augmented(rng, write_image, tmp_path):
    pixels = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    write_image(pixels, "x/train/0.png")
    write_image(pixels, "x/test/0.png")
    test = ImageFolder(tmp_path / "x", train=False, img_size=9, load_size=12, flip=True)
    for images, _ in (
        test[:],
        test.training_batch(np.zeros(1, int), batch_key(0, 0, 0)),
    ):
        np.testing.assert_array_equal(images, as_batch([pixels]))


def test_load_size_enlarges(ten):
    data = ImageFolder(ten[0], img_size=16, load_size=18)
    assert data[:2][0].shape == (2, 3, 16, 16)
    assert ImageFolder(ten[0], load_size=18).img_size == 18


def test_the_smallest_image_decides_the_size(ten, write_image):
    write_image(np.zeros((7, 30)), "flat/small.png")
    assert ImageFolder(ten[0]).img_size == 7


# --- resuming ---


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_augmented_epoch_resumes_bit_for_bit_in_the_middle(ten, prefetch):
    def loader():
        data = ImageFolder(ten[0], img_size=9, load_size=12, flip=True)
        return DataLoader(data, 3, seed=11, prefetch=prefetch)

    whole, states = [], []
    straight = loader()
    for _ in range(2):
        for images, _ in straight:
            whole.append(images)
            states.append(straight.state_dict())
    for stop in range(1, 8):
        resumed = loader()
        resumed.load_state_dict(states[stop - 1])
        rest = []
        while resumed.epoch < 2:
            rest += [images for images, _ in resumed]
        assert len(rest) == 8 - stop
        for mine, theirs in zip(rest, whole[stop:], strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_epochs_and_seeds_differ(ten):
    def epoch(number, seed):
        data = ImageFolder(ten[0], img_size=9, load_size=12, flip=True)
        loader = DataLoader(data, 10, seed=seed)
        (images,) = (images for images, _ in loader.epoch_batches(number))
        return {image.tobytes() for image in images}

    assert epoch(0, 1) == epoch(0, 1)
    assert len(epoch(0, 1) & epoch(1, 1)) < 5 and len(epoch(0, 1) & epoch(0, 2)) < 5


# --- memory and files ---


def count_reads(monkeypatch):
    read = []
    original = ImageFolder._read

    def counted(self, index):
        read.append(index)
        return original(self, index)

    monkeypatch.setattr(ImageFolder, "_read", counted)
    return read


def test_pixels_are_decoded_once_and_only_when_they_are_used(ten, monkeypatch):
    read = count_reads(monkeypatch)
    data = ImageFolder(ten[0])
    assert read == []
    first = data[[2, 5, 2]][0]
    np.testing.assert_array_equal(data[[2, 5, 2]][0], first)
    assert read == [2, 5]


def test_memory_is_bounded(ten, monkeypatch):
    monkeypatch.setattr(image_store, "_CACHE_BYTES", 2 * 3 * 12 * 12)
    read = count_reads(monkeypatch)
    data = ImageFolder(ten[0])
    first = data[:4][0]
    np.testing.assert_array_equal(data[:4][0], first)
    assert read == [0, 1, 2, 3, 2, 3]


def test_what_is_kept_cannot_be_changed_from_outside(ten):
    data = ImageFolder(ten[0])
    images = data[:1][0]
    before = images.copy()
    images[:] = 0
    np.testing.assert_array_equal(data[:1][0], before)


def test_two_threads_may_read_at_once(ten):
    data = ImageFolder(ten[0])
    results = [None] * 4

    def work(i):
        results[i] = data[:][0]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for result in results:
        np.testing.assert_array_equal(result, as_batch(ten[1]))


def test_no_file_stays_open(ten, monkeypatch):
    import builtins

    opened = []
    original = builtins.open

    def recorded(*args, **kwargs):
        opened.append(original(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(builtins, "open", recorded)
    ImageFolder(ten[0])[:]
    (ten[0] / "bad.png").write_bytes(b"\x89PNG but not really")
    with pytest.raises(DataError):
        ImageFolder(ten[0])
    assert len(opened) >= 31 and all(file.closed for file in opened)
    gc.collect()  # a file that was not closed would warn here, and a warning is an error


# --- bad input ---


def refused(error, match, *args, **options):
    with pytest.raises(error, match=match) as caught:
        ImageFolder(*args, **options)
    assert "\n" not in str(caught.value)


def test_missing_and_empty_folders(tmp_path):
    refused(DataError, "none: no such folder", tmp_path / "none")
    refused(DataError, "no images in it; put .jpg", tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").mkdir()
    refused(DataError, "/b: no images in it", tmp_path / "a")


def test_folders_that_cannot_be_told(tmp_path, write_image):
    write_image(np.zeros((4, 4)), "x/0.png")
    refused(DataError, "x: no test/ in it; put images there", tmp_path / "x", train=False)
    write_image(np.zeros((4, 4)), "x/a/0.png")
    refused(DataError, "x: images both in it and in a/", tmp_path / "x")
    write_image(np.zeros((4, 4)), "y/test/0.png")
    refused(DataError, "y: has test/ but no train/", tmp_path / "y")
    write_image(np.zeros((4, 4)), "z/train/a/0.png")
    write_image(np.zeros((4, 4)), "z/test/b/0.png")
    refused(DataError, "test/b: a class that train/ does not have", tmp_path / "z", train=False)


def test_a_set_of_pairs_is_not_taken_for_two_classes(tmp_path, write_image):
    for name in ("trainA", "trainB", "testA", "testB"):
        write_image(np.zeros((4, 4)), f"x/{name}/0.png")
    refused(DataError, "--data unaligned", tmp_path / "x")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"img_size": 0}, ConfigError, "img_size is 0"),
        ({"img_size": 12, "load_size": 10}, ConfigError, "load_size is 10, smaller than the crop"),
        (
            {"img_size": 13},
            DataError,
            "00.png: 12x12 pixels, smaller than img_size 13; .*load_size",
        ),
        ({"channels": 2}, ConfigError, "channels is 2"),
        ({"channels": 4}, ConfigError, "channels is 4"),
    ],
)
def test_bad_options(ten, options, error, match):
    refused(error, match, ten[0], **options)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00"])
def test_a_broken_header_is_found_at_once(ten, content):
    (ten[0] / "05b.png").write_bytes(content)
    refused(DataError, "05b.png: cannot be read .*; replace it", ten[0])


def test_pixels_of_16_bits_are_refused_and_not_clipped(ten):
    Image.fromarray(np.full((12, 12), 40000, np.uint16)).save(ten[0] / "deep.png")
    refused(DataError, "deep.png: pixels of mode I;16 .* 8 bits a channel", ten[0])


def truncated(path, share=0.9):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@pytest.mark.parametrize("name", ["05.png", "05.jpg"])
@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_image_cut_short_is_named_at_first_use(ten, rng, write_image, name, prefetch):
    folder, _ = ten
    (folder / "05.png").unlink()
    truncated(write_image(rng.integers(0, 256, (12, 12, 3)), f"flat/{name}"))
    data = ImageFolder(folder)
    data[:5]
    loader = DataLoader(data, 2, shuffle=False, prefetch=prefetch)
    seen = 0
    with pytest.raises(DataError, match=f"{name}: cannot be read .*; replace it") as caught:
        for _ in loader:
            seen += 1
    assert seen == 2 and "\n" not in str(caught.value)
    assert not any(thread.name == "minigan-prefetch" for thread in threading.enumerate())


def test_flipped_bits_never_escape_as_another_error(rng, write_image, tmp_path):
    """Whatever is wrong with a file, the caller gets pixels or one line with its name."""
    for name in ("x/0.png", "x/0.jpg", "x/0.webp", "x/0.bmp"):
        path = write_image(rng.integers(0, 256, (12, 12, 3)), name)
        whole = path.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for place in rng.integers(0, len(whole), 4):
                damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            try:
                assert np.abs(ImageFolder(tmp_path / "x", img_size=4, load_size=4)[:][0]).max() <= 1
            except DataError as error:
                assert path.name in str(error)
        path.unlink()


def test_a_framing_is_a_square_of_its_size():
    framing = Framing(4, 6, flip=True)
    words = batch_key(0, 0, 0).words(50)
    planes = np.zeros((3, 6, 9), np.uint8)
    assert {framing.cropped(planes, row).shape for row in words} == {(3, 4, 4)}
    assert framing.for_test() == Framing(4, 4) and Framing(4).for_test() == Framing(4)
