"""Losses and penalties against their formulas in NumPy, finite differences and PyTorch."""

import itertools

import numpy as np
import pytest

import minigan as mg
from minigan import models, objectives
from minigan.autograd import gradcheck
from minigan.errors import ConfigError
from minigan.nn import functional as F

RNG = np.random.default_rng(5)
LOGITS = 3.0 * RNG.standard_normal((7, 1))
N, SHAPE = 3, (3, 2, 4, 4)
REAL, FAKE = RNG.standard_normal((2, *SHAPE))
WEIGHTS = [0.4 * RNG.standard_normal(s) for s in [(5, 2, 3, 3), (5,), (6, 20), (6,), (1, 6), (1,)]]
MODES = ("vanilla", "minimax", "lsgan", "hinge", "wasserstein")
PENALTIES = ("wgan-gp", "r1", "r2", "r1+r2", "dragan")


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def tensor(array):
    return mg.tensor(array, dtype=mg.float64, requires_grad=True)


# --- losses on logits ---------------------------------------------------------------------------

# name: value and derivative of each element of the mean, as the papers write them
LOSSES = {
    "logistic_real": (lambda d: -np.log(sigmoid(d)), lambda d: sigmoid(d) - 1),
    "logistic_fake": (lambda d: -np.log(1 - sigmoid(d)), sigmoid),
    "minimax_generator": (lambda d: np.log(1 - sigmoid(d)), lambda d: -sigmoid(d)),
    "least_squares_real": (lambda d: (d - 1) ** 2, lambda d: 2 * (d - 1)),
    "least_squares_fake": (lambda d: d**2, lambda d: 2 * d),
    "hinge_real": (lambda d: np.maximum(0, 1 - d), lambda d: -1.0 * (d < 1)),
    "hinge_fake": (lambda d: np.maximum(0, 1 + d), lambda d: 1.0 * (d > -1)),
    "wasserstein_real": (lambda d: -d, lambda d: -np.ones_like(d)),
    "wasserstein_fake": (lambda d: d, np.ones_like),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_are_the_formula(name):
    value, slope = LOSSES[name]
    logits = tensor(LOGITS)
    loss = getattr(objectives, name)(logits)
    loss.backward()
    assert loss.shape == ()
    np.testing.assert_allclose(loss.item(), value(LOGITS).mean(), rtol=1e-12)
    np.testing.assert_allclose(logits.grad.numpy(), slope(LOGITS) / LOGITS.size, rtol=1e-9)


def test_the_margin_is_a_hinge_taken_per_image():
    energies = tensor([0.5, 3.0])
    loss = objectives.margin_fake(energies, 1.0)
    loss.backward()
    assert loss.item() == 0.25  # of the mean energy, 1.75, nothing would be left
    np.testing.assert_array_equal(energies.grad.numpy(), [-0.5, 0.0])


# mode: D on data, D on fakes, G, and the score
MODE_PARTS = {
    "vanilla": ("logistic_real", "logistic_fake", "logistic_real", sigmoid),
    "minimax": ("logistic_real", "logistic_fake", "minimax_generator", sigmoid),
    "lsgan": ("least_squares_real", "least_squares_fake", "least_squares_real", np.asarray),
    "hinge": ("hinge_real", "hinge_fake", "wasserstein_real", np.asarray),
    "wasserstein": ("wasserstein_real", "wasserstein_fake", "wasserstein_real", np.asarray),
}


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_puts_the_right_losses_together(mode):
    loss = objectives.adversarial(mode)
    *parts, score = MODE_PARTS[mode]
    for mine, part in zip((loss.real, loss.fake, loss.generator), parts, strict=True):
        expected = LOSSES[part][0](LOGITS).mean()
        np.testing.assert_allclose(mine(tensor(LOGITS)).item(), expected, rtol=1e-12)
    np.testing.assert_allclose(loss.score(tensor(LOGITS)).detach().numpy(), score(LOGITS))


def test_least_squares_and_cross_entropy_are_pytorchs(torch):
    logits = torch.tensor(LOGITS)
    ones, zeros = torch.ones_like(logits), torch.zeros_like(logits)
    bce, mse = torch.nn.functional.binary_cross_entropy_with_logits, torch.nn.functional.mse_loss
    for mode, theirs in (("vanilla", bce), ("lsgan", mse)):
        loss = objectives.adversarial(mode)
        assert loss.real(tensor(LOGITS)).item() == pytest.approx(theirs(logits, ones).item())
        assert loss.fake(tensor(LOGITS)).item() == pytest.approx(theirs(logits, zeros).item())


@pytest.mark.parametrize("mode", MODES)
def test_sure_logits_neither_overflow_nor_lose_their_gradient(mode):
    loss = objectives.adversarial(mode)
    for part, sure in ((loss.real, -1e4), (loss.fake, 1e4)):
        logits = mg.tensor([[sure]], requires_grad=True)
        value = part(logits)
        value.backward()
        assert value.item() >= 1e4 and abs(logits.grad.item()) >= 1


def test_only_the_saturating_generator_loss_loses_its_gradient_where_the_discriminator_is_sure():
    slopes = {}
    for mode in MODES:
        logits = tensor([[-20.0]])
        objectives.adversarial(mode).generator(logits).backward()
        slopes[mode] = -logits.grad.item()
    assert 0 < slopes.pop("minimax") < 1e-8
    assert min(slopes.values()) > 0.99


# --- penalties on a gradient --------------------------------------------------------------------


def critic(f, x, weights):
    """Convolution, two linear layers; `f` is minigan's or torch's functional."""
    h = f.leaky_relu(f.conv2d(x, weights[0], weights[1], stride=2, padding=1), 0.2)
    h = f.softplus(f.linear(h.flatten(1), weights[2], weights[3]))
    return f.linear(h, weights[4], weights[5])


def penalised(kind, weights):
    """The penalty on that critic, with the same random draws at each call."""
    mg.manual_seed(8)
    real, fake = mg.tensor(REAL, dtype=mg.float64), mg.tensor(FAKE, dtype=mg.float64)
    return objectives.penalty(kind, lambda x: critic(F, x, weights), real, fake)


def torch_penalty(torch, kind, weights):
    """The same in PyTorch, at the points that minigan draws."""
    mg.manual_seed(8)
    share = torch.tensor(mg.rand(N, 1, 1, 1).numpy()).double()
    noise = torch.tensor(mg.rand(*SHAPE).numpy()).double()
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)

    def norms(points):
        points = points.clone().requires_grad_()
        score = critic(torch.nn.functional, points, weights).sum()
        return torch.autograd.grad(score, points, create_graph=True)[0].flatten(1).norm(dim=1)

    r1, r2 = (0.5 * (norms(images) ** 2).mean() for images in (real, fake))
    if kind == "wgan-gp":
        return ((norms(share * real + (1 - share) * fake) - 1) ** 2).mean()
    if kind == "dragan":
        around = real + 0.5 * real.std(correction=0) * noise * share
        return ((norms(around) - 1) ** 2).mean()
    return {"r1": r1, "r2": r2, "r1+r2": r1 + r2}[kind]


