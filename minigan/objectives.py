"""Adversarial losses and gradient penalties, one formula each, on the discriminator's logits.

A loss is the mean over the batch. D's outputs are logits: no sigmoid stands before any of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from minigan import creation
from minigan.autograd import grad
from minigan.errors import ConfigError
from minigan.nn import functional as F
from minigan.tensor import Tensor

Critic = Callable[[Tensor], Tensor]  # images [N,C,H,W] -> logits, N of them


class Adversarial(NamedTuple):
    """What the two players minimise: D real(D(x)) + fake(D(G(z))), G generator(D(G(z)))."""

    real: Critic
    fake: Critic
    generator: Critic
    score: Critic  # how real D finds an image, for people: a probability where D gives one


def logistic_real(logits: Tensor) -> Tensor:
    """-mean ln sigmoid(D(x)): the binary cross-entropy of calling these images real.

    For the generator's images this is the non-saturating loss of Goodfellow et al. 2014, sec. 3.
    """
    return F.softplus(-logits).mean()


def logistic_fake(logits: Tensor) -> Tensor:
    """-mean ln(1 - sigmoid(D(x))): the binary cross-entropy of calling these images generated."""
    return F.softplus(logits).mean()


def minimax_generator(logits: Tensor) -> Tensor:
    """mean ln(1 - sigmoid(D(G(z)))): G's loss in the two-player value function (Goodfellow et al.
    2014, eq. 1). Its gradient vanishes where D is sure, which is why the other form is used."""
    return -F.softplus(logits).mean()


def least_squares_real(outputs: Tensor) -> Tensor:
    """mean (D(x) - 1)^2 (Mao et al. 2017, eq. 9 with b = c = 1; its 1/2 is left to the caller)."""
    return ((outputs - 1.0) ** 2).mean()


def least_squares_fake(outputs: Tensor) -> Tensor:
    """mean D(G(z))^2 (Mao et al. 2017, eq. 9 with a = 0)."""
    return (outputs**2).mean()


def hinge_real(logits: Tensor) -> Tensor:
    """mean max(0, 1 - D(x)) (Lim & Ye 2017; Miyato et al. 2018, eq. 16)."""
    return F.relu(1.0 - logits).mean()


def hinge_fake(logits: Tensor) -> Tensor:
    """mean max(0, 1 + D(G(z)))."""
    return F.relu(1.0 + logits).mean()


def wasserstein_real(scores: Tensor) -> Tensor:
    """-mean D(x): D estimates E D(x) - E D(G(z)) from below (Arjovsky et al. 2017, eq. 2). Only
    a distance if D is Lipschitz: clip its weights or penalise its gradient."""
    return -scores.mean()


def wasserstein_fake(scores: Tensor) -> Tensor:
    """mean D(G(z))."""
    return scores.mean()


def margin_fake(energies: Tensor, margin: float) -> Tensor:
    """mean max(0, m - E(G(z))), the hinge taken per image (Zhao et al. 2017, eq. 1)."""
    return F.relu(margin - energies).mean()


def _as_it_is(outputs: Tensor) -> Tensor:
    return outputs


_LOSSES = {
    "vanilla": Adversarial(logistic_real, logistic_fake, logistic_real, F.sigmoid),
    "minimax": Adversarial(logistic_real, logistic_fake, minimax_generator, F.sigmoid),
    "lsgan": Adversarial(least_squares_real, least_squares_fake, least_squares_real, _as_it_is),
    "hinge": Adversarial(hinge_real, hinge_fake, wasserstein_real, _as_it_is),
    "wasserstein": Adversarial(wasserstein_real, wasserstein_fake, wasserstein_real, _as_it_is),
}


def adversarial(gan_mode: str) -> Adversarial:
    """The losses called `gan_mode`. Raises ConfigError for a name that is none."""
    if gan_mode not in _LOSSES:
        raise ConfigError(f"unknown gan_mode {gan_mode!r}: use one of {', '.join(_LOSSES)}")
    return _LOSSES[gan_mode]


# --- penalties on the discriminator's gradient --------------------------------------------------
#
# Each contains dD/dx, and is itself differentiated with respect to D's weights: the gradient of a
# gradient. `create_graph` records the inner backward pass, so that the outer one runs through it.


def _squared_norms(critic: Critic, images: Tensor) -> Tensor:
    """||dD/dx||^2 [N] at each of `images`, differentiable with respect to the critic's weights."""
    points = images.detach().requires_grad_()
    (gradient,) = grad(critic(points).sum(), [points], create_graph=True)
    return (gradient**2).flatten(1).sum(1)


