"""Module: attributes, the tree, hooks, modes, conversion, copies, and errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import nn
from minigan.errors import ConfigError, DTypeError, ShapeError


class Block(nn.Module):
    """Old-style super() call, a list of layers, a buffer, a parameter of its own."""

    def __init__(self, width: int = 4) -> None:
        super(Block, self).__init__()  # noqa: UP008  as much PyTorch code writes it
        layers = [nn.Linear(3, width), nn.ReLU(inplace=True), nn.Linear(width, 2)]
        self.model = nn.Sequential(*layers)
        self.scale = nn.Parameter(mg.ones(2))
        self.register_buffer("offset", mg.zeros(2))
        self.register_buffer("scratch", mg.zeros(2), persistent=False)
        self.width = width

    def forward(self, x: Any) -> Any:
        return self.model(x) * self.scale + self.offset


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.again = self.block  # shared
        self.head = nn.Linear(2, 1, bias=False)

    def forward(self, x: Any) -> Any:
        return self.head(self.block(x))


def test_names_come_in_order_and_shared_ones_once() -> None:
    net = Net()
    block = ["scale", "model.0.weight", "model.0.bias", "model.2.weight", "model.2.bias"]
    assert [n for n, _ in net.named_parameters()] == [f"block.{n}" for n in block] + ["head.weight"]
    assert [n for n, _ in net.named_buffers()] == ["block.offset", "block.scratch"]
    assert len(list(net.parameters())) == 6
    assert len(list(net.named_parameters(remove_duplicate=False))) == 11
    assert [n for n, _ in net.named_children()] == ["block", "head"]
    assert [n for n, _ in net.named_modules()] == [
        "", "block", "block.model", "block.model.0", "block.model.1", "block.model.2", "head",
    ]  # fmt: skip
    assert list(net.parameters(recurse=False)) == []
    assert [n for n, _ in net.head.named_parameters("head")] == ["head.weight"]


def test_tied_weights_are_one_parameter() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    assert [n for n, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight"]
    twin = copy.deepcopy(net)
    assert twin[1].weight is twin[0].weight and twin[0].weight is not net[0].weight


def test_same_names_as_torch(torch: Any) -> None:
    def build(nn: Any, ones: Any) -> Any:
        class Twin(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.seq = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
                self.layers = nn.ModuleList([nn.Linear(2, 2), self.seq])
                self.scale = nn.Parameter(ones(2))
                self.by_name = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Identity()})
                self.register_buffer("kept", ones(1))
                self.register_buffer("lost", ones(1), persistent=False)
                self.register_buffer("none", None)
                self.nothing = None
                self.extra = nn.ParameterList([ones(1), nn.Parameter(ones(2))])

        return Twin()

    ours, theirs = build(nn, mg.ones), build(torch.nn, torch.ones)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for names in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        assert [n for n, _ in getattr(ours, names)()] == [n for n, _ in getattr(theirs, names)()]


def test_attributes_move_between_the_tables() -> None:
    net = Net()
    del net.again
    assert not hasattr(net, "again")
    net.head = nn.Identity()
    assert [n for n, _ in net.named_children()] == ["block", "head"]
    net.block.offset = mg.ones(2)  # stays a buffer
    assert "block.offset" in dict(net.named_buffers())
    net.block.scale = None
    assert "block.scale" not in dict(net.named_parameters()) and net.block.scale is None
    net.plain = mg.ones(1)  # a bare tensor is no buffer
    assert "plain" not in net.state_dict()
    net.plain = nn.Parameter(mg.ones(1))
    assert "plain" in net.state_dict() and "plain" not in net.__dict__
    assert {"plain", "head", "block"} <= set(dir(net))


def test_wrong_attributes_are_refused() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)
            super().__init__()

    class EarlyBuffer(nn.Module):
        def __init__(self) -> None:
            self.register_buffer("b", mg.zeros(1))

    class EarlyNumber(nn.Module):
        def __init__(self) -> None:
            self.number = 3
            super().__init__()

    with pytest.raises(ConfigError, match=r"Early: self\.layer is set before super"):
        Early()
    with pytest.raises(ConfigError, match=r"EarlyBuffer: 'b' is registered before super"):
        EarlyBuffer()
    assert EarlyNumber().number == 3
    layer = nn.Linear(2, 2)
    with pytest.raises(DTypeError, match=r"Linear\.weight must be a Parameter or None, got Tensor"):
        layer.weight = mg.ones(2, 2)
    with pytest.raises(DTypeError, match="register_buffer 'b': needs a Tensor or None, got float"):
        layer.register_buffer("b", 1.0)
    for name in ("", "a.b", "forward"):
        with pytest.raises(ConfigError, match="cannot name"):
            layer.register_parameter(name, None)
    with pytest.raises(AttributeError, match="'Linear' has no attribute 'wieght'"):
        _ = layer.wieght
    with pytest.raises(NotImplementedError, match="Module defines no forward"):
        nn.Module()(1)


def test_apply_changes_parameters_through_data() -> None:
    """The usual weights_init of DCGAN code."""
    net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.Sequential(nn.Conv2d(64, 8, 3)))
    weight, version = net[0].weight, net[0].weight._version[0]
    seen = []

    def weights_init(m: Any) -> None:
        seen.append(type(m).__name__)
        if m.__class__.__name__.find("Conv") != -1:
            nn.init.normal_(m.weight.data, 0.0, 0.02)
        elif m.__class__.__name__.find("BatchNorm2d") != -1:
            m.weight.data.normal_(1.0, 0.02)
            m.bias.data.fill_(7.0)

    assert net.apply(weights_init) is net
    assert seen == ["Conv2d", "BatchNorm2d", "Conv2d", "Sequential", "Sequential"]
    assert net[0].weight is weight and weight._version[0] > version
    assert 0.018 < weight.detach().numpy().std() < 0.022
    assert abs(net[1].weight.detach().numpy().mean() - 1) < 0.02
    assert (net[1].bias.detach().numpy() == 7).all()


def test_hooks_see_and_replace() -> None:
    layer = nn.Linear(2, 2)
    calls: list[str] = []
    pre = layer.register_forward_pre_hook(lambda m, args: calls.append("pre") or (args[0] * 2,))
    first = layer.register_forward_hook(lambda m, args, out: calls.append("post") or out + 1)
    second = layer.register_forward_hook(lambda m, args, out: calls.append("last"))
    x = mg.randn(3, 2)
    expected = nn.functional.linear(x * 2, layer.weight, layer.bias) + 1
    np.testing.assert_array_equal(layer(x).detach().numpy(), expected.detach().numpy())
    assert calls == ["pre", "post", "last"]
    for handle in (pre, first, second):
        handle.remove()
    layer(x)
    assert len(calls) == 3


def test_modes_and_gradients() -> None:
    net = Net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.block.train()
    assert net.block.model[0].training and not net.training
    net(mg.randn(5, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all((p.grad.numpy() == 0).all() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not net(mg.randn(5, 3)).requires_grad


def test_to_keeps_the_parameters_and_integer_buffers() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = list(net.parameters())
    net(mg.randn(4, 2)).sum().backward()
    assert net.double() is net
    assert all(p is q for p, q in zip(net.parameters(), before, strict=True))
    assert {p.dtype for p in net.parameters()} == {np.dtype("float64")}
    assert {p.grad.dtype for p in net.parameters()} == {np.dtype("float64")}
    assert net[1].num_batches_tracked.dtype == np.int64
    net.float()
    assert net[1].running_mean.dtype == np.float32
    assert net.to(dtype="float64", device="cpu")[0].weight.dtype == np.float64
    with pytest.raises(DTypeError, match="floating-point"):
        net.to("int64")
    with pytest.raises(mg.errors.DeviceError, match="--device cpu|CuPy"):
        net.cuda()


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_stand_alone(clone: Any) -> None:
    net = Net()
    x = mg.randn(4, 3)
    net(x).sum().backward()
    twin = clone(net)
    np.testing.assert_array_equal(net(x).detach().numpy(), twin(x).detach().numpy())
    assert twin.again is twin.block
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in twin.parameters())
    assert list(twin.state_dict()) == list(net.state_dict())
    nn.init.zeros_(twin.head.weight)
    assert net.head.weight.detach().numpy().any()


def test_parameter() -> None:
    data = mg.ones(3)
    param = nn.Parameter(data)
    assert param.requires_grad and param.is_leaf and isinstance(param, mg.Tensor)
    assert np.shares_memory(param.detach().numpy(), data.numpy())
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert nn.Parameter(np.ones(2)).dtype == np.float64
    assert repr(param).startswith("Parameter containing:\ntensor([1., 1., 1.]")
    twin = copy.deepcopy(param)
    assert type(twin) is nn.Parameter and twin.requires_grad
    assert not np.shares_memory(twin.detach().numpy(), param.detach().numpy())
    with pytest.raises(DTypeError, match="floating-point"):
        nn.Parameter(mg.tensor([1, 2]))


def test_repr_of_a_tree_equals_torch(torch: Any) -> None:
    def build(nn: Any) -> Any:
        class Head(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.Sequential(nn.Linear(2, 1), nn.Sequential(nn.Tanh()))
                self.nothing = nn.ModuleDict()

            def extra_repr(self) -> str:
                return "first\nsecond"

        class Leaf(nn.Module):
            def extra_repr(self) -> str:
                return "first\nsecond"

        return nn.Sequential(Head(), Leaf(), nn.Sequential())

    assert repr(build(nn)) == repr(build(torch.nn))


ODD_INPUTS: dict[str, tuple[Any, Any, str]] = {
    "linear": (lambda: nn.Linear(5, 3), (2, 4), r"Linear\(.*\): input of shape \(2, 4\); "
               r"expected \[\.\.\., 5\]"),
    "conv": (lambda: nn.Conv2d(3, 8, 3), (2, 4, 8, 8), r"Conv2d\(3, 8.*\): input of shape "
             r"\(2, 4, 8, 8\); expected \[N, 3, H, W\]"),
    "conv transpose": (lambda: nn.ConvTranspose2d(3, 8, 3), (2, 3), r"expected \[N, 3, H, W\]"),
    "batch norm 2d": (lambda: nn.BatchNorm2d(3), (2, 3), r"BatchNorm2d\(3.*expected \[N, 3, H, W"),
    "batch norm 1d": (lambda: nn.BatchNorm1d(3), (2, 4), r"expected \[N, 3\] or \[N, 3, L\]"),
    "one value a channel": (lambda: nn.BatchNorm1d(3), (1, 3), r"larger batch, or eval\(\)"),
    "instance norm": (lambda: nn.InstanceNorm2d(3), (2, 4, 5, 5), r"expected \[N, 3, H, W\]"),
    "layer norm": (lambda: nn.LayerNorm((3, 4)), (2, 4, 4), r"expected \[\.\.\., 3, 4\]"),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 3), r"expected \[N, 4, \.\.\.\]"),
    "upsample": (lambda: nn.Upsample(scale_factor=2), (2, 3), r"expected \[N, C, H, W\]"),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), (1, 3, 2, 2), r"a multiple of 4"),
    "max pool": (lambda: nn.MaxPool2d(2), (2, 3), r"MaxPool2d\(.*expected \[N, C, H, W\]"),
    "dropout 2d": (lambda: nn.Dropout2d(), (2, 3), r"Dropout2d\(.*expected \[N, C, H, W\]"),
    "pad": (lambda: nn.ZeroPad2d(1), (2, 3), r"ZeroPad2d\(.*expected \[N, C, H, W\]"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_INPUTS)
def test_a_wrong_shape_names_layer_shape_and_expectation(name: str) -> None:
    build, shape, message = ODD_INPUTS[name]
    with pytest.raises(ShapeError, match=message) as caught:
        build()(mg.zeros(shape))
    assert "\n" not in str(caught.value)


def test_an_array_is_no_tensor() -> None:
    with pytest.raises(DTypeError, match=r"the input is a ndarray, not a Tensor: use minigan\.t"):
        nn.Linear(2, 2)(np.ones((1, 2)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups=2 must divide in_channels=3"),
        (lambda: nn.Conv2d(3, 4, 3, stride=0), "must be positive"),
        (lambda: nn.Conv2d(3, 4, 3, padding="full"), "padding 'full' is unknown"),
        (lambda: nn.Conv2d(3, 4, 3, 2, padding="same"), "needs stride 1"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode 'mirror' is unknown"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "does not exist"),
        (lambda: nn.GroupNorm(3, 4), "num_groups=3 must divide num_channels=4"),
        (lambda: nn.Dropout(1.5), r"p must lie in \[0, 1\], got 1.5"),
        (lambda: nn.Upsample(), "either size or scale_factor"),
        (lambda: nn.Upsample(scale_factor=2, mode="cubic"), "mode 'cubic' is unknown"),
        (lambda: nn.Upsample(scale_factor=2, align_corners=True), "belongs to mode='bilinear'"),
        (lambda: nn.ZeroPad2d((1, 2)), r"left, right, top"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "padding_idx=3 is no row of 3 rows"),
    ],
)
def test_impossible_layers_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_conv_transpose_output_size_out_of_reach() -> None:
    with pytest.raises(ShapeError, match=r"must lie between \(11, 13\) and \(12, 14\)"):
        nn.ConvTranspose2d(4, 5, 3, 2, 1)(mg.zeros(1, 4, 6, 7), output_size=(13, 13))
