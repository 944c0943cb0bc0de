"""The CUDA kernels, compiled by g++, against the NumPy reference: three builds, all schedules."""

import os
import platform
import shutil
import subprocess
import sys

import numpy as np
import pytest

from minigan.backends import cuda, reference
from minigan.backends.cuda.launch import source, use_launcher
from tests.cuda_on_cpu import emulator

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None or platform.machine() != "x86_64" or sys.platform != "linux",
    reason="the emulator needs g++ on 64-bit x86 Linux",
)

# N, C, H, W, K, R, S, stride, padding, dilation, groups
GEOMETRIES = [
    (1, 1, 1, 1, 1, 1, 1, (1, 1), (0, 0), (1, 1), 1),
    (2, 3, 7, 5, 5, 3, 3, (1, 1), (1, 1), (1, 1), 1),
    (2, 3, 8, 8, 5, 4, 4, (2, 2), (1, 1), (1, 1), 1),
    (1, 5, 9, 7, 3, 3, 2, (2, 3), (1, 0), (1, 1), 1),
    (1, 4, 9, 9, 6, 3, 3, (1, 2), (2, 1), (2, 1), 2),
    (2, 6, 6, 7, 6, 3, 3, (2, 1), (1, 2), (3, 2), 6),
    (1, 2, 8, 8, 3, 2, 2, (3, 3), (0, 0), (1, 1), 1),  # some pixels are in no window
    (1, 2, 9, 9, 3, 3, 3, (2, 2), (0, 0), (2, 2), 1),  # stride and dilation share a factor
    (1, 3, 5, 9, 70, 3, 3, (1, 1), (1, 1), (1, 1), 1),  # more than a tile of channels
    (2, 64, 16, 16, 128, 4, 4, (2, 2), (1, 1), (1, 1), 1),  # DCGAN's second layer
]  # fmt: skip


@pytest.fixture(scope="module", params=["plain", "race"])
def emulated(request, tmp_path_factory):
    library = emulator.build(request.param, tmp_path_factory.mktemp(request.param))
    device = emulator.Emulator(library)
    with use_launcher(device):
        yield device


def schedules(device):
    for schedule in emulator.SCHEDULES.values():
        device.schedule = schedule
        yield


def normal(*shape, seed=0):
    rng = np.random.default_rng((seed, *shape))
    return rng.standard_normal(shape).astype(np.float32)


