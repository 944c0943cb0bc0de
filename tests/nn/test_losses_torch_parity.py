"""Every loss layer against PyTorch's, with its options, for input and target gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from layer_parity import assert_close

import minigan as mg
from minigan import nn
from minigan.autograd import grad
from minigan.errors import ConfigError, DTypeError, ShapeError

RNG = np.random.default_rng(3)
REAL = RNG.standard_normal((4, 5))
OTHER = RNG.standard_normal((4, 5)) * 2
PROBABLE = RNG.uniform(0.02, 0.98, (4, 5))
SHARE = RNG.dirichlet(np.ones(5), 4)
LOG_SHARE = np.log(RNG.dirichlet(np.ones(5), 4))
LABELS = np.array([0, 4, 2, 2])
IMAGE_LOGITS = RNG.standard_normal((2, 5, 3, 2))
IMAGE_LABELS = RNG.integers(0, 5, (2, 3, 2))
CLASS_WEIGHT = RNG.uniform(0.5, 2, 5)

Arrays = dict[str, np.ndarray]


def case(name: str, loss: str, x: np.ndarray, target: np.ndarray, **options: Any) -> Any:
    return pytest.param(loss, x, target, options, id=name)


CASES = [
    case("mse", "MSELoss", REAL, OTHER),
    case("l1", "L1Loss", REAL, OTHER),
    case("smooth-l1", "SmoothL1Loss", REAL, OTHER),
    case("smooth-l1-beta", "SmoothL1Loss", REAL, OTHER, beta=0.3),
    case("bce", "BCELoss", PROBABLE, SHARE),
    case("bce-weight", "BCELoss", PROBABLE, SHARE, weight=CLASS_WEIGHT),
    case("bce-logits", "BCEWithLogitsLoss", REAL, SHARE),
    case("bce-logits-weight", "BCEWithLogitsLoss", REAL, SHARE, weight=CLASS_WEIGHT),
    case("bce-logits-pos-weight", "BCEWithLogitsLoss", REAL, SHARE, pos_weight=CLASS_WEIGHT),
    case("bce-logits-extreme", "BCEWithLogitsLoss", REAL * 300, SHARE),
    case("cross-entropy", "CrossEntropyLoss", REAL, LABELS),
    case("cross-entropy-image", "CrossEntropyLoss", IMAGE_LOGITS, IMAGE_LABELS),
    case("cross-entropy-weight", "CrossEntropyLoss", REAL, LABELS, weight=CLASS_WEIGHT),
    case("cross-entropy-ignore", "CrossEntropyLoss", REAL, LABELS, ignore_index=2),
    case("cross-entropy-smooth", "CrossEntropyLoss", REAL, LABELS, label_smoothing=0.1),
    case("cross-entropy-all", "CrossEntropyLoss", IMAGE_LOGITS, IMAGE_LABELS, weight=CLASS_WEIGHT,
         ignore_index=1, label_smoothing=0.2),
    case("cross-entropy-shares", "CrossEntropyLoss", REAL, SHARE),
    case("cross-entropy-shares-all", "CrossEntropyLoss", REAL, SHARE, weight=CLASS_WEIGHT,
         label_smoothing=0.2),
    case("nll", "NLLLoss", LOG_SHARE, LABELS),
    case("nll-weight", "NLLLoss", LOG_SHARE, LABELS, weight=CLASS_WEIGHT),
    case("nll-ignore", "NLLLoss", LOG_SHARE, np.array([0, -100, 2, -100])),
    case("kl", "KLDivLoss", LOG_SHARE, SHARE),
    case("kl-log-target", "KLDivLoss", LOG_SHARE, np.log(SHARE), log_target=True),
]  # fmt: skip


def _run(library: Any, tensor: Any, differentiate: Any, args: Any) -> list[Any]:
    loss, x, target, options, reduction = args
    options = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    criterion = getattr(library, loss)(reduction=reduction, **options)
    leaf = tensor(x, requires_grad=True)
    output = criterion(leaf, tensor(target))
    up = tensor(np.random.default_rng(1).standard_normal(tuple(output.shape)))
    (first,) = differentiate(output, [leaf], [up])
    return [output.detach(), first]


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides the total loss")  # PyTorch's advice
@pytest.mark.parametrize("reduction", ["mean", "sum", "none", "batchmean"])
@pytest.mark.parametrize(("loss", "x", "target", "options"), CASES)
def test_value_and_gradient(torch, loss: str, x, target, options: Arrays, reduction: str):
    if reduction == "batchmean" and loss != "KLDivLoss":
        with pytest.raises(ConfigError, match="reduction 'batchmean' is unknown"):
            _run(nn, mg.tensor, grad, (loss, x, target, options, reduction))
        return
    args = (loss, x, target, options, reduction)
    ours = _run(nn, mg.tensor, grad, args)
    theirs = _run(torch.nn, torch.tensor, torch.autograd.grad, args)
    for name, value, want in zip(("loss", "gradient"), ours, theirs, strict=True):
        assert_close(value.numpy(), want.numpy(), 1e-11, name)


def test_bce_stays_finite_at_the_ends():
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    loss = nn.BCELoss()(x, mg.tensor([1.0, 0.0]))
    assert loss.item() == 100


def test_loss_weights_follow_the_module():
    """Weights are buffers: part of the state, moved and converted with the module."""
    criterion = nn.BCEWithLogitsLoss(pos_weight=mg.ones(3))
    assert list(criterion.state_dict()) == ["pos_weight"]
    assert criterion.double().pos_weight.dtype == mg.float64


@pytest.mark.parametrize(
    ("run", "error", "says"),
    [
        (lambda: nn.MSELoss()(mg.zeros(4), mg.zeros(4, 1)), ShapeError, "reshape"),
        (lambda: nn.BCELoss()(mg.zeros(4), mg.zeros(3)), ShapeError, r"\(4,\).*\(3,\)"),
        (lambda: nn.CrossEntropyLoss()(mg.zeros(4, 3), mg.zeros(5, dtype="int64")), ShapeError,
         r"\(4, 3\).*\(5,\)"),
        (lambda: nn.CrossEntropyLoss()(mg.zeros(2, 3), mg.tensor([0, 3])), ShapeError, "label"),
        (lambda: nn.NLLLoss()(mg.zeros(2, 3), mg.zeros(2)), DTypeError, "integers"),
        (lambda: nn.L1Loss(reduction="average"), ConfigError, "'average'"),
    ],
)  # fmt: skip
def test_misuse_is_said_in_one_line(run, error, says):
    with pytest.raises(error, match=says) as caught:
        run()
    assert "\n" not in str(caught.value)


def test_bce_of_saturated_probabilities_has_pytorchs_finite_gradient(torch):
    p = np.array([0.0, 1.0, 0.0, 1.0, 0.3], dtype=np.float32)
    t = np.array([0.0, 1.0, 1.0, 0.0, 0.6], dtype=np.float32)
    x, y = mg.tensor(p, requires_grad=True), torch.tensor(p, requires_grad=True)
    ours = mg.nn.BCELoss(reduction="sum")(x, mg.tensor(t))
    theirs = torch.nn.BCELoss(reduction="sum")(y, torch.tensor(t))
    ours.backward()
    theirs.backward()
    np.testing.assert_allclose(ours.item(), theirs.item(), rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-6)