def _distance_of_norm_from_one(squared_norms: Tensor) -> Tensor:
    # The root has an infinite slope at 0; without the small number a zero gradient makes NaN.
    return (((squared_norms + 1e-12) ** 0.5 - 1.0) ** 2).mean()


def _one_per_example(examples: Tensor) -> Tensor:
    """Numbers ~ U(0, 1), one for each of [N, ...], which may be images or features."""
    ones = (1,) * (examples.ndim - 1)
    return creation.rand(examples.shape[0], *ones, device=examples.device)


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """E (||dD/dx^|| - 1)^2 at x^ = e x + (1 - e) G(z), e ~ U(0, 1) per image (Gulrajani et al.
    2017, eq. 3)."""
    share = _one_per_example(real)
    points = share * real.detach() + (1.0 - share) * fake.detach()
    return _distance_of_norm_from_one(_squared_norms(critic, points))


def r1_penalty(critic: Critic, real: Tensor) -> Tensor:
    """1/2 E ||dD/dx||^2 on data (Mescheder et al. 2018, eq. 9)."""
    return 0.5 * _squared_norms(critic, real).mean()


def r2_penalty(critic: Critic, fake: Tensor) -> Tensor:
    """1/2 E ||dD/dx||^2 on generated images (Mescheder et al. 2018, eq. 10)."""
    return 0.5 * _squared_norms(critic, fake).mean()


def dragan_penalty(critic: Critic, real: Tensor) -> Tensor:
    """E (||dD/dx|| - 1)^2 around the data: x + a s u / 2, s the data's standard deviation, u and
    a ~ U(0, 1) per pixel and per image (Kodali et al. 2017, sec. 3.2)."""
    data = real.detach()
    spread = ((data - data.mean()) ** 2).mean() ** 0.5
    share = _one_per_example(real)
    noise = creation.rand(*real.shape, device=real.device)
    return _distance_of_norm_from_one(_squared_norms(critic, data + 0.5 * spread * noise * share))


def penalty(
    kind: str, critic: Critic, real: Tensor, fake: Tensor, critic_of_fakes: Critic | None = None
) -> Tensor:
    """The penalty called `kind`. Raises ConfigError for a name that is none.

    critic_of_fakes: how D sees the generated images, where they have other labels than the data.
    """
    of_fakes = critic_of_fakes or critic
    if kind == "wgan-gp":
        return gradient_penalty(critic, real, fake)
    if kind == "r1":
        return r1_penalty(critic, real)
    if kind == "r2":
        return r2_penalty(of_fakes, fake)
    if kind == "r1+r2":
        return r1_penalty(critic, real) + r2_penalty(of_fakes, fake)
    if kind == "dragan":
        return dragan_penalty(critic, real)
    raise ConfigError(f"unknown penalty {kind!r}: use wgan-gp, r1, r2, r1+r2 or dragan")


def pulling_away(codes: Tensor) -> Tensor:
    """1/(N(N-1)) sum over i != j of cos(S_i, S_j)^2 for codes [N, K]: small when the images of a
    batch are encoded in different directions (Zhao et al. 2017, eq. 4)."""
    n = codes.shape[0]
    squares = (codes**2).sum(1, keepdim=True)
    unit = codes / (squares + 1e-12) ** 0.5
    cosines = unit @ unit.transpose(0, 1)
    # cos(S_i, S_i) is 1, but for a code of length 0.
    own = (unit**2).sum(1)
    return ((cosines**2).sum() - (own**2).sum()) / float(n * (n - 1))


def gaussian_nll(codes: Tensor, mean: Tensor, log_sigma: Tensor) -> Tensor:
    """-E ln N(c; mean, exp(log_sigma)), summed over the codes of an image: with the entropy of c
    it bounds their mutual information (Chen et al. 2016, eq. 5)."""
    scaled = (codes - mean) * (-log_sigma).exp()
    per_code = 0.5 * scaled**2 + log_sigma + 0.5 * math.log(2.0 * math.pi)
    return per_code.sum(1).mean()
