"""Data sets: a length, a batch for given indices, and a few facts about the images."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.data.key import Key
from minigan.data.transforms import grayscale, normalise, resize
from minigan.errors import ConfigError, DataError

# Images and labels (None without classes), or two sets of images.
Batch = tuple[np.ndarray, Any]

# Resized images are kept up to this size; above it they are made anew for each batch.
_CACHE_BYTES = 1 << 30


class Dataset:
    """Base class. A subclass sets the attributes and defines `__len__` and `batch`.

    `dataset[i]` is one example without the batch axis; `dataset[indices]` (a slice, a list or an
    index array) is a batch.
    """

    name: str
    source: str  # where the data came from, for people
    train: bool
    n_classes: int
    channels: int
    img_size: int

    def __len__(self) -> int:
        raise NotImplementedError

    def batch(self, indices: np.ndarray) -> Batch:
        """indices int [N] -> (images float32 [N,C,H,W] in [-1, 1], labels int64 [N])."""
        raise NotImplementedError

    def training_batch(self, indices: np.ndarray, key: Key) -> Batch:
        """`batch` with the augmentation that `key` decides: what a shuffling DataLoader takes."""
        return self.batch(indices)

    def __getitem__(self, index: Any) -> Batch:
        indices = np.arange(len(self))[index]
        if indices.ndim == 0:
            images, labels = self.batch(indices[None])
            return images[0], None if labels is None else labels[0]
        return self.batch(indices)

    def __repr__(self) -> str:
        shape = f"{self.channels}x{self.img_size}x{self.img_size}"
        return f"<{self.name}: {len(self):,} images {shape}, {self.source}>"


class ArrayDataset(Dataset):
    """Images in memory, kept as uint8 and converted batch by batch.

    images: uint8 [N,H,W] or [N,H,W,C] (C is 1 or 3), square; labels: integers [N] in
    [0, n_classes). `img_size` resizes (bilinear, see `transforms.resize`); `channels` 1 or 3
    converts between grey and RGB. Raises DataError for arrays of another kind.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        img_size: int | None = None,
        channels: int | None = None,
        *,
        n_classes: int | None = None,
        name: str = "array",
        source: str = "memory",
        train: bool = True,
    ) -> None:
        planes = _as_planes(images)
        self.labels = _as_labels(labels, len(planes), n_classes)
        self.n_classes = n_classes or int(self.labels.max(initial=-1)) + 1
        self.img_size = planes.shape[2] if img_size is None else img_size
        self.channels = planes.shape[1] if channels is None else channels
        if self.img_size < 1:
            raise ConfigError(f"img_size is {img_size}: it must be at least 1")
        if self.channels not in (1, 3):
            raise ConfigError(f"channels is {channels}: images are grey (1) or RGB (3)")
        if planes.shape[1] == 3 and self.channels == 1:
            planes = grayscale(planes)
        self.name, self.source, self.train = name, source, train
        self._planes = planes  # uint8 [N,C,H,W]; a grey image stays one plane, whatever channels is

        self._resized: np.ndarray | None = None
        shape = (*planes.shape[:2], self.img_size, self.img_size)
        if shape != planes.shape and np.prod(shape, dtype=np.float64) <= _CACHE_BYTES:
            self._resized = np.empty(shape, dtype=np.uint8)
            self._is_resized = np.zeros(len(planes), dtype=bool)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: np.ndarray) -> Batch:
        indices = np.asarray(indices)
        images = normalise(self._pixels(indices))
        if images.shape[1] != self.channels:
            images = np.repeat(images, self.channels, axis=1)
        return images, self.labels[indices]

    def _pixels(self, indices: np.ndarray) -> np.ndarray:
        if self._resized is None:
            return resize(self._planes[indices], self.img_size)
        # Two threads may both do an image: they write the same bytes, and the flag comes last.
        missing = indices[~self._is_resized[indices]]
        if missing.size:
            self._resized[missing] = resize(self._planes[missing], self.img_size)
            self._is_resized[missing] = True
        return self._resized[indices]


class Subset(Dataset):
    """The examples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Dataset, indices: np.ndarray) -> None:
        self.dataset = dataset
        self.indices = np.arange(len(dataset))[np.asarray(indices, dtype=np.int64)]
        self.name, self.train = dataset.name, dataset.train
        self.n_classes, self.channels = dataset.n_classes, dataset.channels
        self.img_size = dataset.img_size
        self.source = f"{len(self):,} of the {len(dataset):,} images of {dataset.source}"

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: np.ndarray) -> Batch:
        return self.dataset.batch(self.indices[np.asarray(indices)])

    def training_batch(self, indices: np.ndarray, key: Key) -> Batch:
        return self.dataset.training_batch(self.indices[np.asarray(indices)], key)


def _as_planes(images: np.ndarray) -> np.ndarray:
    """Checked images, as [N,C,H,W]."""
    images = np.asarray(images)
    shape = list(images.shape)
    if images.dtype != np.uint8:
        raise DataError(f"images are {images.dtype}: pass uint8 pixels from 0 to 255")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(f"images have the shape {shape}: pass [N,H,W], [N,H,W,1] or [N,H,W,3]")
    if images.shape[1] != images.shape[2] or images.shape[1] == 0:
        raise DataError(f"images are {shape[1]}x{shape[2]}: crop or pad them to squares first")
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _as_labels(labels: np.ndarray, count: int, n_classes: int | None) -> np.ndarray:
    """Checked labels, as int64 [count]."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"labels are {labels.dtype} of shape {list(labels.shape)}: pass one integer an image"
        )
    if len(labels) != count:
        raise DataError(f"{count} images but {len(labels)} labels: pass one label an image")
    labels = labels.astype(np.int64)
    if n_classes is not None and n_classes < 1:
        raise ConfigError(f"n_classes is {n_classes}: it must be at least 1")
    wrong = (labels < 0) | (labels >= (n_classes or np.inf))
    if wrong.any():
        first = int(wrong.argmax())
        limit = f"0 to {n_classes - 1}" if n_classes else "0 or more"
        raise DataError(f"label {labels[first]} of image {first} is out of range: expected {limit}")
    return labels
