"""The IDX format of MNIST: two zero bytes, a type code, the number of axes, each axis' length as
a big-endian uint32, then the values. Read raw or gzipped, told apart by content."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from minigan.errors import DataError

_UNSIGNED_BYTE = 0x08
_MAX_AXES = 4
_GZIP_MAGIC = b"\x1f\x8b"
_DEFLATE_MAX_RATIO = 1032  # deflate cannot pack more bytes than this into one
_CHUNK = 1 << 20
_REMEDY = "delete it and download or copy it again"


def read_idx(path: str | Path, md5: str | None = None) -> np.ndarray:
    """The uint8 array in an IDX file.

    `md5` is checked against the uncompressed bytes, because the same data is gzipped in many
    ways. Sizes are checked before memory is taken. Raises DataError naming the file.
    """
    path = Path(path)
    try:
        with _opened(path) as (stream, limit):
            header, shape = _read_header(stream, path)
            size = math.prod(shape)
            if len(header) + size > limit:
                raise DataError(
                    f"{path}: its header asks for {_dims(shape)} bytes, more than the file can "
                    f"hold; {_REMEDY}"
                )
            data = _read_values(stream, size, path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: truncated or corrupt gzip data ({error}); {_REMEDY}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    if md5 is not None:
        _check_md5(header, data, md5, path)
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes] | gzip.GzipFile, int]]:
    """The uncompressed stream, and the most bytes that it can hold."""
    with open(path, "rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        magic = raw.read(2)
        raw.seek(0)
        if magic == _GZIP_MAGIC:
            with gzip.open(raw) as stream:
                yield stream, size * _DEFLATE_MAX_RATIO
        else:
            yield raw, size


def _read_header(stream: IO[bytes] | gzip.GzipFile, path: Path) -> tuple[bytes, tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or not 1 <= magic[3] <= _MAX_AXES:
        raise DataError(f"{path}: not an IDX file (it starts with {magic.hex(' ')!r}); {_REMEDY}")
    if magic[2] != _UNSIGNED_BYTE:
        raise DataError(
            f"{path}: IDX values of type 0x{magic[2]:02x}; only unsigned bytes are read"
        )
    axes = magic[3]
    lengths = stream.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise DataError(f"{path}: the header ends after {4 + len(lengths)} bytes; {_REMEDY}")
    return magic + lengths, struct.unpack(f">{axes}I", lengths)


def _read_values(stream: IO[bytes] | gzip.GzipFile, size: int, path: Path) -> bytearray:
    """Exactly `size` bytes up to the end of the file, in chunks: a header that lies costs no more
    memory than the file really holds."""
    data = bytearray()
    while len(data) <= size:  # one byte beyond, which also makes gzip check its CRC
        chunk = stream.read(min(_CHUNK, size + 1 - len(data)))
        if not chunk:
            break
        data += chunk
    if len(data) != size:
        found = f"{len(data):,}" if len(data) < size else "more"
        raise DataError(f"{path}: holds {found} values where its header says {size:,}; {_REMEDY}")
    return data


def _check_md5(header: bytes, data: bytearray, expected: str, path: Path) -> None:
    digest = hashlib.md5(header, usedforsecurity=False)
    digest.update(data)
    if digest.hexdigest() != expected:
        raise DataError(
            f"{path}: md5 of the uncompressed bytes is {digest.hexdigest()}, expected {expected}; "
            f"it is damaged or another data set: {_REMEDY}"
        )


def _dims(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{length:,}" for length in shape)
