"""Pairs of images made from a labelled data set: tasks for pix2pix and CycleGAN that need no
download.

aligned    a is a transform of b, so pix2pix can learn the way back
unaligned  a and b are different examples, each in its own domain, as CycleGAN meets them; they
           come from disjoint parts of the training set, so that no b is the answer to any a
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minigan.data.colour import coloured_digits, uncoloured_digits
from minigan.data.dataset import ArrayDataset, Dataset, Subset
from minigan.data.pairs import Direction, Pair, PairDataset
from minigan.data.transforms import sobel_edges
from minigan.errors import ConfigError, DataError

_SNEAKER, _BOOT = 7, 9  # classes of Fashion-MNIST
_EDGE_SIZE = 32  # up to here a stroke's slope is as steep as in the images of 28x28
_FASHION_THRESHOLD = 0.5  # clothes have softer edges than strokes


@dataclass(frozen=True)
class Look:
    """How the images of a domain differ from those of the data set, and the way back."""

    apply: Callable[[np.ndarray, np.ndarray], np.ndarray]
    """Images float32 [N,C,H,W] and their numbers int [N] -> images of the domain."""
    remove: Callable[[np.ndarray], np.ndarray]
    """Images of the domain -> images as the data set has them, with C or 1 channels."""


PLAIN = Look(lambda images, _: images, lambda images: images)
NEGATIVE = Look(lambda images, _: -images, lambda images: -images)
COLOURED = Look(coloured_digits, uncoloured_digits)


class DerivedPairs(PairDataset):
    """Pairs with labels; `look_a` and `look_b` are those of the domains A and B."""

    def __init__(
        self, like: Dataset, looks: tuple[Look, Look], name: str, direction: Direction
    ) -> None:
        super().__init__(direction)
        self.name, self.train = name, like.train
        self.n_classes, self.channels = like.n_classes, like.channels
        self.img_size = like.img_size
        self._looks = looks

    def as_digits(self, images: np.ndarray, domain: Literal["a", "b"] = "b") -> np.ndarray:
        """Images of a domain of the batch, real or generated, [N,C,H,W] -> [N,1,H,W] as the data
        set has them, for a classifier of it. Edges stay edges: there is no way back."""
        first = (domain == "a") == (self.direction == "AtoB")
        return self._looks[0 if first else 1].remove(images).mean(axis=1, keepdims=True)


class AlignedPairs(DerivedPairs):
    """Pairs (transform(x), x) of every example x of `dataset`."""

    def __init__(
        self,
        dataset: Dataset,
        transform: Callable[[np.ndarray], np.ndarray],
        name: str,
        what: str,
        direction: Direction = "AtoB",
    ) -> None:
        super().__init__(dataset, (PLAIN, PLAIN), name, direction)
        self.source = f"{what} of {dataset.source}"
        self._dataset, self._transform = dataset, transform

    def __len__(self) -> int:
        return len(self._dataset)

    def _pair(self, indices: np.ndarray, words: np.ndarray | None) -> Pair:
        images, _ = self._dataset.batch(indices)
        return self._transform(images), images

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """int64 [N]: the class that both images of a pair show."""
        return self._dataset.batch(indices)[1]


class UnalignedPairs(DerivedPairs):
    """Examples of `set_a`, and of `set_b` in another look; the shorter set is counted round."""

    def __init__(
        self,
        set_a: Dataset,
        set_b: Dataset,
        look: Look,
        name: str,
        source: str,
        direction: Direction = "AtoB",
    ) -> None:
        super().__init__(set_a, (PLAIN, look), name, direction)
        self.source = source
        self._sets = set_a, set_b

    def __len__(self) -> int:
        return max(len(each) for each in self._sets)

    def _pair(self, indices: np.ndarray, words: np.ndarray | None) -> Pair:
        set_a, set_b = self._sets
        numbers = indices % len(set_b)
        first, _ = set_a.batch(indices % len(set_a))
        second, _ = set_b.batch(numbers)
        return first, self._looks[1].apply(second, numbers)

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """int64 [N]: the class of each a; where b is the answer to a, also of b."""
        source = self._sets[0 if self.direction == "AtoB" else 1]
        return source.batch(np.asarray(indices) % len(source))[1]


def edges(
    dataset: Dataset, name: str, direction: Direction = "AtoB", threshold: float = 1.0
) -> AlignedPairs:
    """Pairs (edges of x, x); see `sobel_edges` for the formula, at up to 32x32 pixels.

    Larger images are enlargements of 28x28, whose slopes are gentler in proportion, and so is the
    threshold.
    """
    scaled = threshold * min(1.0, _EDGE_SIZE / dataset.img_size)
    return AlignedPairs(
        dataset, lambda images: sobel_edges(images, scaled), name, "edges and images", direction
    )


def fashion_edges(dataset: Dataset, name: str, direction: Direction = "AtoB") -> AlignedPairs:
    """`edges` with a threshold for clothes."""
    return edges(dataset, name, direction, _FASHION_THRESHOLD)


def inverted(dataset: Dataset, name: str, direction: Direction = "AtoB") -> UnalignedPairs:
    """Unaligned pairs (x, negative of another x)."""
    return _of_two_halves(dataset, NEGATIVE, name, "negatives", direction)


def coloured(dataset: Dataset, name: str, direction: Direction = "AtoB") -> UnalignedPairs:
    """Unaligned pairs (x in grey, another x in colours), both RGB; see `coloured_digits`."""
    if dataset.channels != 3:
        raise ConfigError(f"channels is {dataset.channels}: {name} is RGB, use 3")
    return _of_two_halves(dataset, COLOURED, name, "coloured ones", direction)


def sneakers_boots(
    dataset: ArrayDataset, name: str, direction: Direction = "AtoB"
) -> UnalignedPairs:
    """Unaligned pairs (sneaker, ankle boot): classes 7 and 9 of Fashion-MNIST."""
    set_a, set_b = (
        Subset(dataset, np.flatnonzero(dataset.labels == each)) for each in (_SNEAKER, _BOOT)
    )
    source = f"{len(set_a):,} sneakers and {len(set_b):,} ankle boots of {dataset.source}"
    return UnalignedPairs(set_a, set_b, PLAIN, name, source, direction)


def _of_two_halves(
    dataset: Dataset, look: Look, name: str, what: str, direction: Direction
) -> UnalignedPairs:
    """a from the first half of the training set, b from the second. In the test split b is the
    same example as a in the other look, so that a translation has a right answer."""
    if len(dataset) < 2:
        raise DataError(f"{dataset.name!r} has too few images for two domains")
    source = f"images, and {what} of others, from {dataset.source}"
    set_a = set_b = dataset
    if dataset.train:
        first, second = np.split(np.arange(len(dataset)), [len(dataset) // 2])
        set_a, set_b = Subset(dataset, first), Subset(dataset, second)
    return UnalignedPairs(set_a, set_b, look, name, source, direction)
