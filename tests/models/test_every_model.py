"""What every model has to do, whichever it is: step, resume, sample, show pictures, explain itself.

Models come from models.list(); one that needs other options to be small and fast has them here.
"""

import ast
import copy
import dataclasses
import inspect
import sys

import numpy as np
import pytest

import minigan as mg
from minigan import models
from minigan.errors import CheckpointError, ConfigError
from minigan.models.config import Config

# Options that make a model small; those that its Config does not have are left out.
SMALL = {"img_size": 32, "n_critic": 2, "ngf": 4, "ndf": 4}
OVERRIDES = {
    "gan": {"img_size": 8},
    "dcgan": {"img_size": 16, "trunk": "strided"},
    "cgan": {"img_size": 8},
    "wgan": {"img_size": 8},
    "wgan_gp": {"img_size": 28},
    "infogan": {"img_size": 28},
    "stackedgan": {"img_size": 16, "encoder_steps": 1, "independent_steps": 1},
    "ebgan": {"img_size": 16},
    "vae": {"img_size": 28},
    "pix2pix": {"img_size": 32},
    "cyclegan": {"img_size": 24, "n_blocks": 1, "pool_size": 3},
}
MODELS = models.list()
WITH_LATENT = [name for name in MODELS if not models.get(name).takes_pairs]


def small(name, seed=1, **options):
    fields = {field.name for field in dataclasses.fields(models.get(name).Config)}
    own = {key: value for key, value in SMALL.items() if key in fields}
    return models.create(name, seed=seed, **(own | OVERRIDES.get(name, {}) | options))


def batch(gan, n=4, seed=0):
    """A batch as the model's config asks for it: images and labels, or two sets of images."""
    config, rng = gan.config, np.random.default_rng(seed)
    shape = (2, n, config.channels, config.img_size, config.img_size)
    a, b = rng.uniform(-1, 1, shape).astype(np.float32)
    return (a, b) if gan.takes_pairs else (a, np.arange(n) % 2)


def arrays(gan):
    return {
        (name, key): value.numpy().copy()
        for name, network in gan.networks.items()
        for key, value in network.state_dict().items()
    }


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[key], b[key]) for key in a)


def numbers(losses):
    return {key: float(value) for key, value in losses.items()}


# --- training -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_those_of_the_class_that_comes_first(name):
    """A dataclass takes over all fields of each base, those that the base only inherited too."""
    config = models.get(name).Config
    for field in dataclasses.fields(config):
        assert field.default == getattr(config, field.name), field.name


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_translation_has_the_defaults_of_its_authors(name):
    config = models.get(name).Config()
    assert (config.batch_size, config.img_size, config.channels) == (1, 256, 3)
    assert (config.n_epochs, config.n_epochs_decay) == (100, 100)


@pytest.mark.parametrize("name", MODELS)
def test_a_step_gives_finite_losses_and_moves_the_networks(name):
    gan = small(name)
    before = arrays(gan)
    rows = [gan.step(batch(gan, seed=i)) for i in range(2)]
    assert gan.iteration == 2
    for row in rows:
        assert row and all(value.shape == () for value in row.values())
        assert np.isfinite(list(numbers(row).values())).all()
        assert not any(value.requires_grad for value in row.values())
    after = arrays(gan)
    moved = {network for network, key in before if not np.array_equal(
        after[network, key], before[network, key])}  # fmt: skip
    trained = {name for name in gan.optimizers if name in gan.networks}
    assert trained <= moved and all(np.isfinite(value).all() for value in after.values())


@pytest.mark.parametrize("name", MODELS)
def test_the_smallest_batch_is_enough(name):
    gan = small(name)
    losses = gan.step(batch(gan, n=gan.min_batch))
    assert np.isfinite(list(numbers(losses).values())).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_decides_the_weights_and_the_training(name):
    one, two, other = small(name), small(name), small(name, seed=2)
    assert same(arrays(one), arrays(two)) and not same(arrays(one), arrays(other))
    assert numbers(one.step(batch(one))) == numbers(two.step(batch(two)))


@pytest.mark.parametrize("name", MODELS)
def test_a_state_resumes_bit_for_bit(name):
    """In the middle of n_critic steps, of an average, of a pool: after 3 steps, for 3 more."""
    gan = small(name, ema=0.9)
    for i in range(3):
        gan.step(batch(gan, n=2, seed=i))
    resumed = small(name, seed=77, ema=0.9)
    resumed.load_state_dict(copy.deepcopy(gan.state_dict()))
    assert resumed.iteration == 3
    for i in range(3, 6):
        expected = numbers(gan.step(batch(gan, n=2, seed=i)))
        assert expected == numbers(resumed.step(batch(resumed, n=2, seed=i)))
    assert same(arrays(gan), arrays(resumed))


