"""EBGAN: its sizes, its energy and the mistakes that others made with it, its step, its state."""

import copy

import numpy as np
import pytest

import minigan as mg
from minigan import nn
from minigan.autograd import grad, gradcheck
from minigan.errors import ConfigError, DataError
from minigan.models.ebgan import EBGAN, Autoencoder, energy
from minigan.objectives import margin_fake, pulling_away
from tests.models.against_torch import assert_same_losses, assert_same_update, upcoming_draws

SMALL = {"img_size": 8, "latent_dim": 8, "embedding_dim": 6}


def small(seed=0, **options):
    return EBGAN(EBGAN.Config(**(SMALL | options)), seed=seed)


def batch(n=8, size=8, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, (n, channels, size, size)).astype(np.float32),)


def weights(network):
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def same(before, after):
    return all(np.array_equal(before[key], after[key]) for key in before)


def test_parameter_totals_are_the_reference_implementations():
    gan = EBGAN(EBGAN.Config())
    totals = {name: sum(p.numel() for p in net.parameters()) for name, net in gan.networks.items()}
    assert totals == {"generator": 738_433, "discriminator": 1_099_041}
    assert all(
        m.eps == 1e-5
        for net in gan.networks.values()
        for m in net.modules()
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)
    )


# --- the energy ---------------------------------------------------------------------------------


def test_the_energy_is_the_mean_square_of_each_images_pixels():
    images = mg.tensor([[[[0.0, 0.0]]], [[[1.0, -1.0]]]])
    reconstruction = mg.tensor([[[[1.0, 3.0]]], [[[1.0, -1.0]]]])
    assert energy(reconstruction, images).numpy().tolist() == [5.0, 0.0]


def autoencoder64():
    mg.manual_seed(3)
    return Autoencoder(4, 1, 3, bn_eps=1e-5).double()


def energies_of(images):
    network = autoencoder64()
    return lambda x: energy(network(x)[0], x)


def test_the_energys_gradient_is_that_of_finite_differences():
    """The image is also the target; a detached target loses half of the gradient (next test)."""
    rng = np.random.default_rng(0)
    images = mg.tensor(rng.uniform(-1, 1, (4, 1, 4, 4)), requires_grad=True)
    assert gradcheck(energies_of(images), images)


def test_a_detached_target_would_give_another_direction():
    rng = np.random.default_rng(0)
    images = mg.tensor(rng.uniform(-1, 1, (4, 1, 4, 4)), requires_grad=True)
    network = autoencoder64()
    (true,) = grad(energy(network(images)[0], images).sum(), [images])
    (half,) = grad(energy(network(images)[0], images.detach()).sum(), [images])
    true, half = true.numpy().ravel(), half.numpy().ravel()
    assert true @ half < 0.9 * np.linalg.norm(true) * np.linalg.norm(half)


@pytest.mark.parametrize("lambda_pt", [0.0, 3.0])
def test_the_generators_gradient_flows_through_input_and_target(lambda_pt):
    gan = small(seed=1, lambda_pt=lambda_pt, lr=1e-30)  # weights stand still: they can be probed
    head = gan.generator.conv_blocks[-2].bias
    losses = []
    latent = upcoming_draws(gan, lambda: mg.randn(8, 8))
    gan.step(batch())
    for shift in (1e-2, -1e-2):
        with mg.no_grad():
            head.add_(shift)
            fakes = gan.generator(latent)
            reconstruction, codes = gan.discriminator(fakes)
            apart = lambda_pt * float(pulling_away(codes))
            losses.append(float(energy(reconstruction, fakes).mean()) + apart)
            head.sub_(shift)
    assert float(head.grad) == pytest.approx((losses[0] - losses[1]) / 2e-2, rel=2e-2)


# --- the hinge ----------------------------------------------------------------------------------


def test_the_hinge_is_taken_image_by_image():
    energies = mg.tensor([0.0, 2.0])  # their mean reaches the margin, the first image does not
    assert float(margin_fake(energies, 1.0)) == 0.5


def test_an_image_beyond_the_margin_gives_no_gradient():
    energies = mg.tensor([0.25, 1.5, 0.75, 4.0], requires_grad=True)
    margin_fake(energies, 1.0).backward()
    assert energies.grad.numpy().tolist() == [-0.25, 0.0, -0.25, 0.0]


