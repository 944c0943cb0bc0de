"""ACGAN: sizes of its networks, what a step moves, its losses against PyTorch, its state."""

import copy

import numpy as np
import pytest

import minigan as mg
from minigan import models
from minigan.errors import CheckpointError, ConfigError, DataError
from tests.models.against_torch import assert_same_losses, assert_same_update, upcoming_draws


def batch(n=8, size=32, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (n, channels, size, size)).astype(np.float32)
    return images, rng.integers(0, 10, n)


def weights(network):
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def test_parameter_totals_are_the_reference_implementations():
    gan = models.create("acgan", ema=0.0)
    totals = {name: sum(p.numel() for p in net.parameters()) for name, net in gan.networks.items()}
    assert totals == {"generator": 1_050_985, "discriminator": 103_243}


def test_a_step_moves_every_parameter_of_both_networks_and_leaves_no_foreign_gradient():
    gan = models.create("acgan", seed=1, ema=0.0)
    before = {name: weights(net) for name, net in gan.networks.items()}
    losses = gan.step(batch())
    for name, net in gan.networks.items():
        for key, value in weights(net).items():
            # A convolution's bias before BatchNorm has no effect, so its gradient is rounding.
            assert not np.array_equal(value, before[name][key]), (name, key)
    for key in ("d_loss", "g_loss", "class_loss", "real_accuracy", "fake_accuracy", "d_x", "d_g_z"):
        assert np.isfinite(float(losses[key]))


def test_the_generator_step_leaves_the_discriminator_alone(monkeypatch):
    gan = models.create("acgan", seed=1)
    before = weights(gan.discriminator)
    monkeypatch.setattr(gan.optimizers["discriminator"], "step", lambda: None)
    seen = []
    original = gan.optimizers["generator"].step

    def step():
        seen.append([p.grad for p in gan.discriminator.parameters()])
        original()

    monkeypatch.setattr(gan.optimizers["generator"], "step", step)
    gan.step(batch())
    assert all(grad is None for grad in seen[0])
    after = weights(gan.discriminator)
    assert all(np.array_equal(after[key], before[key]) for key in before)


def test_the_discriminator_step_reaches_no_generator_gradient(monkeypatch):
    gan = models.create("acgan", seed=1)
    after_g_step = {}
    original = gan.optimizers["generator"].step

    def step():
        original()
        for name, p in gan.generator.named_parameters():
            after_g_step[name] = p.grad.numpy().copy()

    monkeypatch.setattr(gan.optimizers["generator"], "step", step)
    gan.step(batch())
    for name, p in gan.generator.named_parameters():
        assert np.array_equal(p.grad.numpy(), after_g_step[name]), name


def test_the_discriminator_learns_a_small_batch_by_heart():
    gan = models.create("acgan", seed=3, dropout=0.0, lr=2e-3, ema=0.0)
    images, _ = batch(16)
    labels = np.arange(16) % 10
    for _ in range(25):
        losses = gan.step((images, labels))
    assert float(losses["class_loss"]) < 0.2  # below the 1.461 of a softmax too many
    assert float(losses["real_accuracy"]) == 1.0


def test_samples_are_fixed_by_their_seed_and_do_not_disturb_the_training():
    a, b = models.create("acgan", seed=5), models.create("acgan", seed=5)
    first = a.sample(4, labels=[1, 2, 3, 4], seed=9)
    assert first.shape == (4, 1, 32, 32) and first.dtype == np.float32
    assert np.abs(first).max() <= 1
    assert np.array_equal(first, a.sample(4, labels=[1, 2, 3, 4], seed=9))
    assert not np.array_equal(first, a.sample(4, labels=[1, 2, 3, 4], seed=10))
    assert not np.array_equal(a.sample(4), a.sample(4))
    assert a.generator.training
    mg.randn(100)
    for _ in range(2):
        a.step(batch())
        b.step(batch())
    for name in a.networks:
        ours, theirs = weights(a.networks[name]), weights(b.networks[name])
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours)


def test_a_state_resumes_bit_for_bit():
    straight = models.create("acgan", seed=2, ema=0.9)
    stopped = models.create("acgan", seed=2, ema=0.9)
    for i in range(2):
        straight.step(batch(seed=i))
        stopped.step(batch(seed=i))
    state = copy.deepcopy(stopped.state_dict())
    resumed = models.create("acgan", seed=77, ema=0.9)
    resumed.load_state_dict(state)
    for i in range(2, 4):
        expected = straight.step(batch(seed=i))
        actual = resumed.step(batch(seed=i))
        assert {k: float(v) for k, v in expected.items()} == {
            k: float(v) for k, v in actual.items()
        }
    assert np.array_equal(straight.sample(8, seed=0), resumed.sample(8, seed=0))


