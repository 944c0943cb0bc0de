"""The gradient of a gradient penalty through every layer, against PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_parity import CASES, Case, assert_close, drawn, named, pair

import minigan as mg
from minigan import nn
from minigan.autograd import grad

# Integer inputs have no gradient to take the gradient of.
TWICE = [case for case in CASES if case.labels == 0]


def penalty_gradients(
    layer: Any, tensor: Any, differentiate: Any, case: Case, x: np.ndarray
) -> list[Any]:
    """[d penalty / d each of input, upstream and parameters]; zeros where nothing depends."""
    rng = np.random.default_rng(9)
    leaf = tensor(x, requires_grad=True)
    output = layer(leaf * 1, **case.call)  # not the leaf itself: PyTorch's inplace layers refuse it
    up = tensor(rng.standard_normal(tuple(output.shape)), requires_grad=True)
    (first,) = differentiate(output, [leaf], [up], create_graph=True)
    weights = tensor(rng.standard_normal(case.shape))
    penalty = (first * first * weights).sum()
    wanted = [leaf, up, *layer.parameters()]
    if not penalty.requires_grad:
        return [None] * len(wanted)
    return list(differentiate(penalty, wanted, allow_unused=True))


def compare(torch: Any, ours: Any, theirs: Any, case: Case) -> None:
    x = drawn(case, 4)
    mine = penalty_gradients(ours, mg.tensor, grad, case, x)
    other = penalty_gradients(theirs, torch.tensor, torch.autograd.grad, case, x)
    for i, (value, want) in enumerate(zip(mine, other, strict=True)):
        if value is None or want is None:  # "takes no part" and "zeros" say the same
            for side in (value, want):
                assert side is None or not np.any(side.detach().numpy()), f"gradient {i}"
        else:
            assert_close(value.detach().numpy(), want.detach().numpy(), 1e-8, f"gradient {i}")


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(**named(TWICE))
def test_gradient_penalty(torch, case: Case, training: bool):
    ours, theirs = (layer.train(training) for layer in pair(torch, case))
    compare(torch, ours, theirs, case)


NORMALISED = [
    Case("linear", lambda nn: nn.Linear(6, 5), (4, 6)),
    Case("conv", lambda nn: nn.Conv2d(4, 6, 3, 2, 1), (3, 4, 7, 6)),
    Case("transposed", lambda nn: nn.ConvTranspose2d(4, 6, 4, 2, 1), (3, 4, 3, 3)),
]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(**named(NORMALISED))
def test_gradient_penalty_with_spectral_norm(torch, case: Case, training: bool):
    ours, theirs = (
        library.utils.spectral_norm(layer).train(training)
        for library, layer in zip((nn, torch.nn), pair(torch, case), strict=True)
    )
    ours.load_state_dict(theirs.state_dict())
    compare(torch, ours, theirs, case)
