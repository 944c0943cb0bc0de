"""VAE: its sizes, its bound, its step against PyTorch, what it learns, its state and pictures."""

import copy

import numpy as np
import pytest

import minigan as mg
from minigan import data
from minigan.errors import ConfigError, DataError
from minigan.models.dcgan import DCGAN
from minigan.models.vae import VAE, as_brightness, negative_elbo
from tests.models.against_torch import assert_same_losses, assert_same_update, upcoming_draws

SMALL = {"img_size": 8, "latent_dim": 3, "hidden_dim": 16}


def small(seed=0, **options):
    return VAE(VAE.Config(**(SMALL | options)), seed=seed)


def batch(n=8, size=8, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, (n, channels, size, size)).astype(np.float32),)


def weights(network):
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def total(*networks):
    return sum(p.numel() for network in networks for p in network.parameters())


# --- networks -----------------------------------------------------------------------------------


def test_the_parameter_total_is_that_of_784_400_20():
    vae = VAE(VAE.Config())
    assert total(vae.encoder, vae.generator) == 652_824
    assert len(vae.optimizers["vae"].param_groups[0]["params"]) == len(
        [*vae.encoder.parameters(), *vae.generator.parameters()]
    )


def test_the_dcgan_decoder_is_the_generator_of_dcgan():
    vae = VAE(VAE.Config(decoder="dcgan", latent_dim=20))
    gan = DCGAN(DCGAN.Config(latent_dim=20))
    shapes = {name: p.shape for name, p in vae.generator.named_parameters()}
    assert shapes == {name: p.shape for name, p in gan.generator.named_parameters()}
    # With the same weights they draw the same images.
    gan.generator.load_state_dict(vae.generator.state_dict())
    assert np.array_equal(vae.sample(4, seed=0), gan.sample(4, seed=0))
    body = total(gan.discriminator) - 1025  # the two heads are in the place of one logit
    assert total(vae.encoder) == body + 2 * 20 * 1025


@pytest.mark.parametrize("decoder", ["mlp", "dcgan"])
def test_images_are_the_probabilities_of_the_logits(decoder):
    vae = small(decoder=decoder)
    vae.generator.eval()
    latent = mg.randn(5, 3)
    with mg.no_grad():
        logits = vae.generator.logits(latent).numpy().astype(np.float64)
        images = vae.generator(latent).numpy()
    np.testing.assert_allclose((images + 1) / 2, 1 / (1 + np.exp(-logits)), rtol=0, atol=1e-6)


# --- the bound ----------------------------------------------------------------------------------


class Given:
    """Stands in for a network: what it returns is given."""

    def __init__(self, *outputs):
        self.outputs = outputs

    def __call__(self, x):
        return self.outputs

    def logits(self, latent):
        self.latent = latent
        return self.outputs[0]


def test_the_kl_is_the_expected_difference_of_the_two_log_densities():
    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(0, 1, (2, 2, 4))
    images = mg.zeros(2, 1, 2, 2, dtype=mg.float64)
    encoder = Given(mg.tensor(mean), mg.tensor(log_var))
    decoder = Given(mg.zeros(2, 1, 2, 2, dtype=mg.float64))
    noise = rng.normal(0, 1, (2, 4))
    _, kl = negative_elbo(encoder, decoder, images, mg.tensor(noise))
    z = mean + np.exp(log_var / 2) * rng.normal(0, 1, (400_000, 2, 4))
    ln_q = -0.5 * ((z - mean) ** 2 / np.exp(log_var) + log_var)
    np.testing.assert_allclose(kl.numpy(), (ln_q + 0.5 * z**2).sum(2).mean(0), rtol=0.01)
    np.testing.assert_allclose(
        decoder.latent.numpy(), mean + np.exp(log_var / 2) * noise, rtol=1e-12
    )


def test_the_reconstruction_is_a_sum_over_pixels_for_each_image():
    rng = np.random.default_rng(0)
    p, x = rng.uniform(0.05, 0.95, (2, 3, 1, 2, 2))
    encoder = Given(mg.zeros(3, 4, dtype=mg.float64), mg.zeros(3, 4, dtype=mg.float64))
    decoder = Given(mg.tensor(np.log(p / (1 - p))))
    noise = mg.zeros(3, 4, dtype=mg.float64)
    reconstruction, kl = negative_elbo(encoder, decoder, mg.tensor(2 * x - 1), noise)
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3))
    np.testing.assert_allclose(reconstruction.numpy(), expected, rtol=1e-12)
    assert kl.numpy().tolist() == [0, 0, 0]


