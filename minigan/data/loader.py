"""Batches in an order that is a pure function of (seed, epoch, position), so that a run can stop
after any batch and go on with the next one."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing

import numpy as np

from minigan.backends.reference import philox
from minigan.data.dataset import Batch, Dataset
from minigan.data.key import batch_key
from minigan.data.prefetch import prefetched
from minigan.errors import CheckpointError, ConfigError, DataError

# Shuffles read Philox blocks from 2**62 + epoch * 2**40 on: far from a Generator of the same seed,
# which counts up from 0, and 2**40 blocks an epoch are never used up. Above lie those of key.py.
_STREAM = 1 << 62
_EPOCH_SHIFT = 40


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """int64 [n]: the order of epoch `epoch`, sorting positions by 64 random bits each."""
    words = philox(seed, _STREAM + (epoch << _EPOCH_SHIFT), 2 * n).astype(np.uint64)
    keys = (words[0::2] << np.uint64(32)) | words[1::2]
    return np.argsort(keys, kind="stable")


class DataLoader:
    """Batches of a data set, prepared `prefetch` ahead by a thread (0: in this thread).

    With `shuffle` they are for training: the data set may augment them, as a function of (seed,
    epoch, position) like the order.

    Iterating yields the batches that are left of the current epoch, then moves to the next epoch;
    after a `break` the next loop goes on with the batch that follows. `epoch` and `position` (the
    batches of the epoch that were handed out) are the whole state.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
        prefetch: int = 2,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}: it must be at least 1")
        if prefetch < 0:
            raise ConfigError(f"prefetch is {prefetch}: use 0 (no thread) or more")
        if not 0 <= seed < 1 << 64:
            raise ConfigError(f"seed is {seed}: use 0 to 2**64 - 1")
        if len(dataset) == 0:
            raise DataError(f"data set {dataset.name!r} is empty: there is nothing to load")
        if drop_last and batch_size > len(dataset):
            raise ConfigError(
                f"batch_size {batch_size} is larger than the {len(dataset)} images of "
                f"{dataset.name!r} and drop_last leaves no batch: use a smaller batch_size"
            )
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.prefetch = prefetch
        self.epoch = 0
        self.position = 0

    def __len__(self) -> int:
        """Batches per epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        epoch, start = self.epoch, self.position
        with closing(self.epoch_batches(epoch, start)) as batches:
            for position, batch in enumerate(batches, start=start + 1):
                # Before the yield: a checkpoint written while the batch is in use counts it.
                self.epoch, self.position = epoch, position
                yield batch
        self.epoch, self.position = epoch + 1, 0

    def epoch_batches(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """The batches of one epoch from number `start` on; the loader's state stays as it is."""
        batches = self._batches(epoch, start)
        return prefetched(batches, self.prefetch) if self.prefetch else batches

    def _batches(self, epoch: int, start: int) -> Generator[Batch, None, None]:
        n = len(self.dataset)
        order = permutation(self.seed, epoch, n) if self.shuffle else np.arange(n)
        for number in range(start, len(self)):
            first = number * self.batch_size
            indices = order[first : first + self.batch_size]
            if self.shuffle:
                yield self.dataset.training_batch(indices, batch_key(self.seed, epoch, first))
            else:
                yield self.dataset.batch(indices)

    def state_dict(self) -> dict[str, int]:
        """{"epoch", "position"}."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where `state` was taken. Raises CheckpointError for a state that does not fit."""
        epoch, position = state.get("epoch"), state.get("position")
        if len(state) != 2 or not isinstance(epoch, int) or not isinstance(position, int):
            raise CheckpointError(
                f"data position is {dict(state)}: expected the integers epoch and position"
            )
        if epoch < 0 or not 0 <= position <= len(self):
            raise CheckpointError(
                f"data position is epoch {epoch}, batch {position}, but an epoch has {len(self)} "
                "batches: resume with the same data and batch size"
            )
        self.epoch, self.position = epoch, position
