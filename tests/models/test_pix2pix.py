"""pix2pix: sizes, what a step moves, its losses against PyTorch, its schedule, state, pictures."""

import copy

import numpy as np
import pytest

import minigan as mg
from minigan.errors import CheckpointError, ConfigError, DataError
from minigan.models.pix2pix import Noise, Pix2Pix, UNet
from minigan.training.state_tree import join, split
from tests.models.against_torch import assert_same_losses, assert_same_update, upcoming_draws

SMALL = {"img_size": 32, "channels": 1, "ngf": 4, "ndf": 4, "batch_size": 4}


def small(seed=0, **options):
    return Pix2Pix(Pix2Pix.Config(**(SMALL | options)), seed=seed)


def batch(n=4, size=32, channels=1, seed=0):
    """Random squares b, and their outlines a."""
    rng = np.random.default_rng(seed)
    a, b = (np.full((n, channels, size, size), -1, np.float32) for _ in range(2))
    for i in range(n):
        top, left = rng.integers(2, size // 2, 2)
        side = rng.integers(6, size // 2 - 2)
        a[i, :, top : top + side, left : left + side] = 1
        b[i, :, top : top + side, left : left + side] = rng.uniform(-0.5, 1)
        a[i, :, top + 1 : top + side - 1, left + 1 : left + side - 1] = -1
    return a, b


def weights(network):
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def same(before, after):
    return all(np.array_equal(before[key], after[key]) for key in before)


# --- networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("levels, total", [(8, 54_413_955), (7, 41_828_995)])
def test_the_generators_parameter_totals_are_the_authors(levels, total):
    assert sum(p.numel() for p in UNet(3, 3, levels).parameters()) == total


@pytest.mark.parametrize("size, levels", [(256, 8), (128, 7), (64, 6), (32, 5), (96, 5), (512, 8)])
def test_the_depth_is_what_the_size_allows(size, levels):
    assert Pix2Pix.Config(img_size=size).levels == levels


@pytest.mark.parametrize(
    "size, num_downs, norm, netD",
    [(32, 5, "instance", "basic"), (40, 3, "batch", "basic"), (48, 4, "batch", "pixel")],
)
def test_other_sizes_depths_channels_norms_and_discriminators(size, num_downs, norm, netD):
    gan = small(img_size=size, norm=norm, channels=3, netD=netD)
    assert len(gan.generator.downs) == num_downs
    losses = gan.step(batch(2, size, 3))
    assert all(np.isfinite(float(value)) for value in losses.values())
    assert gan.translate(batch(3, size, 3)[0]).shape == (3, 3, size, size)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_every_level_hands_its_features_across_the_u(level):
    net = small(dropout=0.0).generator
    a = mg.tensor(batch()[0])

    def convolution(i):
        return next(m for m in net.downs[i].modules() if isinstance(m, mg.nn.Conv2d))

    # With the next level blind, the connection across is all that is left of this one.
    mg.nn.init.zeros_(convolution(level + 1).weight)
    sees = net(a).detach().numpy()
    mg.nn.init.zeros_(convolution(level).weight)
    assert not np.allclose(net(a).detach().numpy(), sees, atol=1e-6)


@pytest.mark.parametrize(
    "levels, noisy", [(8, [5, 6, 7]), (7, [5, 6]), (6, [5]), (5, [4]), (3, [2])]
)
def test_dropout_is_in_the_inner_levels_and_nowhere_missing(levels, noisy):
    ups = UNet(1, 1, levels, ngf=1).ups
    with_noise = [levels - i for i, up in enumerate(ups) if isinstance(up[-1], Noise)]
    assert sorted(with_noise) == noisy


def test_initial_weights_have_the_authors_spread():
    gan = small(ngf=16, init_gain=0.05)
    first = weights(gan.generator)
    assert abs(first["ups.1.1.weight"].std() - 0.05) < 0.003
    scale = first["ups.1.2.weight"]
    assert abs(scale.mean() - 1) < 0.02 and 0.03 < scale.std() < 0.07
    assert not first["ups.4.1.bias"].any()
    assert not weights(gan.discriminator)["model.0.bias"].any()


# --- the step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"norm": "instance"}, {"img_size": 64}])
def test_one_step_equals_pytorchs(options):
    """Same weights, pairs and dropout: losses, gradients and updated weights."""
    torch = pytest.importorskip("torch")
    from tests.models.pix2pix_torch import TorchPix2Pix

    gan = small(seed=4, channels=2, **options)
    config = gan.config
    twin = TorchPix2Pix(torch, gan)
    a, b = batch(4, config.img_size, 2)
    level = config.levels - 1  # the level before the innermost, here the only one with dropout
    dropped = (4, config.ngf * 2 ** (level - 2), *2 * (config.img_size >> (level - 1),))
    mask = upcoming_draws(gan, lambda: mg.rand(*dropped).numpy() >= 0.5)
    expected = twin.step(a, b, [mask.astype(np.float32)])
    assert_same_losses(gan.step((a, b)), expected)
    assert_same_update(gan, twin.networks)


def test_a_step_moves_every_parameter_of_both_networks():
    gan = small(seed=1)
    before = {name: weights(net) for name, net in gan.networks.items()}
    gan.step(batch())
    for name, net in gan.networks.items():
        for key, value in weights(net).items():
            assert not np.array_equal(value, before[name][key]), (name, key)


def test_each_sub_step_moves_one_network_and_the_discriminator_comes_first(monkeypatch):
    gan = small(seed=1)
    start = {name: weights(net) for name, net in gan.networks.items()}
    order = []

    def watched(name):
        original = gan.optimizers[name].step
        other = "generator" if name == "discriminator" else "discriminator"

        def step():
            others = [p.grad for p in gan.networks[other].parameters()]
            unmoved = weights(gan.networks[other])
            original()
            order.append((name, others))
            assert same(unmoved, weights(gan.networks[other]))

        return step

    for name in gan.optimizers:
        monkeypatch.setattr(gan.optimizers[name], "step", watched(name))
    gan.step(batch())
    assert [name for name, _ in order] == ["discriminator", "generator"]
    assert all(grad is None for grad in order[0][1])  # the fakes were detached
    judge_grads = [p.grad.numpy() for p in gan.discriminator.parameters()]
    for kept, now in zip(order[1][1], judge_grads, strict=True):
        assert np.array_equal(kept.numpy(), now)
    assert not same(start["discriminator"], weights(gan.discriminator))


def test_the_generators_step_adds_nothing_to_the_discriminators_gradients(monkeypatch):
    gan = small(seed=1)
    after_d_step = {}
    original = gan.optimizers["discriminator"].step

    def step():
        original()
        for name, p in gan.discriminator.named_parameters():
            after_d_step[name] = p.grad.numpy().copy()

    monkeypatch.setattr(gan.optimizers["discriminator"], "step", step)
    gan.step(batch())
    assert after_d_step
    for name, p in gan.discriminator.named_parameters():
        assert np.array_equal(p.grad.numpy(), after_d_step[name]), name
        assert p.requires_grad


def test_it_learns_to_fill_outlines():
    gan = small(seed=3, ngf=8, lr=2e-3)
    a, b = batch(4)
    first = float(gan.step((a, b))["g_l1_loss"])
    for _ in range(60):
        losses = gan.step((a, b))
    assert float(losses["g_l1_loss"]) < 0.25 * first
    assert np.abs(gan.translate(a) - b).mean() < 0.25 * first


def test_a_batch_of_one_works_down_to_one_pixel():
    gan = small(batch_size=1)
    assert gan.min_batch == 1
    losses = gan.step(batch(1))
    assert all(np.isfinite(float(value)) for value in losses.values())


@pytest.mark.parametrize(
    "option",
    [
        {"gan_mode": "lsgan"},
        {"lambda_L1": 10.0},
        {"dropout": 0.0},
        {"norm": "instance"},
        {"netD": "pixel"},
        {"n_layers_D": 2},
        {"ngf": 5},
        {"ndf": 5},
        {"init_gain": 0.1},
        {"num_downs": 4},
        {"penalty": "wgan-gp"},
        {"penalty": "r1", "penalty_weight": 1.0},
        {"lr": 0.1},
        {"b1": 0.9},
    ],
)
def test_every_option_changes_the_training(option):
    def second_losses(gan):
        gan.step(batch())
        return {key: float(value) for key, value in gan.step(batch()).items()}

    changed = second_losses(small(**option))
    assert all(np.isfinite(value) for value in changed.values())
    assert changed != second_losses(small())


# --- the schedule -------------------------------------------------------------------------------


def rates(gan, epochs):
    """The learning rate in each epoch from now on, the same for both networks."""
    found = []
    for epoch in epochs:
        (lr,) = {o.param_groups[0]["lr"] for o in gan.optimizers.values()}
        found.append(lr)
        gan.end_epoch(epoch)
    return found


def test_the_learning_rate_is_constant_and_then_falls_in_equal_steps():
    gan = small(n_epochs=3, n_epochs_decay=4, lr=0.01)
    assert gan.config.total_epochs == 7
    expected = [0.01 * (1 - max(0, epoch - 3) / 5) for epoch in range(1, 8)]
    np.testing.assert_allclose(rates(gan, range(1, 8)), expected, rtol=1e-12)
    assert expected[2] == 0.01 and expected[-1] > 0.0019


def test_without_decay_the_learning_rate_stays():
    gan = small(n_epochs=3, n_epochs_decay=0)
    assert gan.config.total_epochs == 3
    assert rates(gan, range(1, 4)) == [2e-4] * 3


def test_training_changes_when_the_rate_does():
    decayed, constant = small(n_epochs=1, n_epochs_decay=3), small(n_epochs=9)
    for gan in (decayed, constant):
        gan.step(batch())
    assert same(weights(decayed.generator), weights(constant.generator))
    for gan in (decayed, constant):
        gan.end_epoch(1)
        gan.step(batch())
    assert not same(weights(decayed.generator), weights(constant.generator))


# --- state --------------------------------------------------------------------------------------


def test_a_state_resumes_bit_for_bit_in_the_middle_of_the_decay():
    options = {"n_epochs": 1, "n_epochs_decay": 6, "ema": 0.9}
    straight, stopped = small(seed=2, **options), small(seed=2, **options)
    for epoch in (1, 2):
        for gan in (straight, stopped):
            gan.step(batch(seed=epoch))
            gan.end_epoch(epoch)
    state = join(*split(copy.deepcopy(stopped.state_dict())))  # as a checkpoint stores it
    resumed = small(seed=77, **options)
    resumed.load_state_dict(state)
    for epoch in (3, 4):
        expected, actual = (gan.step(batch(seed=epoch)) for gan in (straight, resumed))
        assert {k: float(v) for k, v in expected.items()} == {
            k: float(v) for k, v in actual.items()
        }
        for gan in (straight, resumed):
            gan.end_epoch(epoch)
    for name in straight.networks:
        assert same(weights(straight.networks[name]), weights(resumed.networks[name]))
    assert rates(straight, (5, 6, 7)) == rates(resumed, (5, 6, 7))


def test_a_longer_resume_gets_the_rates_of_its_length():
    short = small(n_epochs=1, n_epochs_decay=1)
    rates(short, (1, 2))
    longer = small(n_epochs=4, n_epochs_decay=1)
    longer.load_state_dict(short.state_dict())
    np.testing.assert_allclose(rates(longer, (3, 4, 5)), [2e-4, 2e-4, 1e-4])


def test_a_state_without_the_schedule_is_refused():
    state = small().state_dict()
    del state["finished_epochs"]
    with pytest.raises(CheckpointError, match="finished_epochs"):
        small().load_state_dict(state)


# --- images -------------------------------------------------------------------------------------


def test_dropout_is_the_noise_and_the_seed_fixes_it():
    gan = small(seed=5)
    a, _ = batch()
    first = gan.translate(a, seed=9)
    assert first.shape == a.shape and first.dtype == np.float32 and np.abs(first).max() <= 1
    assert np.array_equal(first, gan.translate(a, seed=9))
    assert not np.array_equal(first, gan.translate(a, seed=10))
    quiet = small(seed=5, dropout=0.0)
    assert np.array_equal(quiet.translate(a, seed=9), quiet.translate(a, seed=10))


def test_the_generator_computes_the_same_in_both_modes():
    gan = small(seed=5, dropout=0.0)
    a = mg.tensor(batch()[0])
    training = gan.generator.train()(a).detach().numpy()
    assert np.array_equal(gan.generator.eval()(a).detach().numpy(), training)
    assert list(gan.generator.buffers()) == []


def test_translating_does_not_disturb_the_training():
    a, b = small(seed=5), small(seed=5)
    outer = mg.random.get_state()
    a.step(batch())
    b.step(batch())
    a.translate(batch()[0])
    assert a.generator.training and mg.random.get_state() == outer
    a.step(batch())
    b.step(batch())
    for name in a.networks:
        assert same(weights(a.networks[name]), weights(b.networks[name]))


def test_images_are_translated_in_even_batches_of_the_size_of_training():
    gan = small(dropout=0.0, batch_size=4)
    a, _ = batch(9)
    expected = [gan.translate(a[rows]) for rows in (slice(0, 3), slice(3, 6), slice(6, 9))]
    assert np.array_equal(gan.translate(a), np.concatenate(expected))
    alone = small(dropout=0.0, batch_size=1)
    np.testing.assert_array_equal(alone.translate(a)[4:5], alone.translate(a[4:5]))


def test_the_average_makes_the_images():
    plain, averaged = small(seed=2), small(seed=2, ema=0.5)
    for gan in (plain, averaged):
        gan.step(batch())
    assert not np.array_equal(plain.translate(batch()[0]), averaged.translate(batch()[0]))


def test_a_picture_shows_inputs_outputs_and_targets():
    gan = small()
    a, b = batch(5)
    pictures = gan.pictures(7, (a, b, np.arange(5)))
    assert list(pictures) == ["samples"]
    images, columns = pictures["samples"]
    assert columns == 5 and images.shape == (15, 1, 32, 32)
    assert np.array_equal(images[:5], a) and np.array_equal(images[10:], b)
    assert np.array_equal(images[5:10], gan.translate(a, seed=7))


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "draw",
    [
        lambda gan: gan.sample(4),
        lambda gan: gan.render(np.zeros((4, 100), np.float32)),
        lambda gan: gan.sample_grid(0),
        lambda gan: gan.pictures(0),
    ],
)
def test_without_images_there_is_nothing_to_draw(draw):
    with pytest.raises(ConfigError, match=r"pix2pix makes images from images.*translate"):
        draw(small())


@pytest.mark.parametrize(
    "options, words",
    [
        ({"img_size": 28}, "multiple of 8"),
        ({"img_size": 48, "num_downs": 5}, "multiple of 32"),
        ({"num_downs": 2}, "at least 3"),
        ({"img_size": 16}, "needs at least 24; .*--netD pixel"),
        ({"n_layers_D": 0}, "n_layers_D is 0"),
        ({"n_epochs_decay": -1}, "n_epochs_decay is -1"),
        ({"lambda_L1": -1.0}, "lambda_L1 is -1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"init_gain": 0.0}, "init_gain is 0.0"),
    ],
)
def test_bad_options_say_what_is_possible(options, words):
    with pytest.raises(ConfigError, match=words):
        Pix2Pix.Config(**(SMALL | options))


@pytest.mark.parametrize(
    "bad, words",
    [
        ((batch()[0], np.arange(4)), "needs pairs of images"),
        ((batch()[0],), "needs pairs of images"),
        (batch(size=64), "expects images of shape"),
        ((batch()[0], batch(channels=3)[1]), "expects images of shape"),
    ],
)
def test_bad_batches_say_what_is_wrong(bad, words):
    with pytest.raises(DataError, match=words):
        small().step(bad)


def test_bad_images_to_translate_say_what_is_wrong():
    with pytest.raises(DataError, match="expects images of shape"):
        small().translate(batch(size=64)[0])
    with pytest.raises(ConfigError, match="no images to translate"):
        small().translate(batch()[0][:0])
