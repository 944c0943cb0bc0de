"""Every kernel that can compute a convolution, forced in turn, against the float64 reference.

Long because the geometries, the plans and the planted defects are tables that belong together.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from minigan.backends import cuda, reference
from minigan.backends.cuda import conv
from minigan.backends.cuda.conv_plan import ASYNC, MAX_TAPS, Plan
from minigan.backends.cuda.launch import launcher, use_launcher
from tests.cuda_on_cpu import emulator
from tests.cuda_on_cpu.harness import needs_gcc, normal

pytestmark = needs_gcc

FILES = (*(path.name for path in emulator.KERNELS.glob("conv*.cu")), "split_sum.cu", "matmul.cu")

# N, C, H, W, K, R, S, stride, padding, dilation, groups
GEOMETRIES = [
    (1, 1, 1, 1, 1, 1, 1, (1, 1), (0, 0), (1, 1), 1),
    (2, 3, 7, 5, 5, 3, 3, (1, 1), (1, 1), (1, 1), 1),
    (2, 3, 8, 8, 5, 4, 4, (2, 2), (1, 1), (1, 1), 1),
    (3, 5, 9, 7, 3, 3, 2, (2, 3), (1, 0), (1, 1), 1),  # a phase that no tap reaches
    (1, 4, 9, 9, 6, 3, 3, (1, 2), (2, 1), (2, 1), 2),
    (2, 6, 6, 7, 6, 3, 3, (2, 1), (1, 2), (3, 2), 6),
    (1, 2, 8, 8, 3, 2, 2, (3, 3), (0, 0), (1, 1), 1),  # some pixels are in no window
    (1, 2, 9, 9, 3, 3, 3, (2, 2), (0, 0), (2, 2), 1),  # stride and dilation share a factor
    (1, 3, 3, 6, 70, 3, 3, (1, 1), (1, 1), (1, 1), 1),  # a tile of channels, and 6 more
    (2, 8, 8, 8, 12, 4, 4, (2, 2), (1, 1), (1, 1), 1),  # all copies in pieces of 16 bytes
    (5, 20, 3, 3, 68, 3, 3, (2, 2), (1, 1), (1, 1), 1),  # long sums for few pixels
    (1, 5, 5, 9, 2, 7, 7, (1, 1), (3, 3), (1, 1), 1),
    (1, 4, 6, 6, 4, 1, 1, (2, 2), (0, 0), (1, 1), 1),
    (3, 7, 4, 4, 9, 4, 4, (2, 1), (0, 0), (1, 1), 1),  # one window, the whole image
]  # fmt: skip

# The largest error, as a part of the largest value: fp32's rounding, TF32's mantissa of 10 bits,
# and what the split into two of them leaves.
TOLERANCE = {"tf32": 1e-3, "3xtf32": 2e-6}
FP32 = 2e-6
PLANS = [
    Plan("simt"),
    Plan("simt", (64, 64), 3),
    Plan("matmul"),
    *(Plan("few_outputs", (4, 128), splits) for splits in (1, 2)),
    Plan("few_inputs", (64, 128)),
    Plan("fp32", (64, 128)),
    Plan("fp32", (64, 64), 3),
    Plan("tf32", (128, 128)),
    Plan("tf32", (64, 128)),
    Plan("tf32", (64, 64), 3),
    Plan("3xtf32", (64, 128), 3),
    Plan("3xtf32", (64, 64)),
]
WEIGHT_PLANS = [
    *(Plan("simt", (64, 64), splits) for splits in (1, 5)),
    *(Plan("few_filters", (4, 1), splits) for splits in (1, 5)),
    Plan("matmul"),
    *(plan for plan in PLANS if plan.kernel in ASYNC),
]


def _device(kind, folders):
    device = emulator.Emulator(emulator.build(kind, folders.mktemp(kind), only=FILES))
    device.capability = (8, 0)
    return device


@pytest.fixture(scope="module")
def plain_build(tmp_path_factory):
    return _device("plain", tmp_path_factory)


@pytest.fixture(scope="module")
def race_build(tmp_path_factory):
    return _device("race", tmp_path_factory)


@pytest.fixture
def plain(plain_build):
    with use_launcher(plain_build):
        yield plain_build


@pytest.fixture
def race(race_build):
    """Finds a race in any schedule, so that one is enough."""
    with use_launcher(race_build):
        yield race_build


def close(actual, expected, plan):
    assert actual.shape == expected.shape and actual.dtype == np.float32
    scale = np.abs(expected).max(initial=1e-3)
    tolerance = TOLERANCE.get(plan.kernel, FP32)
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=tolerance)


class Case:
    """A geometry's operands, and the three results in float64."""

    def __init__(self, geometry):
        n, self.c, h, w, self.k, r, s, *self.rest = geometry
        self.groups, self.kernel = self.rest[-1], (r, s)
        self.x, self.weight = normal(n, self.c, h, w), normal(self.k, self.c // self.groups, r, s)
        self.bias, self.input_bias = normal(self.k), normal(self.c)
        wide = [a.astype(np.float64) for a in (self.x, self.weight, self.bias, self.input_bias)]
        self.y = reference.conv2d(*wide[:3], *self.rest)
        self.grad = normal(*self.y.shape)
        grad = self.grad.astype(np.float64)
        self.dx = reference.conv2d_input_grad(grad, wide[1], wide[3], (h, w), *self.rest)
        self.dweight = reference.conv2d_weight_grad(wide[0], grad, (r, s), *self.rest)

    def covered(self, plan, inputs, outputs):
        """Whether a kernel's own limits allow the geometry."""
        if plan.kernel in ASYNC and (self.groups > 1 or launcher().capability < (8, 0)):
            return False
        if plan.kernel == "matmul":
            return self.rest[1:] == [(0, 0), (1, 1), 1] and self.kernel == self.x.shape[2:]
        if plan.kernel == "few_outputs" and outputs // self.groups > 4:
            return False
        if plan.kernel == "few_inputs" and inputs // self.groups > 4:
            return False
        return plan.kernel == "simt" or self.kernel[0] * self.kernel[1] <= MAX_TAPS

    def forward(self, plan=None):
        return conv.conv2d(self.x, self.weight, self.bias, *self.rest, plan=plan)

    def input_grad(self, plan=None):
        hw = self.x.shape[2:]
        return conv.conv2d_input_grad(
            self.grad, self.weight, self.input_bias, hw, *self.rest, plan=plan
        )

    def weight_grad(self, plan=None):
        return conv.conv2d_weight_grad(self.x, self.grad, self.kernel, *self.rest, plan=plan)


def check_every_plan(geometry):
    case = Case(geometry)
    for plan in PLANS:
        if case.covered(plan, case.c, case.k):
            close(case.forward(plan), case.y, plan)
        if case.covered(plan, case.k, case.c):
            close(case.input_grad(plan), case.dx, plan)
    for plan in WEIGHT_PLANS:
        if plan.kernel == "few_filters" and (case.k // case.groups > 4 or case.kernel[1] > 8):
            continue
        if case.covered(plan, case.c, case.k):
            close(case.weight_grad(plan), case.dweight, plan)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_every_plan_in_every_schedule(plain, geometry):
    for schedule in emulator.SCHEDULES.values():
        plain.schedule = schedule
        check_every_plan(geometry)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_no_plan_has_a_race(race, geometry):
    check_every_plan(geometry)


@pytest.mark.parametrize("precision", ["fp32", "tf32", "3xtf32"])
@pytest.mark.parametrize(
    "layer",
    [
        (1, 64, 16, 16, 128, 4, 4, (2, 2), (1, 1), (1, 1), 1),  # DCGAN's second
        (1, 64, 12, 12, 3, 7, 7, (1, 1), (3, 3), (1, 1), 1),  # CycleGAN's last
        (2, 3, 16, 16, 64, 4, 4, (2, 2), (1, 1), (1, 1), 1),  # DCGAN's first
        (1, 512, 4, 4, 1, 4, 4, (1, 1), (1, 1), (1, 1), 1),  # pix2pix's judge's last
        (1, 128, 2, 2, 128, 4, 4, (2, 2), (1, 1), (1, 1), 1),  # the U-Net's innermost
        (8, 70, 4, 4, 100, 4, 4, (1, 1), (0, 0), (1, 1), 1),  # DCGAN's generator's first
    ],
    ids=str,
)  # fmt: skip
def test_layers_by_the_rule(plain, layer, precision, monkeypatch):
    """fp32 within 1e-5 here: sums are as long as 8192."""
    plain.schedule = 0
    monkeypatch.setattr(conv, "get_precision", lambda: precision)
    monkeypatch.setattr(plain, "multiprocessors", 16)
    case = Case(layer)
    tolerance = 1e-3 if precision == "tf32" else 1e-5
    for actual, expected in (
        (case.forward(), case.y),
        (case.input_grad(), case.dx),
        (case.weight_grad(), case.dweight),
    ):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=tolerance)


def test_the_schedule_changes_no_bit(plain):
    case = Case(GEOMETRIES[9])
    results = []
    for schedule in emulator.SCHEDULES.values():
        plain.schedule = schedule
        for plan in (Plan("tf32", (64, 64), 3), Plan("few_inputs", (64, 128))):
            results.append(case.forward(plan))
    for a, b in zip(results[2:], results, strict=False):
        np.testing.assert_array_equal(a, b)


def test_operands_that_begin_between_16_bytes(plain):
    """Images whose size is a multiple of 4, at an address that is not: copied in pieces of 4."""
    case = Case(GEOMETRIES[9])
    for name in ("grad", "x"):
        array = getattr(case, name)
        moved = np.empty(array.size + 1, np.float32)[1:].reshape(array.shape)
        moved[:] = array
        setattr(case, name, moved)
    for plan in PLANS[-7:]:
        close(case.weight_grad(plan), case.dweight, plan)


def test_three_products_are_a_thousand_times_as_exact(plain):
    case = Case((1, 16, 8, 8, 16, 3, 3, (1, 1), (1, 1), (1, 1), 1))
    errors = {
        kernel: np.abs(case.forward(Plan(kernel, (64, 64))) - case.y).max() for kernel in TOLERANCE
    }
    assert errors["tf32"] > 300 * errors["3xtf32"]


@pytest.mark.parametrize("kernel", ASYNC)
def test_what_is_not_finite_stays_so(plain, kernel):
    """Also the NaN whose mantissa is all ones, which rounding must not carry into the sign."""
    case = Case((1, 6, 4, 4, 5, 1, 1, (1, 1), (0, 0), (1, 1), 1))
    case.x[0, 0, 0] = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800000, 0xFF800000], "u4").view("f4")
    y = case.forward(Plan(kernel, (64, 64)))
    assert not np.isfinite(y[:, :, 0]).any() and np.isnan(y[:, :, 0, :2]).all()
    close(y[:, :, 1:], case.y[:, :, 1:].copy(), Plan(kernel))