def rates(gan):
    return [group["lr"] for o in gan.optimizers.values() for group in o.param_groups]


@pytest.mark.parametrize("name", MODELS)
def test_the_learning_rates_stay_and_then_fall_also_after_a_resume(name):
    gan = small(name, n_epochs=2, n_epochs_decay=3)
    assert gan.config.total_epochs == 5
    first = rates(gan)
    for finished, share in enumerate([1, 1, 3 / 4, 2 / 4, 1 / 4]):
        np.testing.assert_allclose(rates(gan), [lr * share for lr in first], rtol=1e-12)
        resumed = small(name, seed=77, n_epochs=2, n_epochs_decay=3)
        resumed.load_state_dict(copy.deepcopy(gan.state_dict()))
        assert rates(resumed) == rates(gan)
        resumed.end_epoch(finished + 1)
        gan.end_epoch(finished + 1)
        assert rates(resumed) == rates(gan)


def test_a_state_that_knows_no_epochs_resumes_only_without_decay():
    """Those of versions that had no decay."""
    state = small("gan").state_dict()
    del state["finished_epochs"]
    small("gan").load_state_dict(copy.deepcopy(state))
    with pytest.raises(CheckpointError, match="n_epochs_decay"):
        small("gan", n_epochs_decay=2).load_state_dict(state)


@pytest.mark.parametrize("name", MODELS)
def test_without_decay_the_learning_rates_stay(name):
    gan = small(name, n_epochs=2, n_epochs_decay=0)
    first = rates(gan)
    for epoch in (1, 2, 3):
        gan.end_epoch(epoch)
        assert rates(gan) == first


@pytest.mark.parametrize("name", MODELS)
def test_draws_of_others_disturb_nothing_and_are_not_disturbed(name):
    alone, among = small(name), small(name)
    for i in range(2):
        mg.manual_seed(100 + i)
        mg.randn(17)
        before = mg.random.get_state()
        among.step(batch(among, seed=i))
        assert mg.random.get_state() == before
        if not among.takes_pairs:
            among.sample(3)
        among.pictures(seed=5, examples=batch(among))
        assert mg.random.get_state() == before
        alone.step(batch(alone, seed=i))
    assert same(arrays(alone), arrays(among))
    assert all(network.training for key, network in among.networks.items() if key[-4:] != "_ema")


@pytest.mark.parametrize("name", MODELS)
def test_the_average_follows_the_networks_that_make_images(name):
    gan = small(name, ema=0.15)
    averages = {f"{network}_ema" for network in gan.averaged}
    assert averages <= set(gan.networks) and averages.isdisjoint(gan.optimizers)
    start = arrays(gan)
    for i, kept in enumerate((1 / 10, 0.15)):  # t / (t + 9), but never more than asked for
        before = arrays(gan)
        gan.step(batch(gan, seed=i))
        after = arrays(gan)
        for network in gan.averaged:
            network_state = gan.networks[network].state_dict()
            for key in (key for key in network_state if not key.endswith("num_batches_tracked")):
                expected = kept * before[f"{network}_ema", key] + (1 - kept) * after[network, key]
                average = after[f"{network}_ema", key]
                np.testing.assert_allclose(average, expected, rtol=1e-5, atol=1e-7)
    assert not same({k: v for k, v in start.items() if k[0] in averages}, {
        k: v for k, v in after.items() if k[0] in averages})  # fmt: skip
    assert all(not gan.networks[name].training for name in averages)
    plain = small(name, ema=0.0)
    assert averages.isdisjoint(plain.networks)


# --- images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WITH_LATENT)
def test_samples_have_the_shape_and_the_range_of_the_data_and_a_seed_fixes_them(name):
    gan = small(name)
    gan.step(batch(gan))
    config = gan.config
    images = gan.sample(5, seed=3)
    assert images.shape == (5, config.channels, config.img_size, config.img_size)
    assert images.dtype == np.float32 and np.abs(images).max() <= 1
    assert np.array_equal(images, gan.sample(5, seed=3))
    assert not np.array_equal(images, gan.sample(5, seed=4))
    assert not np.array_equal(gan.sample(5), gan.sample(5))
    assert len(np.unique(images.reshape(5, -1), axis=0)) == 5


