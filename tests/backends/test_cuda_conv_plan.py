"""The rule that picks a convolution's kernel, and the precision that it asks for."""

from typing import NamedTuple

import pytest

from minigan.backends.cuda import conv_plan, precision
from minigan.backends.cuda.conv_plan import Conv, Plan
from minigan.errors import ConfigError


class Gpu(NamedTuple):
    capability: tuple[int, int]
    multiprocessors: int


H100, T4 = Gpu((9, 0), 132), Gpu((7, 5), 40)


def layer(n, c, size, k, kernel, stride=1, padding=0, groups=1):
    out = (size + 2 * padding - kernel) // stride + 1
    return Conv(n, c, (size, size), k, (kernel, kernel), (out, out), (stride, stride),
                (padding, padding), (1, 1), groups)  # fmt: skip


FIRST = layer(128, 3, 64, 64, 4, 2, 1)  # DCGAN's judge, from the image on
SECOND = layer(128, 64, 32, 128, 4, 2, 1)
INNERMOST = layer(1, 512, 2, 512, 4, 2, 1)  # of pix2pix's U-Net
RESIDUAL = layer(1, 256, 64, 256, 3, 1, 1)  # of CycleGAN
LAST = layer(1, 64, 256, 3, 7, 1, 3)
HEAD = layer(1, 512, 31, 1, 4, 1, 1)


@pytest.mark.parametrize(
    "conv, forward, input_grad, weight_grad",
    [
        (FIRST, "few_inputs", "few_outputs", "simt"),
        (SECOND, "tf32", "tf32", "tf32"),
        (INNERMOST, "tf32", "tf32", "tf32"),
        (layer(128, 512, 4, 100, 4), "matmul", "matmul", "matmul"),
        (layer(128, 512, 4, 1, 4), "few_outputs", "few_inputs", "few_filters"),
        (LAST, "few_outputs", "few_inputs", "few_filters"),
        (HEAD, "few_outputs", "few_inputs", "few_filters"),
    ],
)
def test_the_kernel_of_a_layer(conv, forward, input_grad, weight_grad):
    assert conv_plan.forward(conv, "tf32", H100).kernel == forward
    assert conv_plan.input_grad(conv, "tf32", H100).kernel == input_grad
    assert conv_plan.weight_grad(conv, "tf32", H100).kernel == weight_grad


RULES = (conv_plan.forward, conv_plan.input_grad, conv_plan.weight_grad)


@pytest.mark.parametrize("rule", RULES)
def test_the_precision_names_the_kernel_where_the_gpu_has_it(rule):
    for precision_ in precision.PRECISIONS:
        assert rule(SECOND, precision_, H100).kernel == precision_
        assert rule(SECOND, precision_, T4).kernel == "simt"
        assert rule(layer(1, 64, 8, 64, 3, groups=8), precision_, H100).kernel == "simt"
        assert rule(layer(1, 64, 20, 64, 9), precision_, H100).kernel == "simt"  # 81 taps


def test_the_largest_tile_that_fills_the_gpu():
    assert conv_plan.forward(SECOND, "tf32", H100) == Plan("tf32", (128, 128), 1)
    assert conv_plan.forward(RESIDUAL, "tf32", H100) == Plan("tf32", (64, 64), 1)
    assert conv_plan.forward(RESIDUAL, "tf32", Gpu((8, 0), 108)) == Plan("tf32", (64, 128), 1)
    assert conv_plan.forward(SECOND, "3xtf32", H100) == Plan("3xtf32", (64, 128), 1)
    few = layer(128, 64, 32, 24, 4, 2, 1)
    assert conv_plan.forward(few, "tf32", H100).tile == (64, 64)


def test_a_sum_is_cut_for_two_blocks_a_multiprocessor():
    for rule in RULES[:2]:
        plan = rule(INNERMOST, "tf32", H100)
        phases = 1 if rule is conv_plan.forward else 4
        blocks = 8 * phases * plan.splits
        assert 2 * 132 <= blocks < 2 * 132 + 8 * phases
    plan = conv_plan.weight_grad(SECOND, "tf32", H100)
    assert 1024 // 128 * plan.splits >= 2 * 132
    assert conv_plan.forward(HEAD, "tf32", H100).splits == 512 // 32  # of 33 wanted
    assert conv_plan.forward(SECOND, "tf32", H100).splits == 1


@pytest.mark.parametrize("size", [1, 5, 40])
@pytest.mark.parametrize("n", [1, 3])
def test_no_part_of_a_sum_is_empty(n, size):
    conv = layer(n, 8, size, 9, 1)
    for rule, slices in zip(RULES, (1, 1, -(-n * size * size // 16)), strict=True):
        for precision_ in precision.PRECISIONS:
            assert 1 <= rule(conv, precision_, H100).splits <= slices


def test_the_splits_of_a_matrix_product():
    assert conv_plan.matmul_splits(1, 64, 512, 1024, H100) == 16  # 64 terms a part
    assert conv_plan.matmul_splits(1, 64, 512, 1024, T4) == 10
    assert conv_plan.matmul_splits(1, 1024, 1024, 1024, H100) == 1
    assert conv_plan.matmul_splits(64, 64, 512, 1024, H100) == 1
    assert conv_plan.matmul_splits(1, 1, 1, 3, H100) == 1


@pytest.fixture
def no_choice(monkeypatch):
    monkeypatch.setattr(precision, "_chosen", [])
    monkeypatch.delenv(precision.VARIABLE, raising=False)


def test_the_default_precision_is_pytorchs(no_choice):
    assert precision.get_precision() == "tf32"


def test_the_environment_is_read_once(no_choice, monkeypatch):
    monkeypatch.setenv(precision.VARIABLE, "3xtf32")
    assert precision.get_precision() == "3xtf32"
    monkeypatch.setenv(precision.VARIABLE, "fp32")
    assert precision.get_precision() == "3xtf32"
    precision.set_precision("fp32")
    assert precision.get_precision() == "fp32"


def test_a_wrong_precision_is_one_clear_error(no_choice, monkeypatch):
    monkeypatch.setenv(precision.VARIABLE, "fp16")
    with pytest.raises(ConfigError, match="MINIGAN_PRECISION is 'fp16': use one of fp32, tf32, "):
        precision.get_precision()
    with pytest.raises(ConfigError, match="precision is 'half'"):
        precision.set_precision("half")
