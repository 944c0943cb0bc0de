"""InfoGAN: its sizes, its step against PyTorch, who learns from what, its codes and pictures."""

import copy
import math

import numpy as np
import pytest

import minigan as mg
from minigan.errors import ConfigError, DataError
from minigan.models import base
from minigan.models.infogan import InfoGAN
from tests.models.against_torch import assert_same_losses, assert_same_update, upcoming_draws

SMALL = {"img_size": 8, "latent_dim": 6}


def small(seed=0, **options):
    return InfoGAN(InfoGAN.Config(**(SMALL | options)), seed=seed)


def batch(n=8, size=8, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, (n, channels, size, size)).astype(np.float32),)


def weights(network):
    return {name: p.detach().numpy().copy() for name, p in network.named_parameters()}


def gradients(network):
    return {name: p.grad.numpy().copy() for name, p in network.named_parameters()}


def same(a, b):
    return list(a) == list(b) and all(np.array_equal(a[key], b[key]) for key in a)


def total(network):
    return sum(p.numel() for p in network.parameters())


# --- networks -----------------------------------------------------------------------------------


def test_parameter_totals_are_the_authors():
    gan = InfoGAN(InfoGAN.Config())
    assert total(gan.generator) == 6_652_481
    assert total(gan.discriminator.body) == 6_558_144
    assert total(gan.discriminator.adv_layer) == 1_025
    assert total(gan.recognition) == 133_262
    # A sigma that is held at 1 needs no outputs: 2 rows of 128 weights and a bias less.
    fixed = InfoGAN(InfoGAN.Config(fix_sigma=True))
    assert total(fixed.recognition) == 133_262 - 2 * 129


def test_weights_start_as_the_authors():
    gan = InfoGAN(InfoGAN.Config(), seed=3)
    for network in gan.networks.values():
        for name, value in weights(network).items():
            if name.endswith("bias"):
                assert not value.any(), name
            elif value.ndim == 1:
                assert abs(value.mean() - 1) < 0.01, name
            if value.size > 100 and not name.endswith("bias"):
                assert value.std() == pytest.approx(0.02, rel=0.25), name


def test_each_optimizer_has_its_own_rate_and_q_learns_with_the_discriminator():
    gan = small(lr=3e-4, lr_g=2e-3)
    assert list(gan.optimizers) == ["generator", "discriminator"]  # no third one for the codes
    groups = {name: o.param_groups[0] for name, o in gan.optimizers.items()}
    assert groups["generator"]["lr"] == 2e-3 and groups["discriminator"]["lr"] == 3e-4
    critics = [*gan.discriminator.parameters(), *gan.recognition.parameters()]
    for group, expected in zip(groups.values(), (gan.generator.parameters(), critics), strict=True):
        assert [id(p) for p in group["params"]] == [id(p) for p in expected]


def test_the_slope_is_that_of_every_leaky_relu():
    gan = small(slope=0.01)
    slopes = [
        layer.negative_slope
        for network in gan.networks.values()
        for layer in network.modules()
        if isinstance(layer, mg.nn.LeakyReLU)
    ]
    assert slopes == [0.01] * 4


# --- the step -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"img_size": 12, "latent_dim": 62},
        {"fix_sigma": True, "lambda_continuous": 1.0, "slope": 0.01},
        {"n_classes": 4, "code_dim": 3, "channels": 3, "lambda_categorical": 0.5},
    ],
)
def test_one_step_equals_pytorchs(torch, options):
    """Same weights, same batch, same noise, codes and categories: losses, gradients, weights."""
    from tests.models.infogan_torch import TorchInfoGAN

    gan = small(seed=4, **options)
    twin, config = TorchInfoGAN(gan), gan.config
    images = batch(16, config.img_size, config.channels)

    def draw():
        uniform = mg.rand(16, config.latent_dim + config.code_dim).numpy()
        return uniform, mg.randint(0, config.n_classes, (16,)).numpy()

    uniform, categories = upcoming_draws(gan, draw)
    noise, codes = np.split(2 * uniform - 1, [config.latent_dim], axis=1)
    expected = twin.step(*images, noise, codes, categories)
    assert_same_losses(gan.step(images), expected)
    # Four images: one value over a kink is more of a gradient than in other tests.
    assert_same_update(gan, twin.networks, gradient_atol=2e-2, unclear=0.1)


def test_a_step_moves_every_parameter():
    gan = small(seed=1)
    before = {name: weights(network) for name, network in gan.networks.items()}
    losses = gan.step(batch())
    for name, network in gan.networks.items():
        for key, value in weights(network).items():
            assert not np.array_equal(value, before[name][key]), (name, key)
    assert list(losses) == [
        "d_loss", "g_loss", "mi_categorical", "mi_continuous", "d_x", "d_g_z"
    ]  # fmt: skip


