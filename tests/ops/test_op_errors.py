"""The commonest mistakes: the right error class, one line, with the operation and the values."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

import minigan as mg
from minigan import ops
from minigan.errors import ConfigError, DeviceError, DTypeError, MiniganError, ShapeError


def t(*shape: int, dtype: str = "float32") -> mg.Tensor:
    return mg.zeros(*shape, dtype=dtype)


LABELS = mg.tensor([0, 3, 1])

# (what was done, error class, what the message must hold)
MISTAKES = {
    "broadcast": (lambda: t(2, 3) + t(4), ShapeError, ["add", "(2, 3)", "(4,)"]),
    "matmul": (lambda: t(2, 3) @ t(4, 5), ShapeError, ["matmul", "(2, 3)", "(4, 5)"]),
    "matmul of a number": (lambda: t(2, 3) @ t(), ShapeError, ["matmul", "(2, 3)", "()"]),
    "matmul batches": (lambda: t(2, 3, 4) @ t(3, 4, 5), ShapeError, ["matmul", "(2, 3, 4)"]),
    "linear features": (lambda: ops.linear(t(8, 100), t(10, 64)), ShapeError,
                        ["linear", "(8, 100)", "(10, 64)"]),
    "linear bias": (lambda: ops.linear(t(8, 4), t(10, 4), t(4)), ShapeError,
                    ["linear", "bias", "(10,)", "(4,)"]),
    "linear dtype": (lambda: ops.linear(t(8, 4), t(10, 4, dtype="float64")), DTypeError,
                     ["linear", "float32", "float64"]),
    "reshape": (lambda: t(2, 3).reshape(4, 2), ShapeError, ["reshape", "6 elements", "(4, 2)"]),
    "two unknown lengths": (lambda: t(2, 3).reshape(-1, -1), ShapeError, ["reshape", "(-1, -1)"]),
    "negative length": (lambda: t(2, 3).reshape(-2, -3), ShapeError, ["reshape", "(-2, -3)"]),
    "axis": (lambda: t(2, 3).sum(2), ShapeError, ["sum", "dim 2", "2 dimensions"]),
    "axis of softmax": (lambda: ops.softmax(t(2, 3), -3), ShapeError, ["softmax", "dim -3"]),
    "argmax axis": (lambda: t(2, 3).argmax(5), ShapeError, ["argmax", "dim 5"]),
    "repeated axis": (lambda: t(2, 3).sum((0, 0)), ShapeError, ["sum", "(0, 0)"]),
    "permute": (lambda: t(2, 3).permute(0, 0), ShapeError, ["permute", "(0, 0)", "(2, 3)"]),
    "expand": (lambda: t(2, 3).expand(2, 4), ShapeError, ["expand", "(2, 3)", "(2, 4)"]),
    "cat": (lambda: ops.cat([t(2, 3), t(2, 4)]), ShapeError, ["cat", "(2, 3), (2, 4)", "dim 0"]),
    "cat of nothing": (lambda: ops.cat([]), ShapeError, ["cat"]),
    "stack": (lambda: ops.stack([t(2), t(3)]), ShapeError, ["stack", "(2,)", "(3,)"]),
    "stack of nothing": (lambda: ops.stack([]), ShapeError, ["stack"]),
    "split": (lambda: t(5).split([2, 2]), ShapeError, ["split", "[2, 2]", "5"]),
    "split by 0": (lambda: t(5).split(0), ShapeError, ["split", "0"]),
    "chunk by 0": (lambda: t(5).chunk(0), ShapeError, ["chunk", "0"]),
    "unflatten": (lambda: t(2, 5).unflatten(1, (2, -1)), ShapeError, ["unflatten", "5", "(2, -1)"]),
    "index": (lambda: t(2, 3)[5], ShapeError, ["index", "(2, 3)", "5"]),
    "index shapes": (lambda: t(2, 3)[[0, 1], [0, 1, 2]], ShapeError, ["index", "(2, 3)"]),
    "index_select": (lambda: t(2, 3).index_select(0, mg.tensor([2])), ShapeError,
                     ["index_select", "2", "0..1"]),
    "gather": (lambda: t(2, 3).gather(1, mg.tensor([[3], [0]])), ShapeError,
               ["gather", "3", "0..2"]),
    "iteration of a number": (lambda: list(t()), ShapeError, ["0-d"]),
    "item": (lambda: t(2).item(), ShapeError, ["item()", "(2,)"]),
    "conv2d channels": (lambda: ops.conv2d(t(8, 1, 32, 32), t(16, 3, 3, 3)), ShapeError,
                        ["conv2d", "(8, 1, 32, 32)", "(16, 3, 3, 3)", "3 input channels"]),
    "conv2d groups": (lambda: ops.conv2d(t(1, 4, 8, 8), t(3, 2, 3, 3), groups=2), ShapeError,
                      ["conv2d", "groups=2"]),
    "conv2d too small": (lambda: ops.conv2d(t(1, 3, 2, 2), t(8, 3, 4, 4)), ShapeError,
                         ["conv2d", "2x2", "4x4", "padding (0, 0)"]),
    "conv2d dtype": (lambda: ops.conv2d(t(1, 3, 4, 4, dtype="float64"), t(8, 3, 3, 3)),
                     DTypeError, ["conv2d", "float64", "weight", "float32"]),
    "conv2d integers": (lambda: ops.conv2d(t(1, 3, 4, 4, dtype="int64"),
                                           t(8, 3, 3, 3, dtype="int64")),
                        DTypeError, ["conv2d", "int64"]),
    "conv2d bias": (lambda: ops.conv2d(t(1, 3, 4, 4), t(8, 3, 3, 3), t(3)), ShapeError,
                    ["conv2d", "bias", "(8,)", "(3,)"]),
    "conv2d stride": (lambda: ops.conv2d(t(1, 3, 4, 4), t(8, 3, 3, 3), stride=0), ShapeError,
                      ["conv2d", "stride (0, 0)"]),
    "conv2d flat input": (lambda: ops.conv2d(t(8, 784), t(8, 3, 3, 3)), ShapeError,
                          ["conv2d", "[N,C,H,W]", "(8, 784)"]),
    "conv2d padding name": (lambda: ops.conv2d(t(1, 3, 4, 4), t(8, 3, 3, 3), padding="sam"),
                            ShapeError, ["conv2d", "'sam'", "'same'"]),
    "conv_transpose2d channels": (
        lambda: ops.conv_transpose2d(t(8, 100, 1, 1), t(64, 512, 4, 4)), ShapeError,
        ["conv_transpose2d", "(8, 100, 1, 1)", "(64, 512, 4, 4)"]),
    "output_padding": (
        lambda: ops.conv_transpose2d(t(1, 2, 3, 3), t(2, 2, 3, 3), output_padding=1), ShapeError,
        ["conv_transpose2d", "output_padding (1, 1)", "stride"]),
    "upsample_conv2d": (lambda: ops.upsample_conv2d(t(1, 2, 3, 3), t(2, 2, 5, 5)), ShapeError,
                        ["upsample_conv2d", "(2, 2, 5, 5)"]),
    "batch_norm channels": (lambda: ops.batch_norm(t(8, 16, 4, 4), None, None, t(32), t(32), True),
                            ShapeError, ["batch_norm", "weight", "(16,)", "(32,)"]),
    "batch_norm of one": (lambda: ops.batch_norm(t(1, 16), None, None, training=True), ShapeError,
                          ["batch_norm", "(1, 16)", "larger batch"]),
    "batch_norm eval": (lambda: ops.batch_norm(t(2, 3), None, None), ShapeError,
                        ["batch_norm", "running_mean"]),
    "group_norm": (lambda: ops.group_norm(t(2, 6, 3), 4), ShapeError,
                   ["group_norm", "4 groups", "6 channels"]),
    "layer_norm": (lambda: ops.layer_norm(t(2, 6), (5,)), ShapeError,
                   ["layer_norm", "(2, 6)", "(5,)"]),
    "instance_norm of one pixel": (lambda: ops.instance_norm(t(2, 3, 1, 1)), ShapeError,
                                   ["instance_norm", "(2, 3, 1, 1)"]),
    "labels out of range": (lambda: ops.cross_entropy(t(3, 3), LABELS), ShapeError,
                            ["label 3", "0..2"]),
    "negative label": (lambda: ops.cross_entropy(t(1, 3), mg.tensor([-1])), ShapeError,
                       ["label -1", "0..2"]),
    "labels as floats": (lambda: ops.nll_loss(t(3, 4), t(3)), DTypeError,
                         ["nll_loss", "integers", "float32"]),
    "label count": (lambda: ops.cross_entropy(t(4, 5), LABELS), ShapeError, ["(4, 5)", "(3,)"]),
    "loss shapes": (lambda: ops.binary_cross_entropy_with_logits(t(8, 1), t(8)), ShapeError,
                    ["binary_cross_entropy_with_logits", "(8, 1)", "(8,)", "reshape"]),
    "mse shapes": (lambda: ops.mse_loss(t(8, 1), t(8)), ShapeError,
                   ["mse_loss", "(8, 1)", "(8,)"]),
    "reduction": (lambda: ops.mse_loss(t(2), t(2), reduction="avg"), ConfigError,
                  ["'avg'", "'mean'"]),
    "embedding index": (lambda: ops.embedding(mg.tensor([10]), t(10, 4)), ShapeError,
                        ["embedding", "10", "0..9"]),
    "embedding of floats": (lambda: ops.embedding(t(2), t(10, 4)), DTypeError,
                            ["embedding", "float32"]),
    "pixel_shuffle": (lambda: ops.pixel_shuffle(t(1, 6, 2, 2), 2), ShapeError,
                      ["pixel_shuffle", "6 channels", "2^2"]),
    "pool": (lambda: ops.max_pool2d(t(1, 1, 2, 2), 3), ShapeError,
             ["max_pool2d", "(2, 2)", "(3, 3)"]),
    "adaptive pool of flat input": (lambda: ops.adaptive_avg_pool2d(t(8, 784), 1), ShapeError,
                                    ["adaptive_avg_pool2d", "(8, 784)"]),
    "pixel_shuffle of flat input": (lambda: ops.pixel_shuffle(t(8, 784), 2), ShapeError,
                                    ["pixel_shuffle", "(8, 784)"]),
    "upsample": (lambda: ops.upsample(t(1, 1, 2, 2)), ConfigError, ["upsample", "size"]),
    "upsample mode": (lambda: ops.upsample(t(1, 1, 2, 2), 4, mode="cubic"), ConfigError,
                      ["upsample", "'cubic'", "'nearest'"]),
    "reflect": (lambda: ops.pad(t(1, 1, 2, 2), (2, 2), mode="reflect"), ShapeError,
                ["reflect", "(2, 2)", "length 2"]),
    "pad": (lambda: ops.pad(t(2), (1, 2, 3)), ShapeError, ["pad", "(1, 2, 3)", "(2,)"]),
    "pad crops away": (lambda: ops.pad(t(1, 3), (-2, -2)), ShapeError, ["pad", "(-2, -2)"]),
    "dropout": (lambda: ops.dropout(t(2), 1.5), ConfigError, ["dropout", "[0, 1]", "1.5"]),
    "a string": (lambda: t(2) + "1", DTypeError, ["add", "str"]),
    "an array for a tensor": (lambda: ops.exp(np.ones(2)), DTypeError, ["exp", "ndarray"]),
    "max of nothing": (lambda: t(0).max(), ShapeError, ["(0,)"]),
    "argmax of nothing": (lambda: t(0).argmax(), ShapeError, ["argmax", "(0,)"]),
    "max along nothing": (lambda: t(0, 2).max(0), ShapeError, ["(0, 2)"]),
    "device": (lambda: t(2).to("gpu"), DeviceError, ["'gpu'", "'cuda:N'"]),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_message(mistake):
    act, kind, parts = MISTAKES[mistake]
    with pytest.raises(MiniganError) as caught:
        act()
    message = str(caught.value)
    assert isinstance(caught.value, kind)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
@pytest.mark.parametrize("move", [lambda x: x.to("cuda:0"), lambda x: x.cuda()])
def test_cuda_without_cupy_says_what_to_install(move):
    with pytest.raises(DeviceError, match=r"pip install 'minigan\[cuda12\]'"):
        move(t(2))


def test_operands_on_different_devices():
    class OnAnotherDevice(np.ndarray):
        """Stands for a CuPy array: another type of array, which says on which GPU it is."""

        device = SimpleNamespace(id=0)

    other = mg.Tensor._wrap(np.ones(2, np.float32).view(OnAnotherDevice))
    with pytest.raises(DeviceError, match=r"Add: operands on different devices.*\.to\(\)"):
        t(2) + other
    with pytest.raises(DeviceError, match=r"Add: operands on different devices.*\.to\(\)"):
        other + t(2)


def test_built_in_classes_catch_them_too():
    with pytest.raises(ValueError):
        t(2) + t(3)
    with pytest.raises(TypeError):
        t(2) + "x"
