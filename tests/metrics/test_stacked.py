"""Three digits in three channels are read as one number."""

import numpy as np
import pytest

from minigan.errors import DataError
from minigan.metrics import N_STACKED_CLASSES, classify_stacked, modes_and_kl


def test_channels_are_hundreds_tens_and_ones(real_digits):
    images, labels = real_digits
    stacks = np.concatenate([images[:100], images[100:200], images[200:300]], axis=1)
    numbers = 100 * labels[:100] + 10 * labels[100:200] + labels[200:300]
    found = classify_stacked(stacks)
    assert found.shape == (100,)
    assert (found == numbers).mean() > 0.93
    covered = modes_and_kl(found, n_classes=N_STACKED_CLASSES).covered
    assert covered == len(np.unique(found))


def test_images_of_another_kind_are_refused():
    with pytest.raises(DataError, match=r"\[N,3,H,W\].*\(2, 1, 28, 28\)"):
        classify_stacked(np.zeros((2, 1, 28, 28), np.float32))