def test_the_generator_step_leaves_the_others_alone(monkeypatch):
    gan = small(seed=1)
    critics = gan.discriminator, gan.recognition
    before = [weights(network) for network in critics]
    monkeypatch.setattr(gan.optimizers["discriminator"], "step", lambda: None)
    seen, original = [], gan.optimizers["generator"].step

    def step():
        seen.extend(p.grad for network in critics for p in network.parameters())
        original()

    monkeypatch.setattr(gan.optimizers["generator"], "step", step)
    gan.step(batch())
    assert seen and all(grad is None for grad in seen)
    assert all(same(weights(net), old) for net, old in zip(critics, before, strict=True))


def test_the_discriminator_step_reaches_no_generator_gradient(monkeypatch):
    gan = small(seed=1)
    after, original = {}, gan.optimizers["generator"].step

    def step():
        original()
        after.update(gradients(gan.generator))

    monkeypatch.setattr(gan.optimizers["generator"], "step", step)
    gan.step(batch())
    assert same(gradients(gan.generator), after)


def test_both_losses_hold_the_information_term():
    """Against the same step without it: the gradients of G, of D's body and of Q are others."""
    with_term, without = small(seed=1), small(seed=1, lambda_categorical=0, lambda_continuous=0)
    rows = [gan.step(batch()) for gan in (with_term, without)]
    assert float(rows[0]["mi_categorical"]) != 0  # it is measured in any case
    for name in ("generator", "discriminator", "recognition"):
        here, there = (gradients(gan.networks[name]) for gan in (with_term, without))
        assert not same(here, there), name
    assert not any(grad.any() for grad in gradients(without.recognition).values())


@pytest.mark.parametrize("unused, name", [("lambda_categorical", "category"),
                                          ("lambda_continuous", "code")])  # fmt: skip
def test_each_weight_is_that_of_its_codes(unused, name):
    gan = small(seed=1, **{unused: 0.0})
    gan.step(batch())
    other = "code" if name == "category" else "category"
    assert not getattr(gan.recognition, name).weight.grad.numpy().any()
    assert getattr(gan.recognition, other).weight.grad.numpy().any()


def test_labels_are_never_used():
    assert not InfoGAN.needs_labels
    (images,) = batch()
    runs = []
    for labels in (None, np.zeros(8, np.int64), np.full(8, 99)):
        gan = small(seed=1)
        gan.step((images, labels))
        runs.append(weights(gan.recognition))
    gan = small(seed=1)
    gan.step((images,))
    assert all(same(run, weights(gan.recognition)) for run in runs)


def test_q_learns_from_generated_images_only():
    """Nobody knows the codes of real images: other ones leave Q's gradient and statistics."""
    ends = []
    for seed in (0, 5):
        gan = small(seed=1)
        gan.step(batch(seed=seed))
        state = {k: v.numpy().copy() for k, v in gan.recognition.named_buffers()}
        ends.append(gradients(gan.recognition) | state)
    assert same(*ends) and any("running_mean" in key for key in ends[0])


# --- the bound ----------------------------------------------------------------------------------


def test_the_bounds_are_entropies_less_what_surprises_q(monkeypatch):
    """A Q that knows all: ln K for the category, and the height of a narrow Gaussian each code."""
    gan = small(n_classes=4, code_dim=3)
    asked = {}

    def all_knowing(features):
        logits = 50.0 * mg.nn.functional.one_hot(asked["categories"], 4).float()
        codes = asked["latent"][:, 6:]
        mean = codes + 0.0 * features[:, :3]
        return mg.models.infogan.Posterior(logits, mean, mg.full((8, 3), math.log(0.1)))

    original = gan.generator.forward

    def forward(latent, categories):
        asked.update(latent=latent, categories=categories)
        return original(latent, categories)

    monkeypatch.setattr(gan.generator, "forward", forward)
    monkeypatch.setattr(gan.recognition, "forward", all_knowing)
    losses = gan.step(batch())
    assert float(losses["mi_categorical"]) == pytest.approx(math.log(4))
    height = math.log(2) - math.log(0.1) - 0.5 * math.log(2 * math.pi)
    assert float(losses["mi_continuous"]) == pytest.approx(3 * height, rel=1e-5)


def test_an_untrained_q_knows_nothing():
    gan = InfoGAN(InfoGAN.Config(img_size=8), seed=1)
    losses = gan.step(batch(32))
    assert abs(float(losses["mi_categorical"])) < 0.15
    assert -1.2 < float(losses["mi_continuous"]) < 0  # a unit Gaussian for a uniform code