@pytest.mark.parametrize("kind", PENALTIES)
def test_a_penalty_and_its_gradient_are_pytorchs(torch, kind):
    weights = [tensor(w) for w in WEIGHTS]
    value = penalised(kind, weights)
    value.backward()
    theirs = [torch.tensor(w, requires_grad=True) for w in WEIGHTS]
    expected = torch_penalty(torch, kind, theirs)
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-9)
    for mine, other in zip(weights, theirs, strict=True):
        if other.grad is None:  # the last bias: dD/dx knows nothing of it
            assert mine.grad is None or not mine.grad.numpy().any()
            continue
        np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-7, atol=1e-9)
        assert np.abs(mine.grad.numpy()).max() > 1e-3  # a penalty without it would be a constant


@pytest.mark.parametrize("kind", PENALTIES)
def test_a_penaltys_gradient_is_its_finite_difference(kind):
    """The second-order term that hand-written penalties leave out."""
    assert gradcheck(lambda *w: penalised(kind, w), [tensor(w) for w in WEIGHTS], directions=2)


@pytest.mark.parametrize("kind", PENALTIES)
def test_a_penalty_where_the_gradient_is_zero_is_no_nan(kind):
    """A critic with a zero last layer is flat: sqrt has an infinite slope there."""
    flat = [tensor(w if i < 4 else 0 * w) for i, w in enumerate(WEIGHTS)]
    value = penalised(kind, flat)
    value.backward()
    assert value.item() == pytest.approx(1.0 if kind in ("wgan-gp", "dragan") else 0.0, abs=1e-5)
    for w in flat:
        assert w.grad is None or np.isfinite(w.grad.numpy()).all()


@pytest.mark.parametrize("kind", PENALTIES)
def test_a_penalty_leaves_no_gradient_at_the_images(kind):
    """The fakes' graph leads back into the generator, which the penalty is none of."""
    weights = [tensor(w) for w in WEIGHTS]
    real, fake = tensor(REAL), tensor(FAKE)
    objectives.penalty(kind, lambda x: critic(F, x, weights), real, fake * 1.0).backward()
    assert real.grad is None and fake.grad is None
    assert weights[0].grad is not None


def test_the_penalty_of_wgan_gp_is_taken_between_real_and_fake_and_of_r1_at_the_data():
    seen = []

    def watching(x):
        seen.append(x.detach().numpy())
        return x.flatten(1).sum(1)

    real, fake = mg.ones(6, 1, 2, 2), mg.full((6, 1, 2, 2), -1.0)
    for kind in ("wgan-gp", "r1", "r2"):
        objectives.penalty(kind, watching, real, fake)
    between, at_data, at_fakes = seen
    assert np.abs(between).max() < 1
    assert all(np.unique(image).size == 1 for image in between)  # one share per image ...
    assert np.unique(between).size == 6  # ... and another for each
    assert np.array_equal(at_data, real.numpy()) and np.array_equal(at_fakes, fake.numpy())


