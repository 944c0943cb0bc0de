"""Initialisation: bounds and moments, PyTorch's defaults of the layers, in place and seeded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import nn
from minigan.errors import ConfigError, ShapeError
from minigan.nn import init

SHAPE = (64, 32, 3, 3)
FAN_IN, FAN_OUT = 32 * 9, 64 * 9


def filled(fn: Any, *args: Any, **kwargs: Any) -> np.ndarray:
    tensor = mg.zeros(SHAPE)
    version = tensor._version[0]
    assert fn(tensor, *args, **kwargs) is tensor
    assert tensor._version[0] > version
    return tensor.numpy()


def assert_uniform(values: Any, bound: float) -> None:
    """The range is filled, and the standard deviation is that of U(-bound, bound)."""
    values = np.asarray(values.detach() if isinstance(values, mg.Tensor) else values)
    assert np.abs(values).max() <= bound * (1 + 1e-6)
    if values.size > 1000:
        assert np.abs(values).max() > 0.99 * bound
        assert abs(values.std() * math.sqrt(3) / bound - 1) < 0.03
        assert abs(values.mean()) < 0.03 * bound


def assert_normal(values: np.ndarray, std: float, mean: float = 0.0) -> None:
    assert abs(values.std() / std - 1) < 0.02
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(values.size)
    within = (np.abs(values - mean) < std).mean()
    assert abs(within - 0.6827) < 0.01


def test_distributions() -> None:
    assert_uniform(filled(init.uniform_, -0.5, 0.5), 0.5)
    assert_normal(filled(init.normal_, 3.0, 0.02), 0.02, 3.0)
    assert (filled(init.constant_, 0.3) == np.float32(0.3)).all()
    assert (filled(init.ones_) == 1).all() and (filled(init.zeros_) == 0).all()
    assert_uniform(filled(init.xavier_uniform_, 2.0), 2 * math.sqrt(6 / (FAN_IN + FAN_OUT)))
    assert_normal(filled(init.xavier_normal_, 2.0), 2 * math.sqrt(2 / (FAN_IN + FAN_OUT)))
    assert_uniform(filled(init.kaiming_uniform_), math.sqrt(6 / FAN_IN))
    assert_uniform(filled(init.kaiming_uniform_, a=math.sqrt(5)), 1 / math.sqrt(FAN_IN))
    assert_normal(filled(init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
                  math.sqrt(2 / FAN_OUT))  # fmt: skip
    cut = filled(init.trunc_normal_, 0.0, 1.0, -1.0, 0.5)
    assert cut.min() >= -1 and cut.max() <= 0.5
    assert abs(cut.mean() - -0.2065) < 0.01  # (phi(-1) - phi(0.5)) / (Phi(0.5) - Phi(-1))


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (8, 2, 3), (2, 3, 3, 3)])
def test_orthogonal(shape: Any) -> None:
    matrix = init.orthogonal_(mg.empty(shape, dtype="float64"), gain=2.0).numpy()
    matrix = matrix.reshape(shape[0], -1)
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
                                  "conv2d", "conv_transpose2d"])  # fmt: skip
def test_gains_equal_torch(torch: Any, name: str) -> None:
    assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    if name == "leaky_relu":
        assert init.calculate_gain(name, 0.2) == torch.nn.init.calculate_gain(name, 0.2)


def test_default_bounds_of_the_layers() -> None:
    linear = nn.Linear(300, 200)
    assert_uniform(linear.weight, 1 / math.sqrt(300))
    assert_uniform(linear.bias, 1 / math.sqrt(300))
    conv = nn.Conv2d(16, 64, (3, 5), groups=2)
    assert conv.weight.shape == (64, 8, 3, 5)
    assert_uniform(conv.weight, 1 / math.sqrt(8 * 15))
    assert_uniform(conv.bias, 1 / math.sqrt(8 * 15))
    up = nn.ConvTranspose2d(16, 64, 4)  # PyTorch counts the outputs here
    assert up.weight.shape == (16, 64, 4, 4)
    assert_uniform(up.weight, 1 / math.sqrt(64 * 16))
    assert_uniform(up.bias, 1 / math.sqrt(64 * 16))
    table = nn.Embedding(500, 100, padding_idx=3)
    assert_normal(np.delete(np.asarray(table.weight.detach()), 3, axis=0), 1.0)
    assert not np.asarray(table.weight.detach())[3].any()
    norm = nn.BatchNorm2d(4)
    assert (norm.weight.detach().numpy() == 1).all() and not norm.bias.detach().numpy().any()


def test_seeds_decide() -> None:
    def weights() -> np.ndarray:
        return nn.Linear(3, 4).weight.detach().numpy()

    mg.manual_seed(5)
    a, b = weights(), weights()
    mg.manual_seed(5)
    np.testing.assert_array_equal(weights(), a)
    assert (a != b).any()
    state = mg.random.get_state()
    ours = [init.normal_(mg.empty(5), generator=mg.Generator(9)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*ours)
    assert mg.random.get_state() == state


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"two dimensions or more; this tensor has shape \(3,\)"):
        init.xavier_uniform_(mg.zeros(3))
    with pytest.raises(ConfigError, match="mode 'fan' is unknown"):
        init.kaiming_normal_(mg.zeros(3, 3), mode="fan")
    with pytest.raises(ConfigError, match="no gain for nonlinearity 'swish'"):
        init.calculate_gain("swish")
    with pytest.raises(ConfigError, match="std must not be negative"):
        init.normal_(mg.zeros(3), 0.0, -1.0)