def test_the_generator_learns_to_show_its_codes_and_q_to_read_them():
    """On bars at four places. A softmax before the cross-entropy would end at ln 4 - 0.744 = 0.642.

    What categories mean on real images differs between seeds, and takes a training to judge: that
    is left to `minigan evaluate`.
    """
    rng = np.random.default_rng(0)
    gan = small(seed=0, n_classes=4, code_dim=1)
    for _ in range(100):
        images = rng.uniform(-1.0, -0.8, (32, 1, 8, 8)).astype(np.float32)
        places = rng.integers(0, 4, 32)
        for column in range(2):
            images[np.arange(32), 0, :, 2 * places + column] += 1.8
        losses = gan.step((images,))
    assert 0.9 < float(losses["mi_categorical"]) < math.log(4)

    asked = np.arange(80) % 4
    wanted = np.linspace(-1, 1, 80, dtype=np.float32)[:, None]
    drawn = gan.sample(80, labels=asked, codes=wanted, seed=0)
    assert (gan.categories(drawn) == asked).mean() > 0.85
    assert np.corrcoef(gan.codes_of(drawn)[:, 0], wanted[:, 0])[0, 1] > 0.75


# --- images of codes, codes of images -----------------------------------------------------------


def test_noise_and_codes_are_uniform():
    latent = small(code_dim=3).draw_latent(2000).numpy()
    assert latent.shape == (2000, 9) and latent.dtype == np.float32
    assert -1 <= latent.min() < -0.99 and 0.99 < latent.max() < 1
    assert abs(latent.mean()) < 0.02 and latent.std() == pytest.approx(1 / math.sqrt(3), rel=0.02)


def test_categories_and_codes_can_be_asked_for():
    gan = small(seed=1)
    gan.step(batch())
    codes = np.zeros((4, 2))
    first = gan.sample(4, labels=[1] * 4, codes=codes, seed=0)
    assert np.array_equal(first, gan.sample(4, labels=[1] * 4, codes=codes, seed=0))
    assert not np.array_equal(first, gan.sample(4, labels=[1] * 4, codes=codes, seed=1))
    assert not np.array_equal(first, gan.sample(4, labels=[2] * 4, codes=codes, seed=0))
    for i in range(2):
        moved = codes.copy()
        moved[0, i] = 1.0
        images = gan.sample(4, labels=[1] * 4, codes=moved, seed=0)
        assert not np.array_equal(images[0], first[0]) and np.array_equal(images[1:], first[1:])


def test_codes_that_nobody_asks_for_are_drawn_and_categories_come_in_turn(monkeypatch):
    monkeypatch.setattr(base, "_SAMPLING_BATCH", 8)  # not a multiple of the 5 categories
    gan = small(seed=1, n_classes=5)
    latents, asked = [], []
    original = gan.generator.forward

    def forward(latent, categories):
        latents.append(latent.numpy())
        asked.append(categories.numpy())
        return original(latent, categories)

    monkeypatch.setattr(gan.generator, "forward", forward)
    gan.sample(20, seed=0)
    assert np.concatenate(asked).tolist() == [0, 1, 2, 3, 4] * 4
    assert len(np.unique(np.concatenate(latents)[:, 6:])) == 40
    wanted = np.linspace(-1, 1, 40).reshape(20, 2)
    gan.sample(20, codes=wanted, seed=0)
    given = np.concatenate(latents[3:])
    np.testing.assert_allclose(given[:, 6:], wanted, atol=1e-7)
    assert np.array_equal(given[:, :6], np.concatenate(latents[:3])[:, :6])


def test_codes_are_read_in_eval_mode_image_by_image_and_change_nothing():
    gan = small(seed=1)
    for i in range(3):
        gan.step(batch(seed=i))
    (images,) = batch(300, seed=9)  # two batches
    before = copy.deepcopy(gan.state_dict())
    found, codes = gan.categories(images), gan.codes_of(images)
    assert found.shape == (300,) and found.dtype == np.int64 and found.min() >= 0
    assert found.max() < 10 and codes.shape == (300, 2) and codes.dtype == np.float32
    for row in (0, 255, 256, 299):
        assert gan.categories(images[row : row + 1])[0] == found[row]
        np.testing.assert_allclose(gan.codes_of(images[row : row + 1])[0], codes[row], atol=1e-5)
    assert gan.discriminator.training and gan.recognition.training
    after = gan.state_dict()
    assert before["random"] == after["random"]
    for name, state in before["networks"].items():
        assert same(state, after["networks"][name])


@pytest.mark.parametrize("method", ["categories", "codes_of"])
def test_images_that_do_not_fit_are_refused(method):
    gan = small()
    with pytest.raises(DataError, match="expects images of shape"):
        getattr(gan, method)(batch(size=12)[0])
    with pytest.raises(DataError, match="no images"):
        getattr(gan, method)(batch()[0][:0])


