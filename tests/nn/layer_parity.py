"""The table of layers that are compared with PyTorch, and what runs a layer on either side.

A case is a function of the `nn` module, so one line builds the layer of both libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigan as mg
from minigan import nn
from minigan.autograd import grad


class Case(NamedTuple):
    """`build(nn)` gives the layer; inputs are drawn N(0, 1) with these shapes, unless `labels`."""

    name: str
    build: Callable[[Any], Any]
    shape: tuple[int, ...]
    labels: int = 0  # inputs are integers below this
    call: dict[str, Any] = {}  # keyword arguments of forward


IMAGE = (3, 4, 7, 6)

CONVOLUTIONS = [
    Case("linear", lambda nn: nn.Linear(6, 5), (4, 6)),
    Case("linear no bias", lambda nn: nn.Linear(6, 5, bias=False), (4, 6)),
    Case("linear 4-d", lambda nn: nn.Linear(6, 5), (2, 3, 4, 6)),
    Case("linear 1-d", lambda nn: nn.Linear(6, 5), (6,)),
    Case("conv", lambda nn: nn.Conv2d(4, 6, 3), IMAGE),
    Case("conv stride pad", lambda nn: nn.Conv2d(4, 6, 4, 2, 1, bias=False), IMAGE),
    Case("conv pairs", lambda nn: nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2)), IMAGE),
    Case("conv groups", lambda nn: nn.Conv2d(4, 6, 3, padding=1, groups=2), IMAGE),
    Case("conv depthwise", lambda nn: nn.Conv2d(4, 8, 3, groups=4), IMAGE),
    Case("conv dilation", lambda nn: nn.Conv2d(4, 6, 3, padding=2, dilation=2), IMAGE),
    Case("conv same", lambda nn: nn.Conv2d(4, 6, 3, padding="same"), IMAGE),
    Case("conv same even", lambda nn: nn.Conv2d(4, 6, (3, 5), 1, "same", (2, 1)), IMAGE),
    Case("conv valid", lambda nn: nn.Conv2d(4, 6, 3, padding="valid"), IMAGE),
    *(
        Case(
            f"conv {mode}",
            lambda nn, mode=mode: nn.Conv2d(4, 6, 3, 2, (2, 1), padding_mode=mode),
            IMAGE,
        )
        for mode in ("reflect", "replicate", "circular")
    ),
    Case(
        "conv same even reflect",
        lambda nn: nn.Conv2d(4, 6, (4, 2), padding="same", padding_mode="reflect"),
        IMAGE,
    ),
    Case("conv unbatched", lambda nn: nn.Conv2d(4, 6, 3), IMAGE[1:]),
    Case("transposed", lambda nn: nn.ConvTranspose2d(4, 6, 4, 2, 1), IMAGE),
    Case("transposed no bias", lambda nn: nn.ConvTranspose2d(4, 6, 3, 1, 0, bias=False), IMAGE),
    Case("transposed extra", lambda nn: nn.ConvTranspose2d(4, 6, 3, 2, 1, (1, 0)), IMAGE),
    Case("transposed groups", lambda nn: nn.ConvTranspose2d(4, 6, 3, 2, groups=2), IMAGE),
    Case("transposed dilation", lambda nn: nn.ConvTranspose2d(4, 6, 3, 2, dilation=2), IMAGE),
    Case(
        "transposed output_size",
        lambda nn: nn.ConvTranspose2d(4, 6, 3, 2, 1),
        IMAGE,
        call={"output_size": (14, 11)},
    ),
    Case(
        "transposed output_size 4",
        lambda nn: nn.ConvTranspose2d(4, 6, 3, 2, 1),
        IMAGE,
        call={"output_size": (3, 6, 13, 12)},
    ),
    Case("transposed unbatched", lambda nn: nn.ConvTranspose2d(4, 6, 3), IMAGE[1:]),
    Case("embedding", lambda nn: nn.Embedding(7, 5), (4,), labels=7),
    Case("embedding 2-d", lambda nn: nn.Embedding(7, 5), (4, 3), labels=7),
    Case("embedding padding", lambda nn: nn.Embedding(7, 5, -5), (9, 3), labels=7),
]

NORMS = [
    Case("batch norm 1d", lambda nn: nn.BatchNorm1d(4), (5, 4)),
    Case("batch norm 1d long", lambda nn: nn.BatchNorm1d(4), (5, 4, 3)),
    Case("batch norm 2d", lambda nn: nn.BatchNorm2d(4), IMAGE),
    Case("batch norm eps momentum", lambda nn: nn.BatchNorm2d(4, 0.8, 0.3), IMAGE),
    Case("batch norm average", lambda nn: nn.BatchNorm2d(4, momentum=None), IMAGE),
    Case("batch norm plain", lambda nn: nn.BatchNorm2d(4, affine=False), IMAGE),
    Case("batch norm untracked", lambda nn: nn.BatchNorm2d(4, track_running_stats=False), IMAGE),
    Case("instance norm", lambda nn: nn.InstanceNorm2d(4), IMAGE),
    Case("instance norm affine", lambda nn: nn.InstanceNorm2d(4, affine=True), IMAGE),
    Case(
        "instance norm tracked",
        lambda nn: nn.InstanceNorm2d(4, momentum=0.3, affine=True, track_running_stats=True),
        IMAGE,
    ),
    Case("layer norm", lambda nn: nn.LayerNorm(6), IMAGE),
    Case("layer norm 3 axes", lambda nn: nn.LayerNorm([4, 7, 6], eps=1e-3), IMAGE),
    Case("layer norm plain", lambda nn: nn.LayerNorm(6, elementwise_affine=False), IMAGE),
    Case("layer norm no bias", lambda nn: nn.LayerNorm(6, bias=False), IMAGE),
    Case("group norm", lambda nn: nn.GroupNorm(2, 4), IMAGE),
    Case("group norm plain", lambda nn: nn.GroupNorm(4, 4, affine=False), IMAGE),
    Case("group norm vectors", lambda nn: nn.GroupNorm(2, 4), (5, 4)),
]

OTHERS = [
    Case("relu", lambda nn: nn.ReLU(True), IMAGE),
    Case("leaky relu", lambda nn: nn.LeakyReLU(), IMAGE),
    Case("leaky relu 0.2", lambda nn: nn.LeakyReLU(0.2, inplace=True), IMAGE),
    Case("elu", lambda nn: nn.ELU(), IMAGE),
    Case("elu 0.5", lambda nn: nn.ELU(0.5), IMAGE),
    Case("tanh", lambda nn: nn.Tanh(), IMAGE),
    Case("sigmoid", lambda nn: nn.Sigmoid(), IMAGE),
    Case("softplus", lambda nn: nn.Softplus(), IMAGE),
    Case("softplus sharp", lambda nn: nn.Softplus(3.0), IMAGE),
    Case("softmax", lambda nn: nn.Softmax(1), IMAGE),
    Case("softmax last", lambda nn: nn.Softmax(dim=-1), IMAGE),
    Case("log softmax", lambda nn: nn.LogSoftmax(dim=1), IMAGE),
    Case("flatten", lambda nn: nn.Flatten(), IMAGE),
    Case("flatten some", lambda nn: nn.Flatten(0, 2), IMAGE),
    Case("unflatten", lambda nn: nn.Unflatten(1, (2, 3)), (4, 6, 5)),
    Case("upsample", lambda nn: nn.Upsample(scale_factor=2), IMAGE),
    Case("upsample size", lambda nn: nn.Upsample(size=(10, 9)), IMAGE),
    Case("bilinear", lambda nn: nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE),
    Case(
        "bilinear corners",
        lambda nn: nn.Upsample((9, 11), mode="bilinear", align_corners=True),
        IMAGE,
    ),
    Case("pixel shuffle", lambda nn: nn.PixelShuffle(2), (2, 8, 3, 4)),
    Case("max pool", lambda nn: nn.MaxPool2d(2), IMAGE),
    Case("max pool overlapping", lambda nn: nn.MaxPool2d(3, 2, 1), IMAGE),
    Case("max pool ceil", lambda nn: nn.MaxPool2d((3, 2), 2, ceil_mode=True), IMAGE),
    Case("max pool dilation", lambda nn: nn.MaxPool2d(2, 1, dilation=2), IMAGE),
    Case("average pool", lambda nn: nn.AvgPool2d(2), IMAGE),
    Case("average pool padded", lambda nn: nn.AvgPool2d(3, 2, 1), IMAGE),
    Case("average pool ceil", lambda nn: nn.AvgPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    Case("average pool inside", lambda nn: nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    Case("adaptive pool", lambda nn: nn.AdaptiveAvgPool2d(1), IMAGE),
    Case("adaptive pool uneven", lambda nn: nn.AdaptiveAvgPool2d((3, 4)), IMAGE),
    Case("adaptive pool one side", lambda nn: nn.AdaptiveAvgPool2d((None, 2)), IMAGE),
    Case("zero pad", lambda nn: nn.ZeroPad2d(2), IMAGE),
    Case("zero pad sides", lambda nn: nn.ZeroPad2d((1, 0, 2, 3)), IMAGE),
    Case("zero pad crop", lambda nn: nn.ZeroPad2d((1, -1, -2, 0)), IMAGE),
    Case("constant pad", lambda nn: nn.ConstantPad2d((1, 0, 2, 3), 0.5), IMAGE),
    Case("reflection pad", lambda nn: nn.ReflectionPad2d((1, 2, 3, 0)), IMAGE),
    Case("replication pad", lambda nn: nn.ReplicationPad2d((1, 2, 3, 0)), IMAGE),
    Case("dropout 0", lambda nn: nn.Dropout(0.0), IMAGE),
    Case("dropout 1", lambda nn: nn.Dropout(1.0), IMAGE),
    Case("dropout 2d 0", lambda nn: nn.Dropout2d(0.0), IMAGE),
    Case("identity", lambda nn: nn.Identity(54, unused=True), IMAGE),
]

CASES = CONVOLUTIONS + NORMS + OTHERS


def named(cases: list[Case]) -> dict[str, Any]:
    """Keyword arguments of pytest.mark.parametrize."""
    return {
        "argnames": "case",
        "argvalues": cases,
        "ids": [case.name.replace(" ", "-") for case in cases],
    }


def state_arrays(module: Any) -> dict[str, np.ndarray]:
    """The state of a module of either library, copied to NumPy."""
    return {key: value.detach().numpy().copy() for key, value in module.state_dict().items()}


def as_torch(torch: Any, state: dict[str, np.ndarray]) -> dict[str, Any]:
    return {key: torch.tensor(value) for key, value in state.items()}


def pair(torch: Any, case: Case, dtype: str = "float64") -> tuple[Any, Any]:
    """(ours, PyTorch's) layer with the same random state, every value of it away from 0 and 1."""
    ours, theirs = case.build(nn), case.build(torch.nn).to(getattr(torch, dtype))
    ours.to(dtype)
    rng = np.random.default_rng(5)
    state = {
        key: value if value.dtype.kind == "i" else rng.uniform(0.3, 1.7, value.shape)
        for key, value in state_arrays(theirs).items()
    }
    theirs.load_state_dict(as_torch(torch, state))
    ours.load_state_dict(state)
    return ours, theirs


def drawn(case: Case, seed: int, dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(seed)
    if case.labels:
        return rng.integers(0, case.labels, case.shape)
    return rng.standard_normal(case.shape).astype(dtype)


def ours_run(layer: Any, case: Case, x: np.ndarray) -> list[np.ndarray]:
    """[output, input gradient, parameter gradients...] for a random upstream gradient."""
    leaf = mg.tensor(x, requires_grad=x.dtype.kind == "f")
    output = layer(leaf, **case.call)
    wanted = [leaf] * leaf.requires_grad + list(layer.parameters())
    up = np.random.default_rng(9).standard_normal(output.shape).astype(output.dtype)
    grads = grad(output, wanted, mg.tensor(up))
    return [np.array(t.detach()) for t in (output, *grads)]


def torch_run(torch: Any, layer: Any, case: Case, x: np.ndarray) -> list[np.ndarray]:
    """ours_run, in PyTorch."""
    leaf = torch.tensor(x, requires_grad=x.dtype.kind == "f")
    # A clone, since inplace=True may not change a leaf.
    output = layer(leaf.clone(), **case.call)
    wanted = [leaf] * leaf.requires_grad + list(layer.parameters())
    up = torch.tensor(np.random.default_rng(9).standard_normal(tuple(output.shape)))
    grads = torch.autograd.grad(output, wanted, up.to(output.dtype))
    return [t.detach().numpy() for t in (output, *grads)]


def assert_close(actual: Any, expected: Any, tolerance: float, what: str = "") -> None:
    """Equal shapes, and equal values to `tolerance` of the largest."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: {actual.shape} against {expected.shape}"
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(actual, expected, tolerance, tolerance * scale, err_msg=what)
