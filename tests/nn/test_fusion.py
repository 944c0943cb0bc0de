"""Fused sequences equal the plain ones at first and second order, and know when to stay away."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from both_orders import everything

import minigan as mg
from minigan import nn
from minigan.autograd import detect_anomaly
from minigan.errors import ShapeError
from minigan.nn import fusion


def network(bias: bool = True) -> Any:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.Tanh(), nn.Upsample(scale_factor=2),
        nn.Conv2d(3, 4, 3, stride=1, padding=1, bias=bias), nn.Tanh(),
    ).double()  # fmt: skip


@pytest.fixture
def fused_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the runs of the fused operation."""
    calls: list[int] = []
    plain = fusion.upsample_conv2d

    def counted(*args: Any) -> Any:
        calls.append(1)
        return plain(*args)

    monkeypatch.setattr(fusion, "upsample_conv2d", counted)
    return calls


@pytest.mark.parametrize("bias", [True, False])
def test_equals_the_plain_sequence_at_both_orders(bias: bool, fused_calls: list[int]) -> None:
    net = network(bias)
    x = mg.randn(2, 2, 3, 5, dtype="float64", requires_grad=True)
    u = mg.randn(2, 4, 6, 10, dtype="float64", requires_grad=True)
    v = [mg.randn(t.shape, dtype="float64") for t in (x, *net.parameters())]
    fused = everything(net, x, u, v)
    assert len(fused_calls) == 1
    with fusion.disabled():
        plain = everything(net, x, u, v)
    assert len(fused_calls) == 1
    for a, b in zip(fused, plain, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


def test_off_while_somebody_looks_inside(fused_calls: list[int]) -> None:
    net, x = network(), mg.randn(1, 2, 3, 3, dtype="float64")
    seen: list[Any] = []
    for layer in (net[2], net[3]):
        for register in (layer.register_forward_hook, layer.register_forward_pre_hook):
            handle = register(lambda *args: seen.append(args))
            net(x)
            handle.remove()
    assert len(seen) == 4 and not fused_calls
    with detect_anomaly():
        net(x)
    with pytest.raises(ZeroDivisionError), fusion.disabled():
        net(x)
        raise ZeroDivisionError
    assert not fused_calls
    net(x)
    assert len(fused_calls) == 1  # and on again, even after an error


class Louder(nn.Conv2d):
    def forward(self, input: Any) -> Any:
        return super().forward(input) * 2


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.Upsample(scale_factor=3), nn.Conv2d(3, 4, 3, padding=1)],
        lambda: [nn.Upsample(scale_factor=(2, 1)), nn.Conv2d(3, 4, 3, padding=1)],
        lambda: [nn.Upsample(size=(8, 8)), nn.Conv2d(3, 4, 3, padding=1)],
        lambda: [nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(3, 4, 3, padding=1)],
        lambda: [nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 5, padding=1)],
        lambda: [nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3)],
        lambda: [nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3, 2, padding=1)],
        lambda: [nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3, padding=1, dilation=2)],
        lambda: [nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1, groups=3)],
        lambda: [nn.Upsample(scale_factor=2),
                 nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")],
        lambda: [nn.Upsample(scale_factor=2), nn.Identity(), nn.Conv2d(3, 4, 3, padding=1)],
        lambda: [nn.Upsample(scale_factor=2), Louder(3, 4, 3, padding=1)],
        lambda: [nn.Upsample(scale_factor=2)],
        lambda: [nn.Upsample(scale_factor=2),
                 nn.utils.spectral_norm(nn.Conv2d(3, 4, 3, padding=1))],
    ],
)  # fmt: skip
def test_other_layers_run_as_they_are(layers: Any, fused_calls: list[int]) -> None:
    net = nn.Sequential(*layers())
    x, y = mg.randn(2, 3, 4, 4), None
    net(x)
    net.eval()
    y = x
    for layer in net:
        y = layer(y)
    np.testing.assert_array_equal(net(x).detach().numpy(), y.detach().numpy())
    assert not fused_calls


def test_padding_same_is_fused_too(fused_calls: list[int]) -> None:
    net = nn.Sequential(nn.Upsample(scale_factor=(2, 2)), nn.Conv2d(3, 4, 3, padding="same"))
    x = mg.randn(2, 3, 4, 4)
    y = net(x).detach().numpy()
    with fusion.disabled():
        np.testing.assert_allclose(y, net(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    assert len(fused_calls) == 1


def test_a_wrong_input_is_reported_by_the_layer() -> None:
    net = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 4, 3, padding=1))
    with pytest.raises(ShapeError, match=r"Conv2d\(3, 4.*input of shape \(1, 2, 8, 8\)"):
        net(mg.zeros(1, 2, 4, 4))
    with pytest.raises(ShapeError, match=r"Upsample\(.*input of shape \(3, 4, 4\)"):
        net(mg.zeros(3, 4, 4))