# --- other terms --------------------------------------------------------------------------------


@pytest.mark.parametrize("n, k", [(2, 3), (5, 4), (9, 2)])
def test_pulling_away_is_the_double_loop(n, k):
    codes = RNG.standard_normal((n, k))
    expected = 0.0
    for i, j in itertools.permutations(range(n), 2):
        lengths = np.linalg.norm(codes[i]) * np.linalg.norm(codes[j])
        expected += (codes[i] @ codes[j] / lengths) ** 2
    expected /= n * (n - 1)
    value = objectives.pulling_away(tensor(codes)).item()
    assert value == pytest.approx(expected, rel=1e-9) and value >= 0
    assert gradcheck(objectives.pulling_away, [tensor(codes)])


def test_pulling_away_squares_the_cosine():
    """Opposed codes are as alike as equal ones; without the square they would be rewarded."""
    for codes in ([[1.0, 0.0], [-2.0, 0.0]], [[1.0, 0.0], [2.0, 0.0]]):
        assert objectives.pulling_away(tensor(codes)).item() == pytest.approx(1.0)
    assert objectives.pulling_away(tensor(np.eye(4))).item() == pytest.approx(0.0, abs=1e-11)


def test_pulling_away_is_never_negative_and_finite_for_codes_of_length_zero():
    codes = tensor(np.zeros((4, 3)))
    value = objectives.pulling_away(codes)
    value.backward()
    assert np.isfinite(codes.grad.numpy()).all()
    assert value.item() >= 0


def test_gaussian_nll_is_pytorchs_normal_distribution(torch):
    codes, mean, log_sigma = RNG.standard_normal((3, 6, 2))
    mine = [tensor(a) for a in (codes, mean, log_sigma)]
    value = objectives.gaussian_nll(*mine)
    value.backward()
    theirs = [torch.tensor(a, requires_grad=True) for a in (codes, mean, log_sigma)]
    normal = torch.distributions.Normal(theirs[1], theirs[2].exp())
    expected = -normal.log_prob(theirs[0]).sum(1).mean()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10)


def test_gaussian_nll_of_a_unit_gaussian_is_half_the_square_and_a_constant():
    zeros = mg.zeros(4, 2)
    value = objectives.gaussian_nll(mg.ones(4, 2), zeros, zeros).item()
    assert value == pytest.approx(2 * (0.5 + 0.5 * np.log(2 * np.pi)), rel=1e-6)


# --- names --------------------------------------------------------------------------------------


def test_unknown_names_end_in_one_line_with_the_known_ones():
    with pytest.raises(ConfigError, match="unknown gan_mode 'relativistic'") as mode:
        objectives.adversarial("relativistic")
    with pytest.raises(ConfigError, match="unknown penalty 'gp'") as kind:
        objectives.penalty("gp", mg.ones, mg.ones(1, 1, 2, 2), mg.ones(1, 1, 2, 2))
    for error, names in ((mode, MODES), (kind, PENALTIES)):
        line = str(error.value)
        assert "\n" not in line and all(name in line for name in names)


@pytest.mark.parametrize("model, size", [("gan", 8), ("acgan", 32)])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_trains_with_every_penalty(model, size, mode):
    images = np.random.default_rng(0).uniform(-1, 1, (4, 1, size, size)).astype(np.float32)
    results = []
    for kind in ("none", *PENALTIES):
        options = {"penalty": kind, "penalty_weight": 0.5, "gan_mode": mode, "img_size": size}
        gan = models.create(model, seed=1, **options)
        losses = gan.step((images, np.arange(4)))
        assert all(np.isfinite(float(value)) for value in losses.values()), kind
        for p in gan.discriminator.parameters():  # where a NaN of the gradient would arrive
            assert np.isfinite(p.detach().numpy()).all(), kind
        results.append(float(losses["d_loss"]))
    assert len(set(results)) == len(results)


@pytest.mark.parametrize("kind", ["wgan-gp", "dragan"])
@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3, 3)])
def test_penalties_look_at_one_point_for_each_example_image_or_features(kind, shape):
    real, fake = mg.zeros(*shape), mg.ones(*shape)
    real[::2] = 0.5  # some spread, for dragan
    seen = []

    def critic(points):
        seen.append(points.detach().numpy())
        return points.flatten(1).sum(1)

    objectives.penalty(kind, critic, real, fake)
    (points,) = seen
    assert points.shape == shape
    if kind == "wgan-gp":  # on the way from real to fake, as far for all of an example
        way = ((points - real.numpy()) / (1 - real.numpy())).reshape(4, -1)
        assert np.ptp(way, axis=1).max() < 1e-6 and len(np.unique(way[:, 0].round(6))) == 4
