"""Pairs of images, from the folders that users of pix2pix and CycleGAN have.

aligned    one file holds a and b side by side; b is the answer to a
unaligned  two heaps of images; no a belongs to any b
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from minigan.data.dataset import Batch, Dataset
from minigan.data.framing import DRAWS, Framing
from minigan.data.image_file import Header, decode, read_headers, some_image_files
from minigan.data.image_folder import chosen_channels, chosen_framing, split_folder
from minigan.data.image_store import ImageStore, planes
from minigan.data.key import Key, below
from minigan.errors import ConfigError, DataError

Direction = Literal["AtoB", "BtoA"]
Pair = tuple[np.ndarray, np.ndarray]


class PairDataset(Dataset):
    """Base class of sets whose batch is (a, b), both float32 [N,C,H,W] in [-1, 1].

    `direction` "BtoA" exchanges them. A subclass sets Dataset's attributes and defines `__len__`
    and `_pair`, which knows no direction. n_classes is 0 where there are no labels.
    """

    n_classes = 0

    def __init__(self, direction: Direction = "AtoB") -> None:
        if direction not in get_args(Direction):
            raise ConfigError(f"direction is {direction!r}: use AtoB or BtoA")
        self.direction = direction

    def _pair(self, indices: np.ndarray, words: np.ndarray | None) -> Pair:
        """(A, B) of the examples; `words` uint32 [N,8] augment them, None does not."""
        raise NotImplementedError

    def batch(self, indices: np.ndarray) -> Batch:
        """indices int [N] -> (a, b), not augmented."""
        return self._directed(self._pair(np.asarray(indices), None))

    def training_batch(self, indices: np.ndarray, key: Key) -> Batch:
        """indices int [N] -> (a, b), augmented as `key` decides."""
        indices = np.asarray(indices)
        return self._directed(self._pair(indices, key.words(len(indices))))

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """int64 [N]: the class of each a. Raises DataError where there are none."""
        raise DataError(f"{self.name!r} has no labels: its images come without classes")

    def _directed(self, pair: Pair) -> Pair:
        return pair if self.direction == "AtoB" else pair[::-1]


class AlignedFolder(PairDataset):
    """Files with A in the left half and B in the right, in root/train and root/test (or val), or
    in `root` itself for training.

    Both halves are resized, cropped and mirrored alike (options as for `ImageFolder`).
    Raises DataError naming the file or folder, here or in `batch`.
    """

    def __init__(
        self,
        root: str | Path,
        train: bool = True,
        img_size: int | None = None,
        channels: int | None = None,
        *,
        load_size: int | None = None,
        flip: bool = False,
        direction: Direction = "AtoB",
    ) -> None:
        super().__init__(direction)
        root = Path(root)
        folder = split_folder(root, train)
        self._paths = some_image_files(folder)
        halves = [
            _half(path, header)
            for path, header in zip(self._paths, read_headers(self._paths), strict=True)
        ]
        self.channels = chosen_channels(channels, halves)
        self._framing = chosen_framing(img_size, load_size, flip, halves, train)
        self._framing.check(self._paths, halves)
        # As one image of twice the channels, the halves cannot be framed differently.
        self._store = ImageStore(self._read, self._framing, 2 * self.channels)
        self.name, self.train, self.img_size = root.name, train, self._framing.img_size
        self.source = f"{len(self):,} aligned pairs in {folder}"

    def __len__(self) -> int:
        return len(self._paths)

    def _pair(self, indices: np.ndarray, words: np.ndarray | None) -> Pair:
        both = self._store.batch(indices, words)
        a, b = np.split(both, 2, axis=1)
        return np.ascontiguousarray(a), np.ascontiguousarray(b)

    def _read(self, index: int) -> np.ndarray:
        image = decode(self._paths[index], self.channels, lambda image: image)
        middle, (width, height) = image.width // 2, image.size
        boxes = (0, 0, middle, height), (middle, 0, width, height)
        halves = [planes(self._framing.resized(image.crop(box))) for box in boxes]
        return np.concatenate(halves)


class UnalignedFolder(PairDataset):
    """Images of A in root/trainA and of B in root/trainB; test images in testA and testB.

    As long as the larger of both. Pair i has image i of A (counted round), and in training a
    random image of B, else image i of B. Both are framed on their own (options as for
    `ImageFolder`). Raises DataError naming the file or folder, here or in `batch`.
    """

    def __init__(
        self,
        root: str | Path,
        train: bool = True,
        img_size: int | None = None,
        channels: int | None = None,
        *,
        load_size: int | None = None,
        flip: bool = False,
        direction: Direction = "AtoB",
    ) -> None:
        super().__init__(direction)
        root = Path(root)
        folders = _two_folders(root, "train" if train else "test")
        paths = [some_image_files(folder) for folder in folders]
        headers = [read_headers(files) for files in paths]
        self.channels = chosen_channels(channels, headers[0] + headers[1])
        framing = chosen_framing(img_size, load_size, flip, headers[0] + headers[1], train)
        framing.check(paths[0] + paths[1], headers[0] + headers[1])
        self._lengths = len(paths[0]), len(paths[1])
        self._a, self._b = (_store(files, framing, self.channels) for files in paths)
        self.name, self.train, self.img_size = root.name, train, framing.img_size
        counts = " and ".join(
            f"{len(files):,} in {folder.name}" for files, folder in zip(paths, folders, strict=True)
        )
        self.source = f"unaligned images, {counts} of {root}"

    def __len__(self) -> int:
        return max(self._lengths)

    def _pair(self, indices: np.ndarray, words: np.ndarray | None) -> Pair:
        n_a, n_b = self._lengths
        if words is None:
            return self._a.batch(indices % n_a), self._b.batch(indices % n_b)
        a = self._a.batch(indices % n_a, words[:, :DRAWS])
        b = self._b.batch(below(words[:, 2 * DRAWS], n_b), words[:, DRAWS : 2 * DRAWS])
        return a, b


def _half(path: Path, header: Header) -> Header:
    if header.width % 2:
        raise DataError(
            f"{path}: {header.width} pixels wide, an odd number; A and B must be side by side "
            "and of the same size"
        )
    return Header(header.width // 2, header.height, header.grey)


def _two_folders(root: Path, split: str) -> tuple[Path, Path]:
    if not root.is_dir():
        raise DataError(f"data_dir {root}: no such folder")
    a, b = root / f"{split}A", root / f"{split}B"
    missing = [folder.name for folder in (a, b) if not folder.is_dir()]
    if missing:
        raise DataError(
            f"{root}: no {' and no '.join(missing)} in it; unaligned images lie in {a.name} and "
            f"{b.name}"
        )
    return a, b


def _store(paths: list[Path], framing: Framing, channels: int) -> ImageStore:
    return ImageStore(
        lambda index: planes(decode(paths[index], channels, framing.resized)), framing, channels
    )
