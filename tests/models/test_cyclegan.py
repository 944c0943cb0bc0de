"""CycleGAN: its sizes, its step against PyTorch, who learns from what, its history and panels."""

import copy

import numpy as np
import pytest

import minigan as mg
from minigan import nn
from minigan.errors import CheckpointError, ConfigError
from minigan.models.cyclegan import CycleGAN
from minigan.models.image_pair import discriminator
from minigan.models.resnet_generator import ResNetGenerator
from minigan.training.state_tree import join, split
from tests.models.against_torch import assert_same_losses, assert_same_update, upcoming_draws

SMALL = {"img_size": 16, "channels": 1, "ngf": 4, "ndf": 4, "n_blocks": 1, "n_layers_D": 1}
GENERATORS = ("generator_a", "generator_b")
DISCRIMINATORS = ("discriminator_a", "discriminator_b")


def small(seed=0, **options):
    return CycleGAN(CycleGAN.Config(**(SMALL | options)), seed=seed)


def batch(n=2, size=16, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(rng.uniform(-1, 1, (2, n, channels, size, size)).astype(np.float32))


def weights(network):
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[key], b[key]) for key in a)


def floats(losses):
    return {name: float(value) for name, value in losses.items()}


def total(network):
    return sum(p.numel() for p in network.parameters())


# --- networks -----------------------------------------------------------------------------------


def test_parameter_totals_are_the_authors():
    assert total(ResNetGenerator(3, 64, 9)) == 11_378_179
    assert total(ResNetGenerator(3, 64, 6)) == 7_837_699
    assert total(discriminator(CycleGAN.Config(), 3, "instance")) == 2_764_737


def test_the_number_of_blocks_follows_from_the_size():
    blocks = {size: CycleGAN.Config(img_size=size).blocks for size in (128, 256, 512)}
    assert blocks == {128: 6, 256: 9, 512: 9}
    assert CycleGAN.Config(img_size=256, n_blocks=2).blocks == 2


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
def test_a_translation_has_the_size_of_its_image_for_any_number_of_channels(channels, upsampling):
    generator = ResNetGenerator(channels, 4, 1, upsampling)
    images = mg.tensor(batch(2, 12, channels)[0][:, :, :8])
    assert generator(images).shape == (2, channels, 8, 12)


def test_weights_start_as_the_authors():
    for network in small(ngf=16, ndf=16).networks.values():
        for name, value in weights(network).items():
            if name.endswith("bias"):
                assert not value.any(), name
            elif value.size > 500:
                assert value.std() == pytest.approx(0.02, rel=0.15), name


def test_there_is_nothing_that_differs_between_training_and_use():
    gan = small()
    for network in gan.networks.values():
        assert not any(isinstance(m, nn.Dropout | nn.BatchNorm2d) for m in network.modules())
        assert list(network.buffers()) == []


# --- the step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {}, {"lambda_A": 3.0, "lambda_B": 7.0, "lambda_idt": 0.2, "upsampling": "nearest"},
    {"channels": 3, "img_size": 24, "n_layers_D": 3, "n_blocks": 2},
])  # fmt: skip
def test_a_step_is_that_of_pytorch(options):
    pytest.importorskip("torch")
    from tests.models.cyclegan_torch import TorchCycleGAN

    gan = small(seed=2, init_gain=0.2, **options)
    twin = TorchCycleGAN(gan)
    a, b = batch(2, gan.config.img_size, gan.config.channels)
    expected = twin.step(a, b)
    losses = gan.step((a, b))
    assert set(losses) == set(expected)
    assert_same_losses(losses, expected)
    assert_same_update(gan, twin.networks, gradient_atol=5e-4, unclear=3e-2, rounding=2e-5)


def test_a_step_with_a_full_history_is_that_of_pytorch():
    pytest.importorskip("torch")
    from tests.models.cyclegan_torch import TorchCycleGAN

    gan = small(seed=2, init_gain=0.2, pool_size=2)
    for pool, images in zip(gan.pools.values(), batch(2, seed=5), strict=True):
        pool.exchange(mg.tensor(images))
    a, b = batch(2)

    def shown():
        pools = copy.deepcopy(gan.pools)  # in the order of the step
        shown_b = pools["b"].exchange(gan.generator_a(mg.tensor(a)).detach())
        shown_a = pools["a"].exchange(gan.generator_b(mg.tensor(b)).detach())
        return shown_a.numpy(), shown_b.numpy()

    history_a, history_b = upcoming_draws(gan, shown)
    assert not np.array_equal(history_b, gan.translate(a))
    twin = TorchCycleGAN(gan)
    expected = twin.step(a, b, history_a, history_b)
    assert_same_losses(gan.step((a, b)), expected)
    assert_same_update(gan, twin.networks, gradient_atol=5e-4, unclear=3e-2, rounding=1e-5)