@pytest.mark.parametrize("shape", [(64, 700, 70), (1, 4096, 3), (2, 3, 2000, 5)], ids=str)
@pytest.mark.parametrize("multiprocessors", [1, 7, 132])
def test_matrix_products_with_few_results(plain, shape, multiprocessors, monkeypatch):
    monkeypatch.setattr(plain, "multiprocessors", multiprocessors)
    *batch, m, k, n = shape
    a, b = normal(*batch, m, k), normal(*batch, n, k).swapaxes(-1, -2)
    close(cuda.matmul(a, b), a.astype(np.float64) @ b.astype(np.float64), Plan("simt"))


_WAIT = "      cp_async_wait(STAGES - 2);\n      __syncthreads();"
# The operation in which the race build must find it, the file, and the change.
DEFECTS = {
    "a slice is not waited for": (
        "forward", "async_windows.cuh", "cp_async_wait(STAGES - 2)", "cp_async_wait(STAGES - 1)"),
    "a slice of the weight gradient is not waited for": (
        "weight_grad", "conv_weight_grad_async.cu", "cp_async_wait(STAGES - 2)",
        "cp_async_wait(STAGES - 1)"),
    "no barrier between the slices": (
        "forward", "async_windows.cuh", _WAIT, "      cp_async_wait(STAGES - 2);"),
    "no barrier between the slices of the weight gradient": (
        "weight_grad", "conv_weight_grad_async.cu", _WAIT, "      cp_async_wait(STAGES - 2);"),
    "no group for a slice that is not there": (
        "forward", "async_windows.cuh", "shared + free * STAGE);\n    cp_async_commit();",
        "shared + free * STAGE), cp_async_commit();"),
    "the targets overwrite a slice in use": (
        "forward", "async_windows.cuh", "  __syncthreads();\n  if (turn == 0)", "  if (turn == 0)"),
    "channels after the last are copied": (
        "forward", "async_windows.cuh", "inside && i < left", "inside"),
    "pixels outside the image are copied": (
        "input_grad", "window.cuh", "if ((unsigned)(x + s * g.w.tap_step) < (unsigned)g.w.source)",
        ""),
    "filters after the last are copied": (
        "forward", "async_tile.cuh", "row0 + row < rows);", "true);"),
    "filters after the last are stored": (
        "forward", "async_windows.cuh", "channel >= rows || left < 0", "left < 0"),
    "pixels after the last are read": (
        "weight_grad", "conv_weight_grad_async.cu", "inside = exists &&", "inside ="),
    "the last channels of a tap are not filled up": (
        "forward", "conv_pack.cu", "inside ? from", "true ? from"),
    "weights are written before all are read": (
        "input_grad", "conv_pack.cu", "round, shared);\n  __syncthreads();", "round, shared);"),
    "the parts go to one place": (
        "forward", "conv_forward_async.cu", "y + (size_t)split *", "y + (size_t)0 *"),
    "a part begins where another does": (
        "input_grad", "conv_input_grad_async.cu", "(int)((long long)slices * split / splits)", "0"),
    "the parts are added in a wrong order": (
        "forward", "split_sum.cu", "(size_t)split * n + i", "(size_t)i * splits + split"),
    "the last part is not added": (
        "weight_grad", "conv_weight_grad_async.cu", "split < splits;", "split < splits - 1;"),
    "weights change while they are read": (
        "few_channels", "conv_direct.cu", "      }\n    }\n    __syncthreads();", "      }\n    }"),
    "the warps' sums are not waited for": (
        "few_channels", "conv_direct.cu", "acc[i][o];\n  __syncthreads();", "acc[i][o];"),
    "filters after the last are read": (
        "few_filters", "conv_weight_grad_direct.cu", "k < filters ? grad", "k < FEW ? grad"),
}  # fmt: skip
_FILES = {
    "forward": "conv_forward_async.cu", "input_grad": "conv_input_grad_async.cu",
    "weight_grad": "conv_weight_grad_async.cu", "few_channels": "conv_direct.cu",
    "few_filters": "conv_weight_grad_direct.cu",
}  # fmt: skip