@pytest.mark.parametrize("name", WITH_LATENT)
def test_the_average_makes_the_samples(name):
    averaged, plain = small(name, ema=0.5), small(name, ema=0.0)
    for i in range(2):
        averaged.step(batch(averaged, seed=i))
        plain.step(batch(plain, seed=i))
    assert not np.array_equal(averaged.sample(2, seed=0), plain.sample(2, seed=0))
    for network in averaged.averaged:
        state = averaged.networks[network].state_dict()
        averaged.networks[f"{network}_ema"].load_state_dict(state)
    assert np.array_equal(averaged.sample(2, seed=0), plain.sample(2, seed=0))


@pytest.mark.parametrize("name", WITH_LATENT)
def test_samples_of_more_than_one_inner_batch_are_all_there(name, monkeypatch):
    monkeypatch.setattr(models.base, "_SAMPLING_BATCH", 3)
    images = small(name).sample(7, seed=0)
    assert len(images) == 7 and len(np.unique(images.reshape(7, -1), axis=0)) == 7


@pytest.mark.parametrize("name", WITH_LATENT)
def test_no_samples_is_an_error(name):
    with pytest.raises(ConfigError, match="cannot sample 0 images"):
        small(name).sample(0)


@pytest.mark.parametrize("name", [name for name in WITH_LATENT if models.get(name).needs_labels])
def test_a_conditional_model_gives_the_labels_to_its_generator(name):
    gan = small(name)
    gan.step(batch(gan))
    zeros, ones = (gan.sample(3, labels=[label] * 3, seed=0) for label in (0, 1))
    assert not np.array_equal(zeros, ones)
    for labels, words in (([0, 99, 1], "label 99 is none of"), ([0], "3 images need 3 labels")):
        with pytest.raises(ConfigError, match=words):
            gan.sample(3, labels=labels)


@pytest.mark.parametrize("name", MODELS)
def test_pictures_are_grids_of_images_fixed_by_their_seed(name):
    gan = small(name)
    gan.step(batch(gan))
    config, examples = gan.config, batch(gan, n=6)
    pictures = gan.pictures(seed=2, examples=examples)
    assert next(iter(pictures)) == "samples"
    for images, columns in pictures.values():
        assert images.shape[1:] == (config.channels, config.img_size, config.img_size)
        assert len(images) >= columns >= 1
        assert np.isfinite(images).all() and np.abs(images).max() <= 1
    again = gan.pictures(seed=2, examples=examples)
    assert list(again) == list(pictures)
    for key, (images, columns) in pictures.items():
        assert np.array_equal(images, again[key][0]) and columns == again[key][1]
    if not gan.takes_pairs:
        other = gan.pictures(seed=3, examples=examples)
        assert not np.array_equal(pictures["samples"][0], other["samples"][0])


# --- what it says about itself ------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_model_says_what_it_is(name):
    model = models.get(name)
    assert model.name == name and model.__name__.isidentifier()
    assert model.description[:1].isupper() and model.description.endswith(".")
    assert len(model.description) <= 100 and "\n" not in model.description
    module = sys.modules[model.__module__]
    assert module.__doc__ and len(module.__doc__.splitlines()) >= 5
    assert model.averaged and set(model.averaged) <= set(small(name).networks)


@pytest.mark.parametrize("name", MODELS)
def test_every_option_is_documented_where_it_is_defined(name):
    config = models.get(name).Config
    assert issubclass(config, Config) and config.__dataclass_params__.frozen
    documented = {}
    for cls in reversed(config.__mro__[:-1]):
        documented |= docstrings_of_fields(cls)
    for field in dataclasses.fields(config):
        text = documented[field.name]
        assert text is not None, f"{name}: {field.name} has no docstring below it"
        assert text[:1].isupper() or text.startswith(field.name), field.name
        assert text.endswith((".", "...")), field.name


def docstrings_of_fields(cls):
    """The string below each field in the class's source, None where there is none."""
    (definition,) = ast.parse(inspect.getsource(cls)).body
    found, body = {}, definition.body
    for statement, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign):
            documented = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            found[statement.target.id] = below.value.value if documented else None
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_defaults_are_sound_and_every_network_learns(name):
    config = models.get(name).Config()
    assert config.total_epochs >= 1 and config.batch_size >= models.get(name).min_batch
    gan = small(name, ema=0.0)
    learning = {id(p) for o in gan.optimizers.values() for g in o.param_groups for p in g["params"]}
    parameters = [id(p) for net in gan.networks.values() for p in net.parameters()]
    assert learning == set(parameters) and len(parameters) == len(learning)
