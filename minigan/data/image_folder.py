"""A folder of images as a data set: flat, or with one folder a class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigan.data.dataset import Batch, Dataset
from minigan.data.framing import Framing
from minigan.data.image_file import Header, decode, image_files, read_headers, some_image_files
from minigan.data.image_store import ImageStore, planes
from minigan.data.key import Key
from minigan.errors import ConfigError, DataError

_SPLITS = ("train", "test", "val")


class ImageFolder(Dataset):
    """Images of any size in `root`, or in root/train and root/test (or val) if there are such.

    Without class folders the set has no labels: a batch is (images, None) and n_classes is 0.
    Else every folder is a class, numbered by name, and `classes` are their names; those of
    root/train count for root/test too.

    `load_size` and `flip` augment `training_batch` (see `Framing`); a test split is resized to
    `img_size` and its centre taken. By default img_size is load_size or the shortest side of all,
    and channels is 3 if there is a coloured image. Files become grey or RGB as `channels` asks.

    All headers are read at once, pixels when they are asked for. Raises DataError naming the file
    or folder, here or in `batch`, and ConfigError for sizes that do not fit.
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
    ) -> None:
        root = Path(root)
        folder = split_folder(root, train)
        self.classes, self._paths, self._labels = _images_in(folder)
        if self.classes and not train:
            trained = _images_in(split_folder(root, train=True))[0]
            self._labels = _renumbered(self.classes, trained, self._labels, folder)
            self.classes = trained
        headers = read_headers(self._paths)
        self.channels = chosen_channels(channels, headers)
        self._framing = chosen_framing(img_size, load_size, flip, headers, train)
        self._framing.check(self._paths, headers)
        self._store = ImageStore(self._read, self._framing, self.channels)
        self.name, self.train, self.img_size = root.name, train, self._framing.img_size
        self.n_classes = len(self.classes)
        what = f" of {self.n_classes} classes" if self.classes else ""
        self.source = f"{len(self):,} images{what} in {folder}"

    def __len__(self) -> int:
        return len(self._paths)

    def batch(self, indices: np.ndarray) -> Batch:
        """indices int [N] -> (images, labels int64 [N], or None without classes); not augmented."""
        return self._batch(np.asarray(indices), None)

    def training_batch(self, indices: np.ndarray, key: Key) -> Batch:
        indices = np.asarray(indices)
        return self._batch(indices, key.words(len(indices)))

    def _batch(self, indices: np.ndarray, words: np.ndarray | None) -> Batch:
        labels = None if self._labels is None else self._labels[indices]
        return self._store.batch(indices, words), labels

    def _read(self, index: int) -> np.ndarray:
        return planes(decode(self._paths[index], self.channels, self._framing.resized))


def split_folder(root: Path, train: bool) -> Path:
    """root/train or root/test (or root/val); `root` itself for training without such folders.

    Raises DataError where test images are asked for and none are set apart.
    """
    if not root.is_dir():
        raise DataError(f"data_dir {root}: no such folder")
    there = [split for split in _SPLITS if (root / split).is_dir()]
    if train:
        if "train" in there:
            return root / "train"
        if there:
            raise DataError(f"{root}: has {there[0]}/ but no train/; put training images there")
        if (root / "trainA").is_dir():  # else trainA and testA would be taken for two classes
            raise DataError(
                f"{root}: has trainA/, so it is a set for --data unaligned; to learn one of its "
                "domains alone, copy that folder to a place of its own"
            )
        return root
    for split in ("test", "val"):
        if split in there:
            return root / split
    raise DataError(
        f"{root}: no test/ in it; put images there that training does not see, the others into "
        "train/"
    )


def chosen_channels(channels: int | None, headers: list[Header]) -> int:
    """`channels` if it is 1 or 3, by default 1 for grey images and 3 if one has colours."""
    if channels is None:
        return 1 if all(header.grey for header in headers) else 3
    if channels not in (1, 3):
        raise ConfigError(f"channels is {channels}: images are grey (1) or RGB (3)")
    return channels


def chosen_framing(
    img_size: int | None, load_size: int | None, flip: bool, headers: list[Header], train: bool
) -> Framing:
    """The framing that the options ask for; by default squares as large as the images allow."""
    if img_size is None:
        shortest = min(min(header.width, header.height) for header in headers)
        img_size = shortest if load_size is None else load_size
    framing = Framing(img_size, load_size, flip)
    return framing if train else framing.for_test()


def _images_in(folder: Path) -> tuple[tuple[str, ...], list[Path], np.ndarray | None]:
    """Names of the classes, files, and their labels (None without classes)."""
    flat = image_files(folder)
    below = {
        path.name: image_files(path)
        for path in sorted(folder.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    }
    if flat and any(below.values()):
        named = next(name for name, files in below.items() if files)
        raise DataError(
            f"{folder}: images both in it and in {named}/; put all into class folders, or none"
        )
    if flat or not below:
        return (), flat or some_image_files(folder), None
    paths = [path for name in below for path in below[name] or some_image_files(folder / name)]
    counts = [len(files) for files in below.values()]
    return tuple(below), paths, np.repeat(np.arange(len(below), dtype=np.int64), counts)


def _renumbered(
    classes: tuple[str, ...], trained: tuple[str, ...], labels: np.ndarray | None, folder: Path
) -> np.ndarray:
    """Labels that count in `classes`, as they count in `trained`."""
    for name in classes:
        if name not in trained:
            raise DataError(f"{folder / name}: a class that train/ does not have; move it out")
    numbers = np.array([trained.index(name) for name in classes], dtype=np.int64)
    return numbers[labels]