def test_without_the_random_state_a_resume_is_not_exact():
    straight, resumed = models.create("acgan", seed=2), models.create("acgan", seed=2)
    straight.step(batch())
    state = copy.deepcopy(straight.state_dict())
    state["random"] = {"seed": 99, "offset": 0}
    resumed.load_state_dict(state)
    assert float(straight.step(batch())["g_loss"]) != float(resumed.step(batch())["g_loss"])


def test_the_average_follows_the_generator_and_makes_the_samples():
    gan = models.create("acgan", seed=2, ema=0.5)
    start = weights(gan.networks["generator_ema"])
    gan.step(batch())
    live, average = weights(gan.generator), weights(gan.networks["generator_ema"])
    for key in live:
        expected = 0.1 * start[key] + 0.9 * live[key]  # the first of its steps counts most
        np.testing.assert_allclose(average[key], expected, rtol=1e-5, atol=1e-7)
    plain = models.create("acgan", seed=2, ema=0.0)
    plain.step(batch())
    assert not np.array_equal(plain.sample(2, seed=0), gan.sample(2, seed=0))


@pytest.mark.parametrize("size, channels", [(32, 3), (48, 1)])
def test_other_sizes_and_channels(size, channels):
    gan = models.create("acgan", img_size=size, channels=channels)
    gan.step(batch(4, size, channels))
    assert gan.sample(2).shape == (2, channels, size, size)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"img_size": 28}, "multiple of 16"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"n_classes": 1}, "n_classes is 1"),
        ({"ema": 1.0}, "ema is 1.0"),
        ({"fake_class_weight": -1.0}, "fake_class_weight is -1.0"),
        ({"asked_class_weight": -1.0}, "asked_class_weight is -1.0"),
        ({"nothing": 1}, "no option 'nothing'"),
    ],
)
def test_bad_options_say_what_is_possible(options, words):
    with pytest.raises(ConfigError, match=words):
        models.create("acgan", **options)


def test_an_unknown_model_names_the_known_ones():
    with pytest.raises(ConfigError, match="acgan"):
        models.create("acgam")


@pytest.mark.parametrize(
    "bad, words",
    [
        ((batch()[0][:, :, :28], batch()[1]), "expects images of shape"),
        ((batch()[0], batch()[1] + 10), "labels count from 0"),
        ((batch()[0],), "needs labels"),
    ],
)
def test_bad_batches_say_what_is_wrong(bad, words):
    with pytest.raises(DataError, match=words):
        models.create("acgan").step(bad)


def test_labels_to_sample_must_be_classes():
    gan = models.create("acgan")
    with pytest.raises(ConfigError, match=r"label 10 is none of 0\.\.9"):
        gan.sample(2, labels=[3, 10])
    with pytest.raises(ConfigError, match="2 images need 2 labels"):
        gan.sample(2, labels=[3])


def test_a_state_of_other_networks_is_refused():
    with pytest.raises(CheckpointError, match="generator_ema"):
        models.create("acgan", ema=0.0).load_state_dict(models.create("acgan").state_dict())


@pytest.mark.parametrize("weights", [(0.0, 1.0), (1.0, 1.0), (0.5, 0.1)], ids=str)
def test_one_step_equals_pytorchs(weights):
    """Same weights, same batch, same latents: losses, gradients and updated weights."""
    torch = pytest.importorskip("torch")
    from tests.models.acgan_torch import TorchACGAN

    options = dict(zip(("fake_class_weight", "asked_class_weight"), weights, strict=True))
    gan = models.create("acgan", seed=4, dropout=0.0, ema=0.0, **options)
    twin = TorchACGAN(torch, gan)
    images, labels = batch(16)
    latent, asked = upcoming_draws(
        gan, lambda: (mg.randn(16, 100).numpy(), mg.randint(0, 10, (16,)).numpy())
    )
    expected = twin.step(images, labels, latent, asked)
    assert_same_losses(gan.step((images, labels)), expected)
    assert_same_update(gan, twin.networks)
