"""The history of generated images: it fills, then half of what it shows is old."""

import numpy as np
import pytest

import minigan as mg
from minigan.device import device
from minigan.errors import CheckpointError
from minigan.models.image_pool import ImagePool


def numbered(*numbers):
    """Images of 1x2x2 that are told apart by their pixels."""
    return mg.tensor(
        np.ones((len(numbers), 1, 2, 2), np.float32) * np.reshape(numbers, (-1, 1, 1, 1))
    )


def pool(size):
    return ImagePool(size, (1, 2, 2), device("cpu"))


def numbers(images):
    assert images.shape[1:] == (1, 2, 2)
    values = images.numpy()
    assert (values == values[:, :1, :1, :1]).all()
    return values[:, 0, 0, 0].tolist()


def test_images_come_back_as_they_are_while_there_is_room():
    history = pool(5)
    assert numbers(history.exchange(numbered(1, 2, 3))) == [1, 2, 3]
    assert numbers(history.exchange(numbered(4))) == [4] and history.stored == 4
    assert numbers(history.exchange(numbered(5, 6))[:1]) == [5] and history.stored == 5


def test_a_full_history_gives_an_old_image_half_of_the_time_and_keeps_the_new_one():
    mg.manual_seed(0)
    history = pool(10)
    history.exchange(numbered(*range(10)))
    kept, old, ages = set(range(10)), 0, []
    for new in range(10, 2010):
        (shown,) = numbers(history.exchange(numbered(new)))
        if shown != new:
            assert shown in kept
            kept = (kept - {shown}) | {new}
            old += 1
            ages.append(new - shown)
        assert set(numbers(history._images)) == kept
    assert 0.45 < old / 2000 < 0.55
    assert 15 < np.mean(ages) < 25  # a place is left with a chance of 1/20 a step


@pytest.mark.parametrize("size, batch", [(8, 4), (3, 8), (4, 4)])
def test_the_images_of_a_batch_are_exchanged_one_by_one(size, batch):
    mg.manual_seed(1)
    history, given, shown = pool(size), [], []
    for i in range(60):
        new = [float(batch * i + k) for k in range(batch)]
        back = numbers(history.exchange(numbered(*new)))
        assert len(back) == batch
        assert all(value == own or value not in new[k:] for k, (value, own) in enumerate(
            zip(back, new, strict=True)))  # fmt: skip
        given += new
        shown += back
    left = numbers(history._images)
    # Nothing is lost or doubled: what was never shown is still there, or was shown at once.
    stored = set(given) - set(shown)
    assert stored <= set(left) and len(set(left)) == size
    exchanged = np.mean(np.array(shown) != np.array(given))
    assert 0.35 < exchanged < 0.65


def test_a_history_without_room_shows_what_it_gets():
    images = numbered(1, 2)
    assert pool(0).exchange(images) is images


def test_images_are_stored_without_their_graph_and_by_value():
    history = pool(2)
    made = numbered(1, 2) * mg.tensor(2.0, requires_grad=True)
    assert not history.exchange(made).requires_grad
    images = numbered(3, 4)
    history = pool(2)
    history.exchange(images)
    images[0] = 9.0
    assert numbers(history._images) == [3, 4]


@pytest.mark.parametrize("stored", [0, 2, 5])
def test_its_state_resumes_bit_for_bit(stored):
    history, resumed = pool(5), pool(5)
    if stored:
        history.exchange(numbered(*range(stored)))
    resumed.load_state_dict(history.state_dict())
    assert resumed.stored == stored
    for i in range(10):
        shown = []
        for each in (history, resumed):
            mg.manual_seed(i)
            shown.append(numbers(each.exchange(numbered(10 * i, 10 * i + 1))))
        assert shown[0] == shown[1]


@pytest.mark.parametrize("shape", [(6, 1, 2, 2), (2, 3, 2, 2), (2, 1, 4, 4)])
def test_a_state_that_does_not_fit_is_refused(shape):
    with pytest.raises(CheckpointError, match="a history of 5 images of shape"):
        pool(5).load_state_dict({"images": np.zeros(shape, np.float32)})
