"""Pairs of images made from a labelled data set: tasks for pix2pix and CycleGAN that need no
download.

aligned    a is a transform of b, so pix2pix can learn the way back
unaligned  a and b are different examples, each in its own domain, as CycleGAN meets them; they
           come from disjoint halves of the training set, so that no b is the answer to any a
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minigan.data.dataset import Batch, Dataset
from minigan.data.transforms import sobel_edges
from minigan.errors import DataError

Transform = Callable[[np.ndarray], np.ndarray]  # float32 [N,C,H,W] in [-1, 1], both ways


class AlignedPairs(Dataset):
    """Pairs (transform(x), x) of every example x of `dataset`."""

    def __init__(self, dataset: Dataset, transform: Transform, name: str, what: str) -> None:
        self.name, self.train = name, dataset.train
        self.n_classes, self.channels = dataset.n_classes, dataset.channels
        self.img_size = dataset.img_size
        self.source = f"{what} of {dataset.source}"
        self._dataset, self._transform = dataset, transform

    def __len__(self) -> int:
        return len(self._dataset)

    def batch(self, indices: np.ndarray) -> Batch:
        """indices int [N] -> (a, b), both float32 [N,C,H,W] in [-1, 1]."""
        images, _ = self._dataset.batch(indices)
        return self._transform(images), images

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """int64 [N]: the class that both images of a pair show."""
        return self._dataset.batch(indices)[1]

    def as_digits(self, images: np.ndarray) -> np.ndarray:
        """Images of domain b as the data set has them, for a classifier of it."""
        return images


class UnalignedPairs(Dataset):
    """a from one half of the training set, transform(x) of the other half as b.

    In the test split b is the transform of a, so that a translation has a right answer. The
    transform must be its own inverse.
    """

    def __init__(self, dataset: Dataset, transform: Transform, name: str, what: str) -> None:
        if len(dataset) < 2:
            raise DataError(f"{dataset.name!r} has too few images for two domains")
        self.name, self.train = name, dataset.train
        self.n_classes, self.channels = dataset.n_classes, dataset.channels
        self.img_size = dataset.img_size
        self.source = f"images, and {what} of others, from {dataset.source}"
        self._dataset, self._transform = dataset, transform
        self._half = len(dataset) // 2 if dataset.train else 0

    def __len__(self) -> int:
        return len(self._dataset) - self._half if self.train else len(self._dataset)

    def batch(self, indices: np.ndarray) -> Batch:
        """indices int [N] -> (a, b), both float32 [N,C,H,W] in [-1, 1]."""
        indices = np.asarray(indices)
        if self.train:  # when the halves differ by one, the first image of a comes twice
            first, _ = self._dataset.batch(indices % self._half)
        else:
            first, _ = self._dataset.batch(indices)
        second, _ = self._dataset.batch(indices + self._half)
        return first, self._transform(second)

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """int64 [N]: the class of each a; in the test split also of b."""
        indices = np.asarray(indices)
        return self._dataset.batch(indices % self._half if self.train else indices)[1]

    def as_digits(self, images: np.ndarray) -> np.ndarray:
        """Images of domain b as the data set has them, for a classifier of it."""
        return self._transform(images)


def edges(dataset: Dataset, name: str) -> AlignedPairs:
    """Pairs (edges of x, x)."""
    return AlignedPairs(dataset, sobel_edges, name, "edges and images")


def inverted(dataset: Dataset, name: str) -> UnalignedPairs:
    """Unaligned pairs (x, negative of another x)."""
    return UnalignedPairs(dataset, np.negative, name, "negatives")