def test_the_step_takes_the_hinge_image_by_image():
    """A margin that some images reach and others do not tells the two hinges apart."""
    gan = small(seed=1)
    latent = upcoming_draws(gan, lambda: mg.randn(8, 8))
    with mg.no_grad():
        fakes = copy.deepcopy(gan.generator)(latent)
        energies = energy(copy.deepcopy(gan.discriminator)(fakes)[0], fakes).numpy()
    margin = float(np.median(energies))
    gan = small(seed=1, margin=margin)
    losses = {name: float(value) for name, value in gan.step(batch()).items()}
    per_image = np.maximum(0, margin - energies).mean()
    on_the_mean = max(0, margin - energies.mean())
    assert abs(per_image - on_the_mean) > 1e-3 * margin
    assert losses["d_loss"] - losses["real_energy"] == pytest.approx(per_image, rel=1e-3, abs=1e-6)


# --- pulling away -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "codes, value",
    [
        ([[1, 2, 3], [2, 4, 6], [0.5, 1, 1.5]], 1.0),  # one direction, whatever the lengths
        ([[1, 0, 0], [0, 5, 0], [0, 0, 0.1]], 0.0),  # orthogonal
        ([[1, 1], [-2, -2]], 1.0),  # opposite is as bad as equal: without the square it is -1
        ([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], 1 / 9),  # -1/3, squared
    ],
)
def test_the_pulling_away_term_is_squared_and_leaves_the_diagonal_out(codes, value):
    assert float(pulling_away(mg.tensor(codes, dtype=mg.float64))) == pytest.approx(value, abs=1e-9)


def test_the_codes_are_normalised_each_by_its_length():
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((5, 3))
    longer = codes * rng.uniform(0.1, 10, (5, 1))  # along the batch axis this would matter
    expected = float(pulling_away(mg.tensor(codes)))
    assert float(pulling_away(mg.tensor(longer))) == pytest.approx(expected, rel=1e-9)
    unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    pairs = [(unit[i] @ unit[j]) ** 2 for i in range(5) for j in range(5) if i != j]
    assert expected == pytest.approx(np.mean(pairs), rel=1e-9)


def test_the_term_is_taken_on_the_encoders_output_with_its_weight():
    gan = small(seed=2, lambda_pt=0.7)
    latent = upcoming_draws(gan, lambda: mg.randn(8, 8))
    with mg.no_grad():
        fakes = copy.deepcopy(gan.generator)(latent)
        network = copy.deepcopy(gan.discriminator)
        apart = float(pulling_away(network.encoder(fakes)))
        own = float(energy(network(fakes)[0], fakes).mean())
    losses = gan.step(batch())
    assert float(losses["pulling_away"]) == pytest.approx(apart, rel=1e-4)
    assert float(losses["g_loss"]) == pytest.approx(own + 0.7 * apart, rel=1e-4)


# --- the step -----------------------------------------------------------------------------------


def test_one_step_equals_pytorchs(torch):
    """Same weights, same batch, same latents: losses, gradients and updated weights."""
    from tests.models.ebgan_torch import TorchEBGAN

    gan = small(seed=4, img_size=16, margin=0.3)
    twin = TorchEBGAN(torch, gan)
    images = batch(16, 16)
    latent = upcoming_draws(gan, lambda: mg.randn(16, 8).numpy())
    expected = twin.step(*images, latent)
    assert_same_losses(gan.step(images), expected)
    assert_same_update(gan, twin.networks, rounding=1e-5)


def test_a_step_moves_every_parameter_of_both_networks():
    gan = small(seed=1)
    before = {name: weights(net) for name, net in gan.networks.items()}
    losses = gan.step(batch())
    for name, net in gan.networks.items():
        for key, value in weights(net).items():
            assert not np.array_equal(value, before[name][key]), (name, key)
    assert all(np.isfinite(float(value)) for value in losses.values())


@pytest.mark.parametrize(
    "moved, still", [("generator", "discriminator"), ("discriminator", "generator")]
)
def test_each_half_of_the_step_moves_its_own_network_alone(monkeypatch, moved, still):
    gan = small(seed=1)
    before = {name: weights(net) for name, net in gan.networks.items()}
    monkeypatch.setattr(gan.optimizers[still], "step", lambda: None)
    gan.step(batch())
    assert not same(before[moved], weights(gan.networks[moved]))
    assert same(before[still], weights(gan.networks[still]))


