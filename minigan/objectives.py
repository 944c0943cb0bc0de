"""Adversarial losses, one formula each, on the discriminator's logits."""

from __future__ import annotations

from minigan.nn import functional as F
from minigan.tensor import Tensor


def logistic_real(logits: Tensor) -> Tensor:
    """-mean ln sigmoid(D(x)): the binary cross-entropy of calling these images real.

    For the generator's images this is the non-saturating loss of Goodfellow et al. 2014, sec. 3.
    """
    return F.softplus(-logits).mean()


def logistic_fake(logits: Tensor) -> Tensor:
    """-mean ln(1 - sigmoid(D(x))): the binary cross-entropy of calling these images generated."""
    return F.softplus(logits).mean()
