"""No kernel reads beyond the end of its operands: behind each lies a page that cannot be read.

In a process of its own, which such a read would end.
"""

import subprocess
import sys

import pytest

pytest.importorskip("numba")

GUARDED = """
import ctypes, mmap
import numpy as np
from minigan.backends import cpu, reference

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
rng, rooms = np.random.default_rng(0), []

def guarded(*shape):
    count = int(np.prod(shape))
    pages = -(-4 * count // mmap.PAGESIZE)
    rooms.append(room := mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE))
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    assert libc.mprotect(start + pages * mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
    array = np.frombuffer(room, np.float32, count, pages * mmap.PAGESIZE - 4 * count)
    array[:] = rng.normal(size=count)
    return array.reshape(shape)

def agree(name, *args):
    expected, actual = getattr(reference, name)(*args), getattr(cpu, name)(*args)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3, err_msg=name)
"""

POOLING = """
for width in (24, 33, 71):
    x = guarded(2, 3, 9 - width % 2, width)
    out = x.shape[2] // 2, width // 2
    agree("max_pool2d_indices", x, (2, 2), (2, 2), (0, 0), (1, 1), out)
"""
PRODUCTS = """
for m, k, n in ((64, 700, 1000), (33, 70, 45), (40, 3000, 70), (70, 333, 4), (1, 65, 300),
                (1100, 9, 800), (900, 50, 5)):
    for a in (guarded(m, k), guarded(k, m).T):
        for b in (guarded(k, n), guarded(n, k).T):
            agree("matmul", a, b)
"""
UPSAMPLING = """
x, weight, grad = guarded(1, 5, 6, 7), guarded(3, 5, 3, 3), guarded(1, 3, 12, 14)
agree("upsample_conv2d", x, weight, guarded(3))
agree("upsample_conv2d_input_grad", grad, weight)
agree("upsample_conv2d_weight_grad", x, grad)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="pages are protected by POSIX's mprotect")
@pytest.mark.parametrize("calls", [POOLING, PRODUCTS, UPSAMPLING], ids=["pool", "matmul", "up"])
def test_nothing_beyond_the_end_is_read(calls):
    answer = subprocess.run([sys.executable, "-c", GUARDED + calls], capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="pages are protected by POSIX's mprotect")
def test_such_a_read_would_end_the_process():
    beyond = "x = guarded(5)\nctypes.string_at(x.ctypes.data, 21)\n"
    answer = subprocess.run([sys.executable, "-c", GUARDED + beyond], capture_output=True)
    assert answer.returncode < 0
