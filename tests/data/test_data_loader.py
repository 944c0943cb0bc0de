"""The loader's order, its resumable position, and its thread."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from minigan.data import ArrayDataset, DataLoader, permutation
from minigan.data.prefetch import prefetched
from minigan.errors import CheckpointError, ConfigError, DataError


def numbered(n: int) -> ArrayDataset:
    """n images whose label is their index."""
    images = np.random.default_rng(0).integers(0, 256, size=(n, 4, 4), dtype=np.uint8)
    return ArrayDataset(images, np.arange(n), name="numbered")


def labels_of(batches) -> list[list[int]]:
    return [labels.tolist() for _, labels in batches]


def threads() -> int:
    return sum(thread.name == "minigan-prefetch" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    assert threads() == 0


# --- order ---


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_a_permutation_is_a_permutation(n):
    order = permutation(0, 0, n)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_a_permutation_sorts_by_both_words():
    from minigan.backends.reference import philox

    n = 200_000  # large enough for equal high words
    words = philox(5, 2**62 + 3 * 2**40, 2 * n)
    high, low = words[0::2], words[1::2]
    assert len(np.unique(high)) < n
    np.testing.assert_array_equal(permutation(5, 3, n), np.lexsort((low, high)))


def test_permutations_differ_by_seed_and_epoch_and_repeat():
    orders = [permutation(seed, epoch, 500) for seed in (0, 1, 2**64 - 1) for epoch in range(5)]
    assert len({order.tobytes() for order in orders}) == len(orders)
    np.testing.assert_array_equal(permutation(1, 3, 500), permutation(1, 3, 500))


def test_the_order_is_pinned():
    """A changed order would change every resumed run: change it on purpose only."""
    assert permutation(0, 0, 8).tolist() == [3, 6, 2, 5, 7, 4, 0, 1]
    assert permutation(0, 1, 8).tolist() == [4, 1, 2, 5, 0, 6, 7, 3]


def test_every_position_is_about_equally_likely():
    first = np.bincount([permutation(9, epoch, 8)[0] for epoch in range(4000)], minlength=8)
    expected = 4000 / 8
    assert ((first - expected) ** 2 / expected).sum() < 24.3  # chi-square, 7 degrees, p = 0.001


def test_a_shuffle_shares_no_numbers_with_a_generator_of_the_same_seed():
    from minigan.backends.reference import philox

    words = philox(0, 0, 64).astype(np.uint64)
    keys = (words[0::2] << np.uint64(32)) | words[1::2]
    assert permutation(0, 0, 32).tolist() != np.argsort(keys, kind="stable").tolist()


# --- batches ---


@pytest.mark.parametrize(
    ("n", "drop_last", "sizes"), [(10, False, [4, 4, 2]), (10, True, [4, 4]), (8, False, [4, 4])]
)
def test_batch_sizes(n, drop_last, sizes):
    loader = DataLoader(numbered(n), 4, drop_last=drop_last)
    assert len(loader) == len(sizes)
    assert [len(labels) for labels in labels_of(loader)] == sizes


def test_an_epoch_holds_every_image_once_with_its_own_label():
    data = numbered(10)
    images, labels = (
        np.concatenate(parts) for parts in zip(*DataLoader(data, 3, seed=5), strict=True)
    )
    assert sorted(labels) == list(range(10)) and labels.tolist() != list(range(10))
    np.testing.assert_array_equal(images, data.batch(labels)[0])


def test_without_shuffle_the_order_is_the_data_set_s():
    loader = DataLoader(numbered(5), 2, shuffle=False)
    assert labels_of(loader) == labels_of(loader) == [[0, 1], [2, 3], [4]]


def test_the_order_does_not_depend_on_the_batch_size():
    small, large = (labels_of(DataLoader(numbered(12), size, seed=4)) for size in (2, 6))
    assert sum(small, []) == sum(large, [])


@pytest.mark.parametrize("prefetch", [1, 2, 50])
def test_prefetching_changes_nothing(prefetch):
    plain = DataLoader(numbered(23), 4, seed=7, prefetch=0)
    ahead = DataLoader(numbered(23), 4, seed=7, prefetch=prefetch)
    for _ in range(3):
        for (images, labels), (images_0, labels_0) in zip(ahead, plain, strict=True):
            np.testing.assert_array_equal(images, images_0)
            np.testing.assert_array_equal(labels, labels_0)
            assert ahead.state_dict() == plain.state_dict()


# --- position ---


@pytest.mark.parametrize("prefetch", [0, 2])
def test_position_counts_batches_handed_out(prefetch):
    loader = DataLoader(numbered(10), 4, prefetch=prefetch)
    assert loader.state_dict() == {"epoch": 0, "position": 0}
    states = [loader.state_dict() for _ in loader]
    assert states == [{"epoch": 0, "position": position} for position in (1, 2, 3)]
    assert loader.state_dict() == {"epoch": 1, "position": 0}


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("stop", range(1, 12))
def test_resumed_batches_are_the_ones_that_were_left(prefetch, stop):
    def run(loader: DataLoader, n_epochs: int = 3):
        while loader.epoch < n_epochs:
            for _, labels in loader:
                yield labels.tolist(), loader.state_dict()

    whole = list(run(DataLoader(numbered(14), 4, seed=2, prefetch=prefetch)))
    assert len(whole) == 12
    resumed = DataLoader(numbered(14), 4, seed=2, prefetch=prefetch)
    resumed.load_state_dict(whole[stop - 1][1])
    assert list(run(resumed)) == whole[stop:]


def test_after_a_break_the_next_loop_goes_on():
    loader = DataLoader(numbered(10), 2, seed=1)
    for _ in loader:
        break
    assert labels_of(loader) == labels_of(DataLoader(numbered(10), 2, seed=1))[1:]


def test_epoch_batches_leave_the_position_alone():
    loader = DataLoader(numbered(10), 4, seed=1)
    second = labels_of(loader.epoch_batches(1))
    assert loader.state_dict() == {"epoch": 0, "position": 0}
    assert labels_of(loader) != second
    assert labels_of(loader.epoch_batches(1, start=2)) == second[2:]
    assert labels_of(loader) == second


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": 0},
        {"epoch": 0, "position": 4},
        {"epoch": -1, "position": 0},
        {"epoch": 0, "position": -1},
        {"epoch": 0, "position": 0, "seed": 1},
        {"epoch": "one", "position": 0},
        {"epoch": 0, "position": 1.5},
    ],
)
def test_a_state_that_does_not_fit(state):
    loader = DataLoader(numbered(10), 4)
    with pytest.raises(CheckpointError, match="data position"):
        loader.load_state_dict(state)
    assert loader.state_dict() == {"epoch": 0, "position": 0}


@pytest.mark.parametrize(
    ("n", "options", "error", "message"),
    [
        (4, {"batch_size": 0}, ConfigError, "batch_size is 0"),
        (4, {"batch_size": 2, "prefetch": -1}, ConfigError, "prefetch is -1"),
        (4, {"batch_size": 2, "seed": -1}, ConfigError, "seed is -1"),
        (4, {"batch_size": 5, "drop_last": True}, ConfigError, "batch_size 5 .* 4 images"),
        (0, {"batch_size": 2}, DataError, "'numbered' is empty"),
    ],
)
def test_bad_arguments(n, options, error, message):
    with pytest.raises(error, match=message):
        DataLoader(numbered(n), **options)


# --- the thread ---


class Broken(ArrayDataset):
    def batch(self, indices):
        if 6 in indices:
            raise DataError("image 6 is broken")
        return super().batch(indices)


@pytest.mark.parametrize("prefetch", [0, 1, 2])
def test_an_error_reaches_the_consumer_after_the_good_batches(prefetch):
    images = np.zeros((10, 4, 4), np.uint8)
    loader = DataLoader(Broken(images, np.arange(10)), 2, shuffle=False, prefetch=prefetch)
    seen = []
    with pytest.raises(DataError, match="image 6 is broken"):
        for _, labels in loader:
            seen.append(labels.tolist())
    assert seen == [[0, 1], [2, 3], [4, 5]]
    assert loader.state_dict() == {"epoch": 0, "position": 3}
    assert threads() == 0


def test_the_thread_ends_after_break_error_and_garbage_collection():
    loader = DataLoader(numbered(100), 1)
    for _ in loader:
        assert threads() == 1
        break
    assert threads() == 0

    with pytest.raises(ZeroDivisionError):
        for _ in loader:
            raise ZeroDivisionError
    batches = iter(loader)
    next(batches)
    del batches
    gc.collect()
    assert threads() == 0


def test_the_thread_runs_at_most_depth_ahead():
    made = []
    ready = threading.Semaphore(0)

    def source():
        for number in range(10):
            made.append(number)
            ready.release()
            yield number

    ahead = prefetched(source(), depth=2)
    assert next(ahead) == 0
    for _ in range(4):  # item 0, two in the queue, and one waiting for room
        ready.acquire()
    assert not ready.acquire(timeout=0.05)
    assert made == [0, 1, 2, 3]
    assert list(ahead) == list(range(1, 10))


def test_an_open_iterator_does_not_keep_the_process_alive():
    import subprocess
    import sys

    code = (
        "import numpy as np; from minigan.data import ArrayDataset, DataLoader\n"
        "data = ArrayDataset(np.zeros((99, 4, 4), np.uint8), np.zeros(99, int))\n"
        "batches = iter(DataLoader(data, 1)); next(batches); print('end')"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "end\n", "")