def test_neither_half_leaves_a_gradient_in_the_other_network(monkeypatch):
    gan = small(seed=1)
    seen = {}
    for name, other in (("generator", "discriminator"), ("discriminator", "generator")):

        def step(name=name, other=other):
            parameters = gan.networks[other].parameters()
            seen[name] = [None if p.grad is None else p.grad.numpy().copy() for p in parameters]

        monkeypatch.setattr(gan.optimizers[name], "step", step)
    gan.step(batch())
    assert all(gradient is None for gradient in seen["generator"])
    # What G had after its own half it still has after D's.
    monkeypatch.undo()
    again = small(seed=1)
    monkeypatch.setattr(again.optimizers["discriminator"], "step", lambda: None)
    after_g = []
    monkeypatch.setattr(
        again.optimizers["generator"],
        "step",
        lambda: after_g.extend(p.grad.numpy().copy() for p in again.generator.parameters()),
    )
    again.step(batch())
    for mine, theirs in zip(after_g, seen["discriminator"], strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("option", [{"margin": 0.05}, {"lambda_pt": 0.0}, {"bn_eps": 0.8}])
def test_every_option_of_the_losses_changes_them(option):
    plain, changed = (small(seed=1, **o) for o in ({}, option))
    losses = [
        tuple(float(gan.step(batch())[name]) for name in ("d_loss", "g_loss"))
        for gan in (plain, changed)
    ]
    assert losses[0] != losses[1]


def test_it_learns_to_draw_eight_bars():
    bars = np.full((8, 1, 8, 8), -1, np.float32)
    for i in range(4):
        bars[i, :, 2 * i : 2 * i + 2] = 1
        bars[4 + i, :, :, 2 * i : 2 * i + 2] = 1
    drawn = []
    for seed in (0, 1, 2):
        rng = np.random.default_rng(seed)
        gan = small(seed=seed, embedding_dim=16, lr=1e-3, margin=0.3)
        energies = [
            float(gan.step((bars[rng.integers(0, 8, 32)],))["real_energy"]) for _ in range(150)
        ]
        distances = np.abs(gan.sample(128, seed=0)[:, None] - bars).mean((2, 3, 4))
        # The mean image as the reconstruction: 0.75. A step's energy swings from 0.04 to 0.16.
        assert np.mean(energies[-20:]) < 0.15
        assert distances.min(1).mean() < 0.35  # from one bar to another it is 0.75 or 1
        drawn.append(np.bincount(distances.argmin(1), minlength=8))
    # Of 20 seeds 4 or 5 leave a bar out, others with each change of a kernel's rounding.
    assert np.sum(np.array(drawn) > 0, axis=1).min() >= 6
    assert min(np.sum(drawn, axis=0)) >= 9  # each is drawn


# --- state, pictures, bad input -----------------------------------------------------------------


def test_a_state_resumes_bit_for_bit():
    straight, stopped = small(seed=2, ema=0.9), small(seed=2, ema=0.9)
    for i in range(2):
        straight.step(batch(seed=i))
        stopped.step(batch(seed=i))
    resumed = small(seed=77, ema=0.9)
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    for i in range(2, 4):
        expected, actual = straight.step(batch(seed=i)), resumed.step(batch(seed=i))
        assert {k: float(v) for k, v in expected.items()} == {
            k: float(v) for k, v in actual.items()
        }
    assert np.array_equal(straight.sample(8, seed=0), resumed.sample(8, seed=0))


@pytest.mark.parametrize("size, channels", [(12, 1), (16, 3), (28, 1)])
def test_other_sizes_channels_and_pictures(size, channels):
    gan = small(img_size=size, channels=channels)
    gan.step(batch(4, size, channels))
    pictures = gan.pictures(seed=0)
    assert list(pictures) == ["samples", "interpolation"]
    for images, columns in pictures.values():
        assert images.shape[1:] == (channels, size, size) and len(images) % columns == 0
        assert np.abs(images).max() <= 1


@pytest.mark.parametrize(
    "options, words",
    [
        ({"img_size": 30}, "multiple of 4"),
        ({"margin": 0.0}, "margin is 0.0"),
        ({"lambda_pt": -0.1}, "lambda_pt is -0.1"),
        ({"embedding_dim": 0}, "embedding_dim is 0"),
        ({"bn_eps": 0.0}, "bn_eps is 0.0"),
    ],
)
def test_bad_options_say_what_is_possible(options, words):
    with pytest.raises(ConfigError, match=words):
        EBGAN.Config(**options)


def test_images_of_another_size_are_refused():
    with pytest.raises(DataError, match="expects images of shape"):
        small().step(batch(size=12))
