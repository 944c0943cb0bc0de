"""StackedGAN: sizes, phases, its steps against PyTorch, who learns from what, its sweeps."""

import copy

import numpy as np
import pytest

import minigan as mg
from minigan.errors import ConfigError, DataError
from minigan.models.stackedgan import StackedGAN
from tests.models.against_torch import assert_same_losses, assert_same_update, upcoming_draws

LEVELS = ("generator_1", "generator_0", "discriminator_1", "discriminator_0")
PHASES = {
    "encoder": {"encoder_steps": 1000},
    "independent": {"encoder_steps": 0, "independent_steps": 1000},
    "joint": {"encoder_steps": 0, "independent_steps": 0},
}


def small(phase="joint", seed=0, **options):
    config = {"img_size": 16, "z1_dim": 5, "z0_dim": 7} | PHASES[phase] | options
    return StackedGAN(StackedGAN.Config(**config), seed=seed)


def batch(n=8, size=16, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (n, channels, size, size)).astype(np.float32)
    return images, rng.integers(0, 10, n)


def weights(network):
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[key], b[key]) for key in a)


def total(network):
    return sum(p.numel() for p in network.parameters())


def floats(losses):
    return {name: float(value) for name, value in losses.items()}


# --- networks -----------------------------------------------------------------------------------


def test_parameter_totals():
    gan = StackedGAN(StackedGAN.Config())
    assert total(gan.discriminator_1) == 144_691
    # 429,312 with the running means and variances of two BatchNorms of 512.
    assert total(gan.generator_1) + sum(b.numel() for b in gan.generator_1.buffers()) in (
        429_312,
        429_314,  # with their counts of batches
    )
    assert total(gan.encoder) == (26 * 32) + (25 * 32 * 32 + 32) + (512 * 256 + 256) + 2570
    assert total(gan.generator_0) == sum((
        50 * 128 + 128 + 256,
        384 * 2048 + 2048 + 4096,
        128 * 128 * 25 + 128 + 256,
        128 * 64 * 25 + 64 + 128,
        64 * 64 * 25 + 64 + 128,
        64 * 25 + 1,
    ))  # fmt: skip
    assert total(gan.discriminator_0) == sum((
        25 * 32 + 32,
        32 * 64 * 25 + 64,
        64 * 128 * 25 + 128,
        2048 * 256 + 256,
        257 + 257 * 50,
    ))  # fmt: skip


def test_weights_start_as_the_authors():
    gan = StackedGAN(StackedGAN.Config(), seed=3)
    for name in LEVELS:
        for key, value in weights(gan.networks[name]).items():
            if value.ndim > 1:
                assert value.std() == pytest.approx(0.02, rel=0.1), key
            elif key.endswith("bias"):
                assert not value.any(), key
            else:
                assert (value == 1).all(), key


@pytest.mark.parametrize("options", [{"img_size": 16}, {"img_size": 20, "channels": 3}, {}])
def test_sizes_fit_from_encoder_to_images(options):
    gan = StackedGAN(StackedGAN.Config(**options))
    config = gan.config
    images, labels = batch(2, config.img_size, config.channels)
    features = gan.encoder.features(mg.tensor(images))
    assert features.shape == (2, 256) and float(features.min()) >= 0
    assert gan.encoder(mg.tensor(images)).shape == (2, 10)
    assert gan.sample(2).shape == images.shape
    validity, noise = gan.discriminator_0(mg.tensor(images))
    assert validity.shape == (2, 1) and noise.shape == (2, 50)


# --- phases -------------------------------------------------------------------------------------


def test_the_phases_follow_each_other_by_steps():
    gan = small(encoder_steps=2, independent_steps=3)
    phases = []
    for i in range(7):
        phases.append(gan.step_kind)
        gan.step(batch(4, seed=i))
    assert phases == ["encoder"] * 2 + ["independent"] * 3 + ["joint"] * 2


@pytest.mark.parametrize("phase, trained", [
    ("encoder", ("encoder",)), ("independent", LEVELS), ("joint", LEVELS),
])  # fmt: skip
def test_each_phase_moves_its_networks_and_no_other(phase, trained):
    gan = small(phase)
    before = {name: weights(network) for name, network in gan.networks.items()}
    gan.step(batch())
    for name, network in gan.networks.items():
        moved = [k for k, v in weights(network).items() if not np.array_equal(v, before[name][k])]
        if name in trained:
            assert moved == list(before[name]), name
        else:
            assert moved == [], name
            assert all(p.grad is None for p in network.parameters()), name
    assert all(p.requires_grad for network in gan.networks.values() for p in network.parameters())


