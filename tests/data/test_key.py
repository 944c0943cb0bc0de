"""Random numbers of a batch: fixed by (seed, epoch, position), and shared with nobody."""

import numpy as np
import pytest

from minigan.data import ArrayDataset, DataLoader, Subset
from minigan.data.key import Key, batch_key, below


def words_of(seed, epoch, first, n=4):
    return batch_key(seed, epoch, first).words(n)


def test_words_do_not_depend_on_the_batch_size():
    whole = words_of(3, 2, 0, 12)
    assert whole.shape == (12, 8) and whole.dtype == np.uint32
    for size in (1, 3, 5):
        parts = [words_of(3, 2, first, min(size, 12 - first)) for first in range(0, 12, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_no_two_batches_share_words():
    keys = [(seed, epoch, first) for seed in (0, 1) for epoch in (0, 1, 9) for first in (0, 4, 8)]
    words = np.concatenate([words_of(*key).reshape(-1) for key in keys])
    assert len(np.unique(words)) == len(words)


def test_the_stream_lies_beside_those_of_generators_and_shuffles():
    offsets = [batch_key(0, epoch, first).offset for epoch in (0, 2**22) for first in (0, 2**39)]
    assert min(offsets) == 2**63 and max(offsets) < 2**64
    assert batch_key(0, 1, 0).offset - batch_key(0, 0, 2**39 - 1).offset == 2


def test_below_is_uniform_and_stays_below():
    words = Key(1, 0).words(5000).reshape(-1)
    for bound in (1, 2, 7, 2**31):
        drawn = below(words, bound)
        assert drawn.dtype == np.int64 and drawn.min() >= 0 and drawn.max() < bound
    counts = np.bincount(below(words, 7))
    expected = len(words) / 7
    assert ((counts - expected) ** 2 / expected).sum() < 22.5  # chi-square, 6 degrees, p = 0.001
    last = np.array([2**32 - 1], np.uint32)
    assert below(last, 7) == 6 and below(np.array([0], np.uint32), 7) == 0
    np.testing.assert_array_equal(below(np.repeat(last, 2), np.array([3, 5])), [2, 4])


class Recorder(ArrayDataset):
    """Keeps what the loader asks of it."""

    def __init__(self, n):
        super().__init__(np.zeros((n, 2, 2), np.uint8), np.arange(n))
        self.asked = []

    def batch(self, indices):
        self.asked.append(("batch", list(indices)))
        return super().batch(indices)

    def training_batch(self, indices, key):
        self.asked.append((key, list(indices)))
        return super().batch(indices)


@pytest.mark.parametrize("subset", [False, True])
def test_a_shuffling_loader_asks_for_training_batches(subset):
    data = Recorder(10)
    loader = DataLoader(Subset(data, np.arange(10)) if subset else data, 4, seed=5, prefetch=0)
    loader.load_state_dict({"epoch": 3, "position": 1})
    labels = [labels.tolist() for _, labels in loader]
    assert data.asked == [(batch_key(5, 3, 4), labels[0]), (batch_key(5, 3, 8), labels[1])]


def test_without_shuffle_nothing_is_augmented():
    data = Recorder(6)
    list(DataLoader(data, 4, shuffle=False, prefetch=0))
    assert data.asked == [("batch", [0, 1, 2, 3]), ("batch", [4, 5])]


def test_a_data_set_without_augmentation_gives_plain_batches():
    data = ArrayDataset(np.arange(64, dtype=np.uint8).reshape(4, 4, 4), np.arange(4))
    images, labels = data.training_batch(np.array([2, 0]), batch_key(0, 0, 0))
    np.testing.assert_array_equal(images, data.batch(np.array([2, 0]))[0])
    np.testing.assert_array_equal(labels, [2, 0])
