"""Layers with their activation as one operation: equal to the two layers at every order."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from both_orders import everything

import minigan as mg
from minigan import nn
from minigan.autograd import detect_anomaly, grad
from minigan.errors import ConfigError, ShapeError
from minigan.nn import fusion
from minigan.ops import batch_norm_activation, conv2d_activation, linear_activation

LAYERS: list[Any] = [
    (lambda: [nn.Linear(3, 4), nn.ReLU()], (5, 3)),
    (lambda: [nn.Linear(3, 4), nn.LeakyReLU(0.2)], (2, 5, 3)),
    (lambda: [nn.Linear(3, 4, bias=False), nn.LeakyReLU(0.2, inplace=True)], (5, 3)),
    (lambda: [nn.Linear(3, 4), nn.LeakyReLU(1.0)], (3,)),
    (lambda: [nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU()], (2, 3, 5, 4)),
    (lambda: [nn.Conv2d(3, 4, 3, bias=False), nn.LeakyReLU(0.2, inplace=True)], (2, 3, 5, 4)),
    (lambda: [nn.Conv2d(3, 4, 3, padding="same"), nn.LeakyReLU(1.0)], (3, 5, 4)),
    (
        lambda: [
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", groups=2, dilation=1),
            nn.LeakyReLU(0.2),
        ],
        (2, 4, 5, 4),
    ),
    (lambda: [nn.BatchNorm2d(3), nn.ReLU()], (2, 3, 3, 2)),
    (lambda: [nn.BatchNorm2d(3, 0.8), nn.LeakyReLU(0.2)], (2, 3, 3, 2)),
    (lambda: [nn.BatchNorm2d(3, affine=False), nn.LeakyReLU(0.2, inplace=True)], (2, 3, 3, 2)),
    (lambda: [nn.BatchNorm2d(3, bias=False), nn.ReLU()], (2, 3, 3, 2)),
    (lambda: [nn.BatchNorm2d(3, track_running_stats=False), nn.ReLU()], (2, 3, 3, 2)),
    (lambda: [nn.BatchNorm2d(3, momentum=None), nn.LeakyReLU(1.0)], (2, 3, 3, 2)),
    (lambda: [nn.BatchNorm1d(4), nn.LeakyReLU(0.2)], (5, 4)),
    (lambda: [nn.BatchNorm1d(4), nn.ReLU()], (2, 4, 3)),
    (lambda: [nn.InstanceNorm2d(3), nn.LeakyReLU(0.2)], (2, 3, 3, 2)),
    (lambda: [nn.InstanceNorm2d(3), nn.ReLU(True)], (1, 3, 3, 2)),
]


@pytest.fixture
def fused_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the sequences that were fused."""
    calls: list[int] = []

    def counted(plain: Any) -> Any:
        def run(*args: Any) -> Any:
            calls.append(1)
            return plain(*args)

        return run

    table = tuple(f._replace(run=counted(f.run)) for f in fusion.TABLE)
    monkeypatch.setattr(fusion, "TABLE", table)
    return calls