@pytest.mark.parametrize("phase, reached", [("independent", False), ("joint", True)])
def test_the_images_loss_reaches_the_upper_generator_only_jointly(phase, reached):
    """G_1's gradient with a discriminator of images that sees nothing, and with one that does."""

    def gradients(blind):
        gan = small(phase, seed=1, lambda_entropy=0.0, lambda_conditional=0.0)
        if blind:
            mg.nn.init.zeros_(gan.discriminator_0.adv_layer.weight)
        gan.step(batch())
        return {k: p.grad.numpy().copy() for k, p in gan.generator_1.named_parameters()}

    assert same(gradients(blind=True), gradients(blind=False)) is not reached


@pytest.mark.parametrize("phase", ["independent", "joint"])
def test_the_lower_generator_draws_real_features_then_made_ones(phase, monkeypatch):
    gan = small(phase)
    images, labels = batch()
    real = gan.encoder.features(mg.tensor(images)).detach().numpy()
    given = []
    forward = gan.generator_0.forward

    def seen(features, noise):
        given.append(features.detach().numpy())
        return forward(features, noise)

    monkeypatch.setattr(gan.generator_0, "forward", seen)
    gan.step((images, labels))
    assert np.array_equal(given[0], real) is (phase == "independent")


def test_who_recovers_the_noise_learns_from_generated_inputs_alone():
    """Real inputs were made of no noise, so other real ones leave the gradient of Q's layer."""

    def gradients(shift):
        gan = small("independent", seed=1)
        images, features = batch()[0], batch(seed=7)[0]
        gan.discriminator_0.zero_grad()
        gan._train_discriminator(
            0, mg.tensor(images + shift), mg.tensor(features), mg.rand(8, 7) * 0 + 0.3
        )
        d = gan.discriminator_0
        return [d.noise_layer[0].weight.grad.numpy().copy(), d.adv_layer.weight.grad.numpy().copy()]

    (noise, validity), (other_noise, other_validity) = gradients(0.0), gradients(0.2)
    assert np.array_equal(noise, other_noise) and not np.array_equal(validity, other_validity)


def test_features_get_no_gradient_from_being_the_goal():
    """C_0 = (E(x) - h_1)^2 is a goal for G_0. With D, Q and classes silent, what reaches G_1 comes
    through the image: with an image that ignores the features, nothing does."""
    gan = small("joint", lambda_entropy=0.0)
    for network in (gan.discriminator_1, gan.discriminator_0):
        mg.nn.init.zeros_(network.adv_layer.weight)
    mg.nn.init.zeros_(gan.encoder.classes.weight)
    with mg.no_grad():
        gan.generator_0.model[0].weight[:, :256] = 0.0
    gan.step(batch())
    assert all(not p.grad.numpy().any() for p in gan.generator_1.parameters())


# --- against PyTorch ----------------------------------------------------------------------------


def test_a_step_of_the_encoder_is_that_of_pytorch():
    pytest.importorskip("torch")
    from tests.models.stackedgan_torch import TorchStackedGAN

    gan = small("encoder", seed=2)
    twin = TorchStackedGAN(gan)
    images, labels = batch()
    expected = twin.encoder_step(images, labels)
    assert_same_losses(gan.step((images, labels)), expected)
    assert_same_update(gan, {"encoder": twin.encoder})


@pytest.mark.parametrize("phase", ["independent", "joint"])
@pytest.mark.parametrize("options", [
    {}, {"img_size": 20, "channels": 3, "lambda_conditional": 0.7, "lambda_entropy": 3.0},
])  # fmt: skip
def test_a_step_of_the_levels_is_that_of_pytorch(phase, options):
    pytest.importorskip("torch")
    from tests.models.stackedgan_torch import TorchStackedGAN

    gan = small(phase, seed=3, **options)
    twin = TorchStackedGAN(gan)
    images, labels = batch(8, gan.config.img_size, gan.config.channels)
    latent = upcoming_draws(gan, lambda: gan.draw_latent(8).numpy())
    expected = twin.levels_step(images, labels, latent, joint=phase == "joint")
    losses = gan.step((images, labels))
    assert set(losses) == set(expected)
    assert_same_losses(losses, expected)
    # Of thousands of ReLUs a few are at 0 up to rounding, and then one side has their gradient.
    networks = {name: twin.networks[name] for name in LEVELS}
    assert_same_update(gan, networks, gradient_atol=2e-3, unclear=3e-2)


# --- learning -----------------------------------------------------------------------------------