def check_operation(operation):
    """On several slices, tiles and parts, none of them full."""
    if operation == "few_channels":
        case = Case((1, 40, 5, 5, 3, 3, 3, (1, 1), (1, 1), (1, 1), 1))
        outputs, inputs = Plan("few_outputs", (4, 128), 1), Plan("few_inputs", (64, 128))
        close(case.forward(outputs), case.y, outputs)
        close(case.input_grad(inputs), case.dx, inputs)
    elif operation == "few_filters":
        case, plan = Case((1, 4, 5, 5, 3, 3, 3, (1, 1), (1, 1), (1, 1), 1)), WEIGHT_PLANS[3]
        close(case.weight_grad(plan), case.dweight, plan)
    else:
        case = Case((1, 8, 9, 9, 67, 3, 3, (1, 1), (1, 1), (1, 1), 1))
        expected = {"forward": case.y, "input_grad": case.dx, "weight_grad": case.dweight}
        for plan in (Plan("tf32", (64, 64), 1), Plan("tf32", (64, 64), 2)):
            close(getattr(case, operation)(plan), expected[operation], plan)


@pytest.mark.parametrize("operation", _FILES)
def test_the_defects_are_planted_in_what_is_right(race, operation):
    check_operation(operation)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect, tmp_path):
    operation, *change = DEFECTS[defect]
    files = (_FILES[operation], "conv_pack.cu", "split_sum.cu")
    device = emulator.Emulator(emulator.build("race", tmp_path, tuple(change), only=files))
    device.capability = (8, 0)
    with use_launcher(device), pytest.raises(AssertionError):
        check_operation(operation)


