"""Every variant on a GPU: its steps, samples and checkpoints are those of the CPU."""

import numpy as np
import pytest

from minigan import backends
from tests.cuda_on_cpu.small_models import NAMES, batch, flat, numbers, small


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_as_on_the_cpu_then_across_devices(name, fast_gpu):
    there = small(name, "cuda", ema=0.5)
    with backends.use_backend("reference"):
        here = small(name, ema=0.5)
        for i in range(2):
            expected = numbers(here.step(batch(here, i)))
    for i in range(2):
        losses = there.step(batch(there, i))
    assert {loss.device for loss in losses.values()} == {there.device}
    assert numbers(losses) == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert all(p.device == "cuda:0" for n in there.networks.values() for p in n.parameters())

    # A checkpoint is arrays on the host, and goes on on either device.
    state = there.state_dict()
    assert all(isinstance(v, np.ndarray | int | float | bool | None) for v in flat(state).values())
    here.load_state_dict(state)
    back = small(name, "cuda:1", seed=2, ema=0.5)
    back.load_state_dict(state)
    with backends.use_backend("reference"):
        expected = numbers(here.step(batch(here, 2)))
    assert numbers(there.step(batch(there, 2))) == numbers(back.step(batch(back, 2)))
    assert numbers(there.step(batch(there, 3))) == pytest.approx(
        numbers(here.step(batch(here, 3))), rel=1e-3, abs=1e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_pictures_as_on_the_cpu(name, fast_gpu):
    there, here = small(name, "cuda"), small(name)
    examples = batch(here, n=2)
    drawn, expected = there.pictures(3, examples), here.pictures(3, examples)
    assert list(drawn) == list(expected)
    for picture, (images, columns) in expected.items():
        assert type(drawn[picture][0]) is np.ndarray and drawn[picture][1] == columns
        np.testing.assert_allclose(drawn[picture][0], images, atol=1e-4)
    if not here.takes_pairs:
        np.testing.assert_allclose(there.sample(3, seed=1), here.sample(3, seed=1), atol=1e-4)


@pytest.mark.parametrize("name", ["infogan", "vae"])
def test_what_models_say_of_images(name, fast_gpu):
    there, here = small(name, "cuda"), small(name)
    images = batch(here)[0]
    if name == "infogan":
        np.testing.assert_array_equal(there.categories(images), here.categories(images))
        np.testing.assert_allclose(there.codes_of(images), here.codes_of(images), atol=1e-4)
    else:
        np.testing.assert_allclose(there.bound(images), here.bound(images), rtol=1e-4)
        np.testing.assert_allclose(there.encode(images)[0], here.encode(images)[0], atol=1e-4)