def test_the_generators_step_leaves_the_discriminators_alone_and_the_reverse(monkeypatch):
    gan = small(seed=1)
    seen = {}

    def watched(name, original):
        def step():
            before = {key: weights(network) for key, network in gan.networks.items()}
            original()
            after = {key: weights(network) for key, network in gan.networks.items()}
            seen[name] = {key for key in gan.networks if not same(before[key], after[key])}
            if name == "generators":
                for key in DISCRIMINATORS:
                    assert all(p.grad is None for p in gan.networks[key].parameters())
                seen["grads"] = {
                    key: [p.grad.numpy().copy() for p in gan.networks[key].parameters()]
                    for key in GENERATORS
                }

        return step

    for name, optimizer in gan.optimizers.items():
        monkeypatch.setattr(optimizer, "step", watched(name, optimizer.step))
    gan.step(batch())
    assert list(seen) == ["generators", "grads", "discriminators"]
    assert seen["generators"] == set(GENERATORS)
    assert seen["discriminators"] == set(DISCRIMINATORS)
    for key in GENERATORS:  # the discriminators' step added nothing to these
        now = [p.grad.numpy() for p in gan.networks[key].parameters()]
        assert all(map(np.array_equal, seen["grads"][key], now))
    assert all(p.requires_grad for network in gan.networks.values() for p in network.parameters())


def test_who_judges_what():
    """D_A tells images of B from G_A's: with other images a, D_B's data, D_A's real part stays."""
    gan = small(seed=1)
    real = {}
    for name in DISCRIMINATORS:
        network = gan.networks[name]
        original = network.forward

        def forward(images, name=name, original=original):
            real.setdefault(name, []).append(images.numpy() if not images.requires_grad else None)
            return original(images)

        network.forward = forward
    a, b = batch()
    made_b, made_a = gan.translate(a), gan.translate(b, "BtoA")
    gan.step((a, b))
    for name, data, made in (("discriminator_a", b, made_b), ("discriminator_b", a, made_a)):
        of_generators, of_data, of_made = real[name]
        assert of_generators is None and np.array_equal(of_data, data)
        np.testing.assert_allclose(of_made, made, atol=1e-6)


def test_without_the_identity_term_nothing_is_logged_or_computed_for_it():
    gan = small(lambda_idt=0.0)
    assert not any(name.startswith("idt") for name in gan.step(batch()))


def test_the_discriminators_see_old_images_too():
    gan = small(pool_size=4)
    for i in range(3):
        gan.step(batch(2, seed=i))
    assert all(pool.stored == 4 for pool in gan.pools.values())
    assert all(pool.stored == 0 for pool in small(pool_size=0).pools.values())


def test_it_learns_to_invert_without_pairs():
    """A: dark images with a bright square, B: the reverse, in other places."""

    def squares(n, seed, sign):
        rng = np.random.default_rng(seed)
        images = np.full((n, 1, 16, 16), -0.9 * sign, np.float32)
        for image, (i, j) in zip(images, rng.integers(1, 9, (n, 2)), strict=True):
            image[0, i : i + 6, j : j + 6] = 0.9 * sign
        return images

    gan = small(seed=0, ngf=8, ndf=8, lr=2e-3, lambda_idt=0.0, init_gain=0.05)
    for i in range(150):
        losses = gan.step((squares(4, 2 * i, 1), squares(4, 2 * i + 1, -1)))
    assert float(losses["cycle_a_loss"]) < 0.25 and float(losses["cycle_b_loss"]) < 0.25
    a = squares(8, 999, 1)
    assert gan.translate(a).mean() > 0 > a.mean()