_UNDER_ASAN = """
import sys
from pathlib import Path
from minigan.backends.cuda.launch import launcher, use_launcher
from tests.cuda_on_cpu import emulator, test_conv_plans
device = emulator.Emulator(Path(sys.argv[1]))
device.capability = (8, 0)
with use_launcher(device):
    for operation in sys.argv[2:]:
        test_conv_plans.check_operation(operation)
    for geometry in test_conv_plans.GEOMETRIES[1:5] if len(sys.argv) == 2 else ():
        test_conv_plans.check_every_plan(geometry)
print("clean")
"""


def _under_asan(library, *operations):
    preload = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True,
                       check=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]  # fmt: skip
    environment = os.environ | {
        "LD_PRELOAD": " ".join(preload), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", _UNDER_ASAN, str(library), *operations], env=environment,
        capture_output=True, text=True, cwd=emulator.HERE.parents[1],
    )  # fmt: skip


def test_address_sanitizer_finds_nothing(tmp_path):
    done = _under_asan(emulator.build("asan", tmp_path, only=FILES))
    assert done.returncode == 0 and done.stdout == "clean\n", done.stderr[-2000:]


@pytest.mark.parametrize(
    "operation, change",
    [
        ("forward", ("async_tile.cuh", "(ASYNC_STAGES(TM, TN) *", "((ASYNC_STAGES(TM, TN) - 1) *")),
        ("few_channels", ("conv_direct.cu", "weights[e][o] =", "weights[e + 1900][o] =")),
    ],
)
def test_address_sanitizer_finds_an_overrun_of_shared_memory(operation, change, tmp_path):
    files = (_FILES[operation], "conv_pack.cu", "split_sum.cu")
    done = _under_asan(emulator.build("asan", tmp_path, change, only=files), operation)
    assert done.returncode != 0 and "ERROR: AddressSanitizer" in done.stderr