def test_sure_and_wrong_logits_give_a_finite_bound_and_gradient():
    logits = mg.tensor(np.array([1e4, -1e4]).reshape(1, 1, 1, 2), requires_grad=True)
    encoder = Given(mg.zeros(1, 2, dtype=mg.float64), mg.zeros(1, 2, dtype=mg.float64))
    images = mg.tensor(np.array([-1.0, 1.0]).reshape(1, 1, 1, 2))
    noise = mg.zeros(1, 2, dtype=mg.float64)
    reconstruction, _ = negative_elbo(encoder, Given(logits), images, noise)
    reconstruction.sum().backward()
    assert float(reconstruction[0]) == pytest.approx(2e4)
    assert logits.grad.numpy().ravel().tolist() == [1.0, -1.0]


def test_black_is_0_and_white_1():
    assert as_brightness(mg.tensor([-1.0, 0.0, 1.0])).numpy().tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("decoder", ["mlp", "dcgan"])
def test_the_bound_is_that_of_eval_mode_image_by_image(decoder):
    vae = small(seed=1, decoder=decoder)
    for i in range(3):
        vae.step(batch(seed=i))
    images = batch(300, seed=5)[0]  # two batches
    before = copy.deepcopy(vae.state_dict())
    bound = vae.bound(images, seed=3)
    assert bound.shape == (300,) and bound.dtype == np.float32
    assert np.array_equal(bound, vae.bound(images, seed=3))
    assert not np.array_equal(bound, vae.bound(images, seed=4))
    assert vae.encoder.training and vae.generator.training
    after = vae.state_dict()
    assert before["random"] == after["random"]
    for name, network in before["networks"].items():
        for key, value in network.items():
            assert np.array_equal(value, after["networks"][name][key])

    mean, log_var = vae.encode(images)
    source = mg.random.Generator(3)
    noise = np.concatenate([mg.randn(n, 3, generator=source).numpy() for n in (256, 44)])
    vae.generator.eval()
    with mg.no_grad():
        drawn = vae.generator(mg.tensor(mean + np.exp(log_var / 2) * noise)).numpy()
    p, x = (drawn.astype(np.float64) + 1) / 2, (images.astype(np.float64) + 1) / 2
    expected = -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3))
    expected += 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(1)
    np.testing.assert_allclose(bound, expected, rtol=1e-4)


def test_the_average_is_what_is_evaluated():
    vae = small(ema=0.5)
    vae.step(batch())
    assert list(vae.networks) == ["encoder", "generator", "encoder_ema", "generator_ema"]
    plain = small()
    plain.step(batch())
    images = batch(4, seed=9)[0]
    for live, averaged in (
        (plain.bound(images), vae.bound(images)),
        (plain.encode(images)[0], vae.encode(images)[0]),
        (plain.reconstruct(images), vae.reconstruct(images)),
    ):
        assert not np.array_equal(live, averaged)


# --- the step -----------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["mlp", "dcgan"])
def test_one_step_equals_pytorchs(torch, decoder):
    """Same weights, same batch, same noise: losses, gradients and updated weights."""
    from tests.models.vae_torch import TorchVAE

    # No ReLU of this seed has an input within rounding of 0, where the two gradients may differ.
    vae = small(seed=6, decoder=decoder, latent_dim=5)
    twin = TorchVAE(torch, vae)
    images = batch(16, seed=6)
    noise = upcoming_draws(vae, lambda: mg.randn(16, 5).numpy())
    expected = twin.step(*images, noise)
    assert_same_losses(vae.step(images), expected)
    assert_same_update(vae, twin.networks)


@pytest.mark.parametrize("decoder", ["mlp", "dcgan"])
def test_a_step_moves_every_parameter_of_both_networks(decoder):
    vae = small(seed=1, decoder=decoder)
    before = {name: weights(net) for name, net in vae.networks.items()}
    losses = vae.step(batch())
    for name, net in vae.networks.items():
        for key, value in weights(net).items():
            assert not np.array_equal(value, before[name][key]), (name, key)
    parts = float(losses["reconstruction"]) + float(losses["kl"])
    assert float(losses["vae_loss"]) == pytest.approx(parts, rel=1e-6)


def test_the_gradient_of_one_step_is_forgotten_before_the_next():
    vae = small(seed=1, lr=1e-30)
    vae.step(batch())
    first = [p.grad.numpy().copy() for p in vae.encoder.parameters()]
    for _ in range(2):
        vae.step(batch())
    last = [p.grad.numpy() for p in vae.encoder.parameters()]
    assert max(np.abs(g).max() for g in last) < 2 * max(np.abs(g).max() for g in first)