def test_codes_and_categories_that_do_not_fit_are_refused():
    gan = small()
    with pytest.raises(ConfigError, match=r"4 images need codes of shape \(4, 2\); got \(4, 3\)"):
        gan.sample(4, codes=np.zeros((4, 3)))
    with pytest.raises(ConfigError, match=r"label 10 is none of 0\.\.9"):
        gan.sample(2, labels=[3, 10])
    with pytest.raises(ConfigError, match="cannot sample 0 images"):
        gan.sample(0)


# --- pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"img_size": 12, "channels": 3, "n_classes": 3, "code_dim": 3}, {"code_dim": 1}],
)
def test_pictures(options):
    gan = small(**options)
    config = gan.config
    gan.step(batch(4, config.img_size, config.channels))
    pictures = gan.pictures(seed=0)
    sweeps = [f"c{i + 1}" for i in range(config.code_dim)]
    assert list(pictures) == ["samples", *sweeps, "interpolation"]
    for name, (images, columns) in pictures.items():
        assert images.shape == (
            10 * config.n_classes, config.channels, config.img_size, config.img_size
        )  # fmt: skip
        assert columns == (config.n_classes if name == "samples" else 10)
        assert np.abs(images).max() <= 1


class Rendered:
    """Records what a model is asked to render, and renders nothing."""

    def __init__(self, monkeypatch, gan):
        monkeypatch.setattr(gan, "render", self)

    def __call__(self, latent, labels=None, codes=None):
        self.latent, self.labels, self.codes = latent, labels, codes
        return np.zeros((len(latent), 1, 8, 8), np.float32)


def test_a_sweep_moves_one_code_and_holds_the_rest_of_its_row(monkeypatch):
    gan = small(n_classes=3, code_dim=2)
    rendered = Rendered(monkeypatch, gan)
    _, columns = gan.code_sweep(1, seed=0)
    assert columns == 10
    assert rendered.labels.reshape(3, 10).tolist() == [[k] * 10 for k in range(3)]
    codes, latent = rendered.codes.reshape(3, 10, 2), rendered.latent.reshape(3, 10, -1)
    assert not codes[:, :, 0].any()
    np.testing.assert_allclose(codes[:, :, 1], [np.linspace(-2, 2, 10)] * 3, rtol=1e-6)
    assert (latent == latent[:, :1]).all() and not np.array_equal(latent[0], latent[1])


def test_an_interpolation_keeps_its_category_and_moves_noise_and_codes(monkeypatch):
    gan = small(n_classes=3)
    rendered = Rendered(monkeypatch, gan)
    gan.interpolation(seed=0)
    assert rendered.labels.reshape(3, 10).tolist() == [[k] * 10 for k in range(3)]
    assert rendered.codes is None
    path = rendered.latent.reshape(3, 10, 8)
    ends = gan.draw_latent(6, mg.random.Generator(0)).numpy()
    np.testing.assert_allclose(path[:, 0], ends[:3], atol=1e-6)
    np.testing.assert_allclose(path[:, -1], ends[3:], atol=1e-6)
    assert (np.abs(np.diff(path, axis=1)).max((0, 1)) > 0).all()


# --- options, state -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"gan_mode": "lsgan"}, {"gan_mode": "hinge"}, {"penalty": "r1"}]
)
def test_the_adversarial_loss_can_be_chosen(options):
    plain, chosen = small(seed=1).step(batch()), small(seed=1, **options).step(batch())
    assert np.isfinite(float(chosen["d_loss"]))
    assert float(plain["d_loss"]) != float(chosen["d_loss"])


def test_the_weight_of_a_penalty_counts():
    losses = [
        float(small(seed=1, penalty="r1", penalty_weight=w).step(batch())["d_loss"])
        for w in (0.0, 1.0, 2.0)
    ]
    assert losses[1] > losses[0]
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-3)


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
    (images,) = batch(16, seed=8)
    assert np.array_equal(straight.codes_of(images), resumed.codes_of(images))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"img_size": 30}, "multiple of 4"),
        ({"code_dim": 0}, "code_dim is 0"),
        ({"n_classes": 1}, "n_classes is 1"),
        ({"lr_g": 0.0}, "lr_g is 0.0"),
        ({"slope": 1.0}, "slope is 1.0"),
        ({"bn_eps": 0.0}, "bn_eps is 0.0"),
        ({"lambda_categorical": -1.0}, "lambda_categorical is -1.0"),
        ({"lambda_continuous": float("nan")}, "lambda_continuous is nan"),
    ],
)
def test_bad_options_say_what_is_possible(options, words):
    with pytest.raises(ConfigError, match=words):
        InfoGAN.Config(**options)
