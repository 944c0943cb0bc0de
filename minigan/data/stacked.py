"""Stacked MNIST: three random digits in red, green and blue are a number from 0 to 999.

With 1000 modes that a classifier of digits can name, it shows how much of its data a GAN covers
(Metz et al., "Unrolled generative adversarial networks", 2017; the 128,000 training images as in
Lin et al., "PacGAN", 2018).
"""

from __future__ import annotations

import numpy as np

from minigan.backends.reference import philox
from minigan.data.dataset import Batch, Dataset
from minigan.data.key import below
from minigan.errors import ConfigError

N_TRAIN, N_TEST = 128_000, 26_000
_SEEDS = {True: 128, False: 26}  # which digits are stacked never changes
_PLACES = np.array([100, 10, 1])


class StackedDigits(Dataset):
    """Images [N,3,H,W] of three digits of `dataset`; labels 100 red + 10 green + blue.

    128,000 of training digits or 26,000 of test digits, put together batch by batch.
    `dataset` has one channel and 10 classes.
    """

    def __init__(self, dataset: Dataset, name: str, channels: int | None = None) -> None:
        if channels not in (None, 3):
            raise ConfigError(f"channels is {channels}: {name} is RGB, use 3")
        self.name, self.train = name, dataset.train
        self.n_classes, self.channels, self.img_size = 1000, 3, dataset.img_size
        n = N_TRAIN if dataset.train else N_TEST
        self.source = f"{n:,} stacks of three from {dataset.source}"
        words = philox(_SEEDS[dataset.train], 0, 3 * n)
        self._rows = below(words, len(dataset)).reshape(n, 3)
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: np.ndarray) -> Batch:
        rows = self._rows[np.asarray(indices)]
        digits, labels = self._dataset.batch(rows.reshape(-1))
        images = digits.reshape(len(rows), 3, self.img_size, self.img_size)
        return images, labels.reshape(-1, 3) @ _PLACES