@pytest.mark.parametrize("layers, shape", LAYERS)
def test_equals_the_two_layers(layers: Any, shape: Any, fused_calls: list[int]) -> None:
    net = nn.Sequential(*layers()).double()
    for param in net.parameters():
        param.data = mg.randn(param.shape, dtype="float64")
    x = mg.randn(shape, dtype="float64", requires_grad=True)
    u = mg.randn(net(x).shape, dtype="float64", requires_grad=True)
    twin = copy.deepcopy(net)
    fused_calls.clear()
    v = [mg.randn(t.shape, dtype="float64") for t in (x, *net.parameters())]
    for _ in range(2):  # the running statistics move twice
        fused = everything(net, x, u, v)
        with fusion.disabled():
            plain = everything(twin, x, u, v)
        for a, b in zip(fused, plain, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
    assert len(fused_calls) == 2


@pytest.mark.parametrize("size", [5, 9])  # few pixels, and many
def test_batch_norm_keeps_its_bits_on_the_cpu(size: int, fused_calls: list[int]) -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.LeakyReLU(0.2))
    x, u = mg.randn(4, 3, size, size, requires_grad=True), mg.randn(4, 3, size, size)
    results = []
    for _ in range(2):
        y = net(x)
        results.append([t.detach().numpy() for t in (y, *grad(y, [x, *net.parameters()], u))])
        with fusion.disabled():
            y = net(x)
            results.append([t.detach().numpy() for t in (y, *grad(y, [x, *net.parameters()], u))])
    assert len(fused_calls) == 2
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.BatchNorm2d(3).eval(), nn.ReLU()],
        lambda: [nn.InstanceNorm2d(3, affine=True), nn.ReLU()],
        lambda: [nn.InstanceNorm2d(3, track_running_stats=True), nn.ReLU()],
        lambda: [nn.BatchNorm2d(3), nn.LeakyReLU(-0.1)],
        lambda: [nn.BatchNorm2d(3), nn.Tanh()],
        lambda: [nn.Linear(4, 3), nn.LeakyReLU(-0.1)],
        lambda: [nn.Linear(4, 3), nn.Tanh()],
        lambda: [nn.Conv2d(3, 4, 3), nn.LeakyReLU(-0.1)],
        lambda: [nn.Conv2d(3, 4, 3), nn.Tanh()],
        lambda: [nn.ConvTranspose2d(3, 4, 3), nn.ReLU()],
        lambda: [nn.utils.spectral_norm(nn.Linear(4, 3)).eval(), nn.ReLU()],
        lambda: [nn.BatchNorm2d(3), nn.Identity(), nn.ReLU()],
    ],
)
def test_other_layers_run_as_they_are(layers: Any, fused_calls: list[int]) -> None:
    net = nn.Sequential(*layers())
    x = mg.randn(2, 3, 4, 4)
    y = net(x).detach().numpy()
    for layer in net:
        x = layer(x)
    np.testing.assert_array_equal(y, x.detach().numpy())
    assert not fused_calls


def test_off_while_somebody_looks_inside(fused_calls: list[int]) -> None:
    net, x = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()), mg.randn(2, 3, 4, 4)
    seen: list[Any] = []
    handle = net[0].register_forward_hook(lambda *args: seen.append(args))
    net(x)
    handle.remove()
    with detect_anomaly():
        net(x)
    assert len(seen) == 1 and not fused_calls
    net(x)
    assert len(fused_calls) == 1


def test_a_wrong_input_is_reported_by_the_layer() -> None:
    for norm in (nn.BatchNorm2d(3), nn.InstanceNorm2d(3)):
        net = nn.Sequential(norm, nn.ReLU())
        with pytest.raises(ShapeError, match=r"Norm2d\(3.*input of shape \(2, 4, 5, 5\)"):
            net(mg.zeros(2, 4, 5, 5))
        with pytest.raises(ShapeError, match="more than one value per channel"):
            net(mg.zeros(1, 3, 1, 1))
    with pytest.raises(ShapeError, match=r"Linear\(in_features=3.*input of shape \(2, 4\)"):
        nn.Sequential(nn.Linear(3, 2), nn.ReLU())(mg.zeros(2, 4))
    with pytest.raises(ConfigError, match="negative_slope must not be negative, got -1"):
        linear_activation(mg.zeros(2, 3), mg.zeros(2, 3), negative_slope=-1)
    with pytest.raises(ShapeError, match=r"Conv2d\(3, 2.*input of shape \(2, 4, 5, 5\)"):
        nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())(mg.zeros(2, 4, 5, 5))
    with pytest.raises(ShapeError, match="conv2d_activation: an image of 2x2 is too small"):
        nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())(mg.zeros(2, 3, 2, 2))
    with pytest.raises(ConfigError, match="negative_slope must not be negative, got -1"):
        conv2d_activation(mg.zeros(2, 3, 4, 4), mg.zeros(2, 3, 3, 3), negative_slope=-1)
    with pytest.raises(ConfigError, match="negative_slope must not be negative, got -1"):
        batch_norm_activation(mg.zeros(2, 3, 4, 4), None, None, negative_slope=-1)