def bars(n, seed):
    """Ten classes of 16x16: a bright bar in one of five rows or columns, in noise that keeps the
    features from being ten points, which any discriminator would know by heart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, n)
    images = rng.normal(-0.9, 0.3, (n, 1, 16, 16))
    for image, label in zip(images, labels, strict=True):
        place = slice(3 * (label % 5) + 1, 3 * (label % 5) + 3)
        image[0][(place, slice(None)) if label < 5 else (slice(None), place)] += 1.8
    return images.clip(-1, 1).astype(np.float32), labels


def test_it_learns_to_draw_what_is_asked():
    gan = small(encoder_steps=40, independent_steps=60, lr=5e-4)
    rows = [floats(gan.step(bars(32, seed=i))) for i in range(220)]
    assert rows[39]["encoder_accuracy"] > 0.95
    assert rows[-1]["conditional_1"] < 0.3 < rows[40]["conditional_1"]
    images, labels = gan.sample(100, seed=0), np.arange(100) % 10
    with mg.no_grad():
        read = gan.encoder(mg.tensor(images)).numpy().argmax(1)
    assert (read == labels).mean() > 0.9


# --- images -------------------------------------------------------------------------------------


def test_noise_is_uniform_on_the_unit_cube():
    latent = small().draw_latent(2000).numpy()
    assert latent.shape == (2000, 12) and latent.dtype == np.float32
    assert 0 <= latent.min() < 0.01 and 0.99 < latent.max() < 1
    assert latent.mean() == pytest.approx(0.5, abs=0.01)


def test_pictures():
    gan = small(n_classes=3, channels=3)
    pictures = gan.pictures(seed=0)
    assert list(pictures) == ["samples", "interpolation", "z1", "z0"]
    for name in ("z1", "z0"):
        images, columns = pictures[name]
        assert images.shape == (30, 3, 16, 16) and columns == 10


@pytest.mark.parametrize("level, moving, staying", [
    (1, slice(0, 5), slice(5, 12)), (0, slice(5, 12), slice(0, 5)),
])  # fmt: skip
def test_a_sweep_moves_the_noise_of_one_level(level, moving, staying, monkeypatch):
    gan = small(n_classes=3)
    asked = {}

    def render(latent, labels=None, codes=None):
        asked.update(latent=latent.reshape(3, 10, 12), labels=labels.reshape(3, 10))
        return np.zeros((30, 1, 16, 16), np.float32)

    monkeypatch.setattr(gan, "render", render)
    gan.noise_sweep(level, seed=4)
    start = gan.draw_latent(3, mg.random.Generator(4)).numpy()
    latent = asked["latent"]
    assert asked["labels"].tolist() == [[k] * 10 for k in range(3)]
    assert (latent[:, :, staying] == start[:, None, staying]).all()
    np.testing.assert_allclose(latent[:, 0, moving], start[:, moving], atol=1e-6)
    np.testing.assert_allclose(latent[:, -1, moving], 1 - start[:, moving], atol=1e-6)
    assert latent.min() >= 0 and latent.max() <= 1


# --- options, state -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"gan_mode": "lsgan"}, {"penalty": "r1"}, {"penalty": "wgan-gp"}]
)
def test_the_adversarial_loss_can_be_chosen_for_both_levels(options):
    plain = floats(small(seed=1).step(batch()))
    chosen = floats(small(seed=1, **options).step(batch()))
    for name in ("d1_loss", "d0_loss"):
        assert np.isfinite(chosen[name]) and plain[name] != chosen[name]


def test_a_state_resumes_bit_for_bit_in_each_phase():
    options = {"encoder_steps": 1, "independent_steps": 2, "ema": 0.9}
    straight = small(seed=2, **options)
    resumed = small(seed=70, **options)
    for i in range(5):
        state = copy.deepcopy(straight.state_dict())
        resumed.load_state_dict(state)
        assert floats(straight.step(batch(seed=i))) == floats(resumed.step(batch(seed=i)))
    assert np.array_equal(straight.sample(8, seed=0), resumed.sample(8, seed=0))


def test_labels_are_needed():
    with pytest.raises(DataError, match="stackedgan needs labels"):
        small().step((batch()[0],))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"img_size": 30}, "multiple of 4"),
        ({"img_size": 12}, "use 16, 20"),
        ({"z1_dim": 0}, "z1_dim is 0"),
        ({"encoder_steps": -1}, "encoder_steps is -1"),
        ({"independent_steps": -1}, "independent_steps is -1"),
        ({"lr_encoder": 0.0}, "lr_encoder is 0.0"),
        ({"bn_eps": 0.0}, "bn_eps is 0.0"),
        ({"lambda_entropy": -1.0}, "lambda_entropy is -1.0"),
        ({"lambda_conditional": float("nan")}, "lambda_conditional is nan"),
    ],
)
def test_bad_options_say_what_is_possible(options, words):
    with pytest.raises(ConfigError, match=words):
        StackedGAN.Config(**options)
