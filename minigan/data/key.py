"""The random numbers of one batch, as a pure function of (seed, epoch, position in the epoch)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigan.backends.reference import philox

# Philox counters from 2**63 on are for augmentation: a Generator counts up from 0, and the
# loader's shuffles have 2**62 to 2**63. An epoch has 2**40 counters, an example of it two.
_STREAM = 1 << 63
_EPOCH_SHIFT = 40
_WORDS_PER_COUNTER = 4
WORDS = 8


@dataclass(frozen=True)
class Key:
    """Where the random numbers of a batch begin; using them up changes nothing."""

    seed: int
    offset: int

    def words(self, n: int) -> np.ndarray:
        """uint32 [n, 8]: a row of random words for each example of a batch of n."""
        return philox(self.seed, self.offset, n * WORDS).reshape(n, WORDS)


def batch_key(seed: int, epoch: int, first: int) -> Key:
    """The key of the batch that begins with example number `first` of the epoch's order.

    It counts examples, not batches, so what an example gets does not depend on the batch size.
    """
    return Key(seed, _STREAM + (epoch << _EPOCH_SHIFT) + first * (WORDS // _WORDS_PER_COUNTER))


def below(words: np.ndarray, bound: int | np.ndarray) -> np.ndarray:
    """uint32 words -> int64 integers in [0, bound), for bounds up to 2**31."""
    return ((words.astype(np.uint64) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)
