"""Spectral normalisation, gradient clipping, flat parameter vectors: against PyTorch's."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from against_torch import close

import minigan as mg
from minigan import nn
from minigan.errors import ConfigError, GradError, ShapeError

SN_LAYERS = {
    "linear": (lambda nn: nn.Linear(5, 3), (4, 5)),
    "conv": (lambda nn: nn.Conv2d(3, 4, 3, bias=False), (2, 3, 5, 5)),
    "conv transpose": (lambda nn: nn.ConvTranspose2d(3, 4, 3), (2, 3, 5, 5)),
    "embedding": (lambda nn: nn.Embedding(6, 3), np.array([[1, 5], [0, 5]])),
}


def both(torch: Any, build: Any, **options: Any) -> tuple[Any, Any]:
    ours = nn.utils.spectral_norm(build(nn).double(), **options)
    theirs = torch.nn.utils.spectral_norm(build(torch.nn).double(), **options)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("options", [{}, {"n_power_iterations": 3}, {"dim": 1}])
@pytest.mark.parametrize("name", SN_LAYERS)
def test_spectral_norm_equals_torch(torch: Any, name: str, options: Any) -> None:
    build, shape = SN_LAYERS[name]
    ours, theirs = both(torch, build, **options)
    rng = np.random.default_rng(0)
    for mode in (True, True, False, True):
        ours.train(mode)
        theirs.train(mode)
        x = shape if isinstance(shape, np.ndarray) else rng.standard_normal(shape)
        y, t = ours(mg.tensor(x)), theirs(torch.tensor(x))
        close(y.detach(), t)
        upstream = rng.standard_normal(tuple(t.shape))
        y.backward(mg.tensor(upstream))
        t.backward(torch.tensor(upstream))
        for key, value in theirs.state_dict().items():
            close(ours.state_dict()[key], value)
        close(ours.weight_orig.grad, theirs.weight_orig.grad)


def test_two_forwards_before_a_backward(torch: Any) -> None:
    """Real and fake batches: the second power iteration must not disturb the first graph."""
    ours, theirs = both(torch, SN_LAYERS["conv"][0])
    a, b = np.random.default_rng(0).standard_normal((2, 2, 3, 5, 5))
    (ours(mg.tensor(a)).sum() * 2 - ours(mg.tensor(b)).sum()).backward()
    (theirs(torch.tensor(a)).sum() * 2 - theirs(torch.tensor(b)).sum()).backward()
    close(ours.weight_orig.grad, theirs.weight_orig.grad)


def test_spectral_norm_finds_the_largest_singular_value() -> None:
    layer = nn.utils.spectral_norm(nn.Linear(6, 4).double(), n_power_iterations=50)
    layer(mg.randn(2, 6, dtype="float64"))
    weight = layer.weight.detach().numpy()
    assert abs(np.linalg.norm(weight, 2) - 1) < 1e-9
    assert not layer.weight.requires_grad  # no graph is kept alive between calls
    twin = copy.deepcopy(layer).eval()
    layer.eval()
    x = mg.randn(2, 6, dtype="float64")
    nn.init.zeros_(twin.weight_orig)
    assert layer(x).detach().numpy().any()  # the copy has weights of its own


def test_spectral_norm_can_be_removed() -> None:
    layer = nn.utils.spectral_norm(nn.Conv2d(3, 4, 3))
    x = mg.randn(1, 3, 5, 5)
    layer(x)
    layer.eval()
    expected = layer(x).detach().numpy()
    nn.utils.remove_spectral_norm(layer)
    np.testing.assert_array_equal(layer(x).detach().numpy(), expected)
    assert sorted(layer.state_dict()) == ["bias", "weight"]
    assert isinstance(layer.weight, nn.Parameter) and layer.weight.requires_grad
    with pytest.raises(ConfigError, match=r"Conv2d\.weight has none"):
        nn.utils.remove_spectral_norm(layer)


def test_spectral_norm_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match="Tanh has no parameter 'weight'"):
        nn.utils.spectral_norm(nn.Tanh())
    with pytest.raises(ConfigError, match="n_power_iterations must be 1 or more"):
        nn.utils.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
    with pytest.raises(ConfigError, match="normalised already"):
        nn.utils.spectral_norm(nn.utils.spectral_norm(nn.Linear(2, 2)))


def gradients(torch: Any) -> tuple[list[Any], list[Any]]:
    arrays = [np.random.default_rng(i).standard_normal(s) for i, s in enumerate([(3, 4), (5,), ()])]
    ours = [nn.Parameter(mg.tensor(a)) for a in arrays] + [nn.Parameter(mg.ones(2))]
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in arrays]
    for mine, other, array in zip(ours, theirs, arrays, strict=False):
        mine.grad, other.grad = mg.tensor(3 * array), torch.tensor(3 * array)
    return ours, theirs


@pytest.mark.parametrize("norm_type", [2, 1, 3.5, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 1000.0])
def test_clip_grad_norm_equals_torch(torch: Any, max_norm: float, norm_type: float) -> None:
    ours, theirs = gradients(torch)
    total = nn.utils.clip_grad_norm_(iter(ours), max_norm, norm_type)
    close(total, torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type))
    for mine, other in zip(ours, theirs, strict=False):
        close(mine.grad, other.grad)
    assert ours[-1].grad is None and total.ndim == 0


def test_clip_grad_norm_edge_cases() -> None:
    assert nn.utils.clip_grad_norm_([nn.Parameter(mg.ones(1))], 1.0).item() == 0
    param = nn.Parameter(mg.ones(1))
    param.grad = mg.tensor([float("nan")])
    with pytest.raises(GradError, match="norm of the gradients is nan"):
        nn.utils.clip_grad_norm_(param, 1.0, error_if_nonfinite=True)


def test_clip_grad_value_equals_torch(torch: Any) -> None:
    ours, theirs = gradients(torch)
    nn.utils.clip_grad_value_(ours, 0.7)
    torch.nn.utils.clip_grad_value_(theirs, 0.7)
    for mine, other in zip(ours, theirs, strict=False):
        close(mine.grad, other.grad)


def test_parameters_as_one_vector() -> None:
    a, b = nn.Linear(3, 2), nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(a.parameters())
    assert vector.shape == (8,) and vector.requires_grad
    nn.utils.vector_to_parameters(vector, b.parameters())
    np.testing.assert_array_equal(a.weight.detach().numpy(), b.weight.detach().numpy())
    np.testing.assert_array_equal(a.bias.detach().numpy(), b.bias.detach().numpy())
    with pytest.raises(ShapeError, match="a vector of 8 elements is needed"):
        nn.utils.vector_to_parameters(vector[:7], b.parameters())


def test_one_hot_and_normalize_equal_torch(torch: Any) -> None:
    labels = np.array([[0, 3], [2, 2]])
    for classes in (-1, 6):
        mine = nn.functional.one_hot(mg.tensor(labels), classes)
        other = torch.nn.functional.one_hot(torch.tensor(labels), classes)
        assert mine.dtype == np.int64
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    with pytest.raises(ShapeError, match=r"label 3 does not lie in 0\.\.2"):
        nn.functional.one_hot(mg.tensor(labels), 3)
    x = np.random.default_rng(0).standard_normal((3, 4))
    x[1] = 0
    for options in ({}, {"dim": 0}, {"p": 1.0, "dim": -1}):
        close(nn.functional.normalize(mg.tensor(x), **options),
              torch.nn.functional.normalize(torch.tensor(x), **options))  # fmt: skip


def test_dropout_layers_draw_only_in_training() -> None:
    x = mg.ones(4, 50, 6, 6)
    for layer, axes in ((nn.Dropout(0.3), ()), (nn.Dropout2d(0.3), (2, 3))):
        y = layer(x).numpy()
        assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
        assert 0.6 < (y > 0).mean() < 0.8
        if axes:  # whole channels
            assert (y.min(axis=axes) == y.max(axis=axes)).all()
        np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())