def close(actual, expected):
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    scale = np.abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(actual / scale, expected / scale, atol=3e-6)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_convolutions(emulated, geometry):
    n, c, h, w, k, r, s, *rest = geometry
    groups = rest[-1]
    x, weight, bias = normal(n, c, h, w), normal(k, c // groups, r, s), normal(k)
    y = reference.conv2d(x, weight, bias, *rest)
    grad, input_bias = normal(*y.shape), normal(c)
    for _ in schedules(emulated):
        close(cuda.conv2d(x, weight, bias, *rest), y)
        close(
            cuda.conv2d_input_grad(grad, weight, input_bias, (h, w), *rest),
            reference.conv2d_input_grad(grad, weight, input_bias, (h, w), *rest),
        )
        close(
            cuda.conv2d_weight_grad(x, grad, (r, s), *rest),
            reference.conv2d_weight_grad(x, grad, (r, s), *rest),
        )
        if n * c * h * w > 4096:
            return  # a real layer: one schedule


def test_convolutions_without_bias_of_strided_arrays(emulated):
    x, weight = normal(2, 9, 8, 3).transpose(0, 3, 1, 2)[:, :, ::-1], normal(3, 3, 3, 4).T
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    y = cuda.conv2d(x, weight, None, *geometry)
    close(y, reference.conv2d(x, weight, None, *geometry))
    close(
        cuda.conv2d_input_grad(y[::-1], weight, None, x.shape[2:], *geometry),
        reference.conv2d_input_grad(y[::-1], weight, None, x.shape[2:], *geometry),
    )


@pytest.mark.parametrize(
    "a, b",
    [
        (normal(5, 7), normal(7, 3)),
        (normal(7, 65).T, normal(7, 66)),
        (normal(65, 33), normal(70, 33).T),
        (normal(2, 3, 4, 5), normal(5, 6)),
        (normal(3, 4, 5), normal(3, 5, 6)),
        (normal(2, 1, 4, 5), normal(3, 5, 6)),
        (normal(5), normal(5, 6)),
        (normal(4, 5), normal(5)),
        (normal(4, 0), normal(0, 6)),
    ],
    ids=lambda a: "x".join(map(str, a.shape)),
)
def test_matmul(emulated, a, b):
    for _ in schedules(emulated):
        close(cuda.matmul(a, b), reference.matmul(a, b))


def test_upsampling_before_a_convolution(emulated):
    x, weight, bias, grad = normal(2, 3, 4, 5), normal(6, 3, 3, 3), normal(6), normal(2, 6, 8, 10)
    close(cuda.upsample_conv2d(x, weight, bias), reference.upsample_conv2d(x, weight, bias))
    close(
        cuda.upsample_conv2d_input_grad(grad, weight),
        reference.upsample_conv2d_input_grad(grad, weight),
    )
    close(cuda.upsample_conv2d_weight_grad(x, grad), reference.upsample_conv2d_weight_grad(x, grad))


@pytest.mark.parametrize("n", [0, 1, 6, 1030])
@pytest.mark.parametrize("seed, offset", [(0, 0), (2**63 + 12345, 2**32 - 2), (7, 2**64 - 1)])
def test_random_numbers_are_those_of_the_cpu(emulated, seed, offset, n):
    for name in ("philox", "philox_uniform"):
        ours, theirs = (getattr(b, name)(seed, offset, n) for b in (cuda, reference))
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    close(cuda.philox_normal(seed, offset, n), reference.philox_normal(seed, offset, n))
    for p in (0.0, 0.3):
        masks = (b.philox_mask(seed, offset, n, p) for b in (cuda, reference))
        np.testing.assert_array_equal(*masks, strict=True)


@pytest.mark.parametrize("name", ["conv2d", "matmul", "batch_norm", "row_norm", "tanh"])
def test_float64_is_computed_by_the_reference(emulated, name):
    x, weight = normal(2, 3, 4, 5).astype(np.float64), normal(4, 3, 2, 2).astype(np.float64)
    args = {
        "conv2d": (x, weight, None, (1, 1), (0, 0), (1, 1), 1), "matmul": (x, x.swapaxes(2, 3)),
        "batch_norm": (x, None, None, 1e-5), "row_norm": (x.reshape(2, -1), 1e-5), "tanh": (x,),
    }[name]  # fmt: skip
    ours, theirs = getattr(cuda, name)(*args), getattr(reference, name)(*args)
    np.testing.assert_array_equal(ours[0], theirs[0])
    assert ours[0].dtype == np.float64


def test_the_race_build_preempts_threads(tmp_path):
    device = emulator.Emulator(emulator.build("race", tmp_path))
    device.schedule = emulator.PREEMPTED
    a, b = normal(66, 17), normal(17, 65)
    with use_launcher(device):
        close(cuda.matmul(a, b), reference.matmul(a, b))


_SYNC = "    __syncthreads();\n    multiply_slice(a, b, acc);\n"
DEFECTS = {
    "no barrier before the product": ("matmul.cu", _SYNC, "    multiply_slice(a, b, acc);\n"),
    "no barrier after the product": ("matmul.cu", "acc);\n    __syncthreads();\n", "acc);\n"),
    "no barrier after the table": (
        "conv_forward.cu", "    }\n    __syncthreads();\n", "    }\n"),
    "a row too many is stored": ("conv_forward.cu", "if (k >= filters) break;", ""),
    "a pixel outside the image is read": (
        "conv_weight_grad.cu", "inside = (unsigned)h < (unsigned)p.H &&", "inside ="),
    "all pieces go to one place": (
        "conv_weight_grad.cu", "((size_t)split * p.K + group", "((size_t)0 * p.K + group"),
    "a barrier that not all threads reach": (
        "matmul.cu", _SYNC, "    if (threadIdx.x < 64) __syncthreads();\n"
        "    multiply_slice(a, b, acc);\n"),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_race_build_finds(defect, tmp_path):
    device = emulator.Emulator(emulator.build("race", tmp_path, DEFECTS[defect]))
    geometry = ((1, 1), (1, 1), (1, 1), 1)
    x, grad = normal(1, 5, 8, 8), normal(1, 5, 8, 8)
    with use_launcher(device), pytest.raises(emulator.KernelError, match="RACE|BOUNDS|barrier"):
        cuda.conv2d(x, normal(5, 5, 3, 3), None, *geometry)
        cuda.conv2d_weight_grad(x, grad, (3, 3), *geometry)
        cuda.matmul(normal(8, 40), normal(40, 8))


_UNDER_ASAN = """
import sys
from pathlib import Path
import numpy as np
from minigan.backends import cuda, reference
from minigan.backends.cuda.launch import use_launcher
from tests.cuda_on_cpu import emulator, test_kernels
device = emulator.Emulator(Path(sys.argv[1]))
with use_launcher(device):
    for geometry in test_kernels.GEOMETRIES[:9]:
        test_kernels.test_convolutions(device, geometry)
    a, b = test_kernels.normal(66, 17), test_kernels.normal(17, 65)
    test_kernels.close(cuda.matmul(a, b), reference.matmul(a, b))
print("clean")
"""


def _under_asan(library):
    preload = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True,
                       check=True).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]  # fmt: skip
    environment = os.environ | {
        "LD_PRELOAD": " ".join(preload), "ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", _UNDER_ASAN, str(library)], env=environment, capture_output=True,
        text=True, cwd=emulator.HERE.parents[1],
    )  # fmt: skip


def test_address_sanitizer_finds_nothing(tmp_path):
    done = _under_asan(emulator.build("asan", tmp_path))
    assert done.returncode == 0 and done.stdout == "clean\n", done.stderr[-2000:]
    assert "runtime error" not in done.stderr, done.stderr[-2000:]


def test_address_sanitizer_finds_an_overrun_of_shared_memory(tmp_path):
    defect = ("matmul.cu", "a[at][row] =", "a[at + 1][row] =")
    done = _under_asan(emulator.build("asan", tmp_path, defect))
    assert done.returncode != 0 and "ERROR: AddressSanitizer" in done.stderr


@pytest.mark.parametrize("file", sorted(path.name for path in emulator.KERNELS.glob("*.cu")))
def test_a_file_is_complete_without_its_headers(file):
    text = source(file)
    assert "#include" not in text  # NVRTC has no folder to look in, and no system headers
    assert text.count("struct Conv {") <= 1
