"""IDX files: what is read, and each way in which a file can be bad."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tracemalloc

import numpy as np
import pytest

from minigan.data.idx import read_idx
from minigan.errors import DataError

NAMES = ["images", "images.gz"]


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, size=(20, 7, 5), dtype=np.uint8)


def one_line(error: pytest.ExceptionInfo[DataError], path) -> str:
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", NAMES)
def test_reads_what_was_written(write_idx, images, name):
    result = read_idx(write_idx(images, name))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, images)


def test_gzip_is_told_by_content_not_by_name(write_idx, images):
    path = write_idx(images, "images.gz")
    np.testing.assert_array_equal(read_idx(path.rename(path.with_suffix(""))), images)


def test_labels_have_one_axis(write_idx):
    np.testing.assert_array_equal(read_idx(write_idx(np.arange(10), "labels.gz")), np.arange(10))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keep", [0, 3, 9, 0.5, 0.99])
def test_truncated(write_idx, images, name, keep):
    path = write_idx(images, name)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(DataError) as error:
        read_idx(path)
    assert "download" in one_line(error, path)


def test_gzip_without_its_trailer(write_idx, images):
    path = write_idx(images, "images.gz")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match="truncated or corrupt gzip"):
        read_idx(path)


def test_no_bit_flip_in_gzip_data_changes_a_value_unnoticed(write_idx):
    values = np.arange(40).reshape(10, 2, 2)
    path = write_idx(values, "images.gz")
    good = path.read_bytes()
    noticed = 0
    for position in range(10, len(good)):  # behind the gzip header, whose name and time are free
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        path.write_bytes(bad)
        try:
            np.testing.assert_array_equal(read_idx(path), values)  # a bit that pads the last byte
        except DataError as error:
            assert str(path) in str(error)
            noticed += 1
    assert noticed >= len(good) - 11


@pytest.mark.parametrize("name", NAMES)
def test_md5_is_of_the_uncompressed_bytes(write_idx, images, name):
    path = write_idx(images, name)
    raw = path.read_bytes()
    md5 = hashlib.md5(gzip.decompress(raw) if name.endswith(".gz") else raw).hexdigest()
    np.testing.assert_array_equal(read_idx(path, md5), images)


def test_one_flipped_pixel_fails_the_md5(write_idx, images):
    path = write_idx(images, "images")
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    images[3, 2, 1] ^= 1
    write_idx(images, "images")
    with pytest.raises(DataError, match=md5) as error:
        read_idx(path, md5)
    one_line(error, path)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [-1, 1], ids=["fewer", "more"])
def test_size_must_match_the_header_exactly(write_idx, images, name, change):
    path = write_idx(images, name)
    raw = path.read_bytes()
    data = gzip.decompress(raw) if name.endswith(".gz") else raw
    data = data[:change] if change < 0 else data + b"\0" * change
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(DataError) as error:
        read_idx(path)
    one_line(error, path)


@pytest.mark.parametrize(
    "start",
    [b"\x89PNG", b"PK\x03\x04", b"\0\0\x08\0", b"\0\0\x08\xff", b"\0\0\x0d\x03", b"\1\0\x08\x03"],
)
def test_wrong_magic(tmp_path, start):
    path = tmp_path / "images"
    path.write_bytes(start + bytes(100))
    with pytest.raises(DataError) as error:
        read_idx(path)
    one_line(error, path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("shape", "impossible"),
    [((0xFFFFFFFF,) * 4, True), ((1_000_000_000,), True), ((60_000, 28, 140), False)],
)
def test_a_header_that_claims_too_much_takes_no_memory(tmp_path, shape, impossible, packed):
    header = bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
    # At gzip's best ratio the file could hold the last shape: that one fails when the data ends.
    data = header + np.random.default_rng(0).bytes(300_000)
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(data) if packed else data)
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as error:
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ("more than the file can hold" in one_line(error, path)) == (impossible or not packed)
    assert peak < 4_000_000


def test_a_gzip_bomb_is_read_no_further_than_its_header_says(tmp_path):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 10) + bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more values"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "images")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)