def test_it_learns_digits():
    digits = data.load("mnist-embedded")[:512][0]
    unseen = data.load("mnist-embedded", train=False)[:128][0]
    vae = VAE(VAE.Config())
    start = vae.bound(unseen).mean()
    for i in range(100):
        rows = np.arange(128 * i, 128 * (i + 1)) % 512
        losses = vae.step((digits[rows],))
    assert start == pytest.approx(784 * np.log(2), rel=0.02)  # every pixel may be black or white
    assert float(losses["vae_loss"]) < 195  # the mean image, without a code, has 201
    assert vae.bound(unseen).mean() < 200
    assert float(losses["kl"]) > 5  # the code is in use
    error = ((vae.reconstruct(unseen) - unseen) ** 2).mean()
    assert error < 0.9 * ((digits.mean(0) - unseen) ** 2).mean()


# --- state, pictures, bad input -----------------------------------------------------------------


def test_a_state_resumes_bit_for_bit():
    straight, stopped = (small(seed=2, ema=0.9, decoder="dcgan") for _ in range(2))
    for i in range(2):
        straight.step(batch(seed=i))
        stopped.step(batch(seed=i))
    resumed = small(seed=77, ema=0.9, decoder="dcgan")
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    for i in range(2, 4):
        expected, actual = straight.step(batch(seed=i)), resumed.step(batch(seed=i))
        assert {k: float(v) for k, v in expected.items()} == {
            k: float(v) for k, v in actual.items()
        }
    assert np.array_equal(straight.sample(8, seed=0), resumed.sample(8, seed=0))


@pytest.mark.parametrize(
    "decoder, size, channels", [("mlp", 10, 3), ("dcgan", 12, 3), ("mlp", 8, 1)]
)
def test_pictures_of_other_sizes_and_channels(decoder, size, channels):
    vae = small(decoder=decoder, img_size=size, channels=channels)
    images = batch(4, size, channels)[0]
    vae.step((images,))
    labels = np.zeros(4, np.int64)
    assert list(vae.pictures(0)) == ["samples", "interpolation", "manifold"]
    pictures = vae.pictures(0, (images, labels))
    assert list(pictures) == ["samples", "interpolation", "reconstruction", "manifold"]
    for drawn, columns in pictures.values():
        assert drawn.shape[1:] == (channels, size, size) and len(drawn) % columns == 0
        assert np.abs(drawn).max() <= 1
    drawn, columns = pictures["reconstruction"]
    assert columns == 4 and np.array_equal(drawn[:4], images)
    assert np.array_equal(drawn[4:], vae.reconstruct(images))


class Rows:
    """Records the latents that a model is asked to draw, and draws nothing."""

    def __init__(self, monkeypatch, vae, effect):
        self.latents = []
        monkeypatch.setattr(vae, "render", self)
        self.effect = np.asarray(effect, np.float32)

    def __call__(self, latent):
        self.latents.append(np.asarray(latent))
        return (latent * self.effect).reshape(len(latent), 1, 1, -1)


def test_with_two_latents_the_manifold_is_their_plane(monkeypatch):
    vae = small(latent_dim=2)
    rows = Rows(monkeypatch, vae, [1, 2])
    _, columns = vae.manifold(side=3)
    quartile = 0.967422  # the Gaussian's quantile of 5/6
    assert columns == 3
    expected = [[x, y] for y in (quartile, 0, -quartile) for x in (-quartile, 0, quartile)]
    np.testing.assert_allclose(rows.latents[-1], expected, atol=1e-5)


def test_with_more_latents_the_manifold_spans_the_two_that_matter(monkeypatch):
    vae = small(latent_dim=8)
    rows = Rows(monkeypatch, vae, [0, 0.1, 3, 0, 0, 2, 0.1, 0])
    vae.manifold(side=3)
    latent = rows.latents[-1]
    assert np.flatnonzero(latent.any(0)).tolist() == [2, 5]
    np.testing.assert_allclose(latent[0, [2, 5]], [-2 * 0.967422, 2 * 0.967422], rtol=1e-5)


def test_one_latent_makes_a_line():
    drawn, columns = small(latent_dim=1).manifold(side=3)
    assert columns == 3 and np.array_equal(drawn[:3], drawn[3:6])


@pytest.mark.parametrize(
    "options, words",
    [
        ({"decoder": "dcgan", "img_size": 30}, "multiple of 4"),
        ({"hidden_dim": 0}, "hidden_dim is 0"),
        ({"latent_dim": 0}, "latent_dim is 0"),
        ({"bn_eps": 0.0}, "bn_eps is 0.0"),
    ],
)
def test_bad_options_say_what_is_possible(options, words):
    with pytest.raises(ConfigError, match=words):
        VAE.Config(**options)


@pytest.mark.parametrize("method", ["bound", "encode", "reconstruct"])
def test_images_that_do_not_fit_are_refused(method):
    vae = small()
    with pytest.raises(DataError, match="expects images of shape"):
        getattr(vae, method)(batch(size=12)[0])
    with pytest.raises(DataError, match="no images"):
        getattr(vae, method)(batch()[0][:0])