@pytest.mark.parametrize("option", [
    {"gan_mode": "vanilla"}, {"lambda_A": 5.0}, {"lambda_B": 5.0}, {"lambda_idt": 0.1},
    {"pool_size": 1}, {"n_blocks": 2}, {"upsampling": "nearest"}, {"netD": "pixel"}, {"ngf": 5},
    {"ndf": 5}, {"n_layers_D": 2}, {"init_gain": 0.1}, {"penalty": "wgan-gp"},
    {"penalty": "r1", "penalty_weight": 1.0}, {"lr": 0.1}, {"b1": 0.9},
])  # fmt: skip
def test_every_option_changes_the_training(option):
    def third_losses(gan):
        for i in range(2):
            gan.step(batch(seed=i))
        return floats(gan.step(batch(seed=2)))

    changed = third_losses(small(**option))
    assert np.isfinite(list(changed.values())).all()
    assert changed != third_losses(small())


# --- state --------------------------------------------------------------------------------------


def test_a_resumed_run_goes_on_with_optimisers_rates_and_history():
    options = {"n_epochs": 1, "n_epochs_decay": 4, "pool_size": 3, "ema": 0.9}
    straight = small(seed=2, **options)
    for epoch in (1, 2):
        straight.step(batch(2, seed=epoch))
        straight.end_epoch(epoch)
    resumed = small(seed=77, **options)
    resumed.load_state_dict(join(*split(copy.deepcopy(straight.state_dict()))))
    for epoch in (3, 4):
        assert floats(straight.step(batch(2, seed=epoch))) == floats(
            resumed.step(batch(2, seed=epoch))
        )
        for gan in (straight, resumed):
            gan.end_epoch(epoch)
    for name in straight.networks:
        assert same(weights(straight.networks[name]), weights(resumed.networks[name]))
    for name, optimizer in straight.optimizers.items():
        rate = optimizer.param_groups[0]["lr"]
        assert rate == resumed.optimizers[name].param_groups[0]["lr"] < 2e-4
    for side in "ab":
        states = [gan.pools[side].state_dict()["images"] for gan in (straight, resumed)]
        assert len(states[0]) == 3 and np.array_equal(*states)


def test_a_state_without_history_or_with_another_is_refused():
    state = small().state_dict()
    del state["pools"]
    with pytest.raises(CheckpointError, match="lacks the history"):
        small().load_state_dict(state)


# --- images -------------------------------------------------------------------------------------


def test_images_are_translated_both_ways_one_by_one():
    gan = small(seed=4, init_gain=0.3)
    a, _ = batch(20)
    there, back = gan.translate(a), gan.translate(a, "BtoA")
    assert there.shape == a.shape and there.dtype == np.float32 and np.abs(there).max() <= 1
    assert not np.array_equal(there, back)
    np.testing.assert_allclose(gan.translate(a[3:4])[0], there[3], atol=1e-5)
    with pytest.raises(ConfigError, match="direction is 'there': use AtoB or BtoA"):
        gan.translate(a, "there")


def test_panels_show_there_and_back_and_what_needs_no_translation():
    gan = small(seed=4, init_gain=0.3)
    a, b = batch(3)
    pictures = gan.pictures(seed=0, examples=(a, b))
    assert list(pictures) == ["samples", "samples_b"]
    for name, images, there, back in (
        ("samples", a, "AtoB", "BtoA"), ("samples_b", b, "BtoA", "AtoB"),
    ):  # fmt: skip
        panel, columns = pictures[name]
        assert columns == 3 and panel.shape == (12, 1, 16, 16)
        made = gan.translate(images, there)
        expected = [images, made, gan.translate(made, back), gan.translate(images, back)]
        assert np.array_equal(panel, np.concatenate(expected))
    for call in (lambda: gan.sample(2), lambda: gan.pictures(seed=0)):
        with pytest.raises(ConfigError, match="makes images from images"):
            call()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"img_size": 18}, "multiple of 4"),
        ({"img_size": 4, "netD": "pixel"}, "use 8 or more"),
        ({"n_blocks": -1}, "n_blocks is -1"),
        ({"lambda_A": -1.0}, "lambda_A is -1.0"),
        ({"lambda_idt": float("nan")}, "lambda_idt is nan"),
        ({"pool_size": -1}, "pool_size is -1"),
        ({"n_layers_D": 3}, "use a smaller n_layers_D or --netD pixel"),
    ],
)
def test_bad_options_say_what_is_possible(options, words):
    with pytest.raises(ConfigError, match=words):
        CycleGAN.Config(**(SMALL | options))
