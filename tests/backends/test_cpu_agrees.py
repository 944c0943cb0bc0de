"""Every kernel of the numba backend against the reference: values, layouts, threads, side effects.

The reference computes in float64 from the same numbers, so it is the better of the two.
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minigan.backends import backend, reference
from minigan.backends.protocol import NAMES
from minigan.errors import ConfigError

pytest.importorskip("numba")

threads = pytest.importorskip("minigan.backends.cpu.threads")

Case = tuple[Any, ...]

_ONE, _TWO = (1, 1), (2, 2)

# (N, C, K, (H, W), (KH, KW), stride, padding, dilation, groups)
_CONVOLUTIONS = [
    (2, 3, 4, (7, 6), (3, 3), _ONE, _ONE, _ONE, 1),
    (3, 8, 16, (9, 9), (3, 3), _TWO, _ONE, _ONE, 1),
    (2, 16, 8, (8, 8), (4, 4), _TWO, _ONE, _ONE, 1),  # the U-Net's and DCGAN's down and up
    (2, 5, 1, (12, 10), (3, 3), _ONE, _ONE, _ONE, 1),  # few filters: the direct kernel
    (2, 1, 6, (9, 8), (5, 5), _TWO, _TWO, _ONE, 1),
    (2, 4, 4, (9, 10), (3, 2), (2, 1), (0, 3), (2, 3), 1),
    (2, 4, 5, (7, 7), (2, 2), (3, 3), (0, 0), _ONE, 1),  # some pixels meet no tap
    (2, 4, 6, (6, 6), (3, 3), _ONE, _ONE, _ONE, 2),
    (1, 3, 4, (40, 41), (7, 7), _ONE, (3, 3), _ONE, 1),
    (0, 3, 4, (6, 6), (3, 3), _ONE, _ONE, _ONE, 1),
    (2, 0, 4, (6, 6), (3, 3), _ONE, _ONE, _ONE, 1),
    (2, 40, 21, (20, 20), (3, 3), (3, 3), _ONE, _ONE, 1),  # sums in two pieces
    (1, 128, 64, (4, 4), (3, 3), _ONE, _ONE, _ONE, 1),  # all windows at once
]
_UPSAMPLED = [
    (2, 3, 4, 5, 6),
    (3, 16, 8, 8, 8),
    (1, 4, 3, 40, 30),
    (7, 2, 5, 1, 1),
    (0, 3, 4, 4, 4),
]
_IMAGES = [(2, 3, 8, 6), (5, 16, 12, 12), (0, 3, 4, 4)]
_VECTORS = [(7, 33), (300, 70), (0, 5)]
# As many pixels as are still few, and one more; several blocks of channels, in one chunk and in
# each of several.
_FEW_PIXELS = [(3, 5, 8, 8), (3, 5, 5, 13), (3, 200, 2, 2), (20, 300, 5, 5), (2, 3, 0, 4)]


def _conv_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    cases: dict[str, list[Case]] = {
        name: []
        for name in ("conv2d", "conv2d_activation", "conv2d_input_grad", "conv2d_weight_grad")
    }
    for n, c, k, hw, kernel, *window, groups in _CONVOLUTIONS:
        stride, padding, dilation = window
        out = [
            (hw[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1
            for i in (0, 1)
        ]
        x, grad = rng.normal(size=(n, c, *hw)), rng.normal(size=(n, k, *out))
        weight = rng.normal(size=(k, c // groups, *kernel))
        for bias_k, bias_c in ((None, None), (rng.normal(size=k), rng.normal(size=c))):
            cases["conv2d"].append((x, weight, bias_k, *window, groups))
            cases["conv2d_activation"] += [
                (x, weight, bias_k, *window, groups, slope) for slope in (0.0, 0.2)
            ]
            cases["conv2d_input_grad"].append((grad, weight, bias_c, hw, *window, groups))
        cases["conv2d_weight_grad"].append((x, grad, kernel, *window, groups))
    return cases


def _upsample_conv_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    sets = [
        (
            rng.normal(size=(n, c, h, w)),
            rng.normal(size=(k, c, 3, 3)),
            rng.normal(size=(n, k, 2 * h, 2 * w)),
            rng.normal(size=k),
        )
        for n, c, k, h, w in _UPSAMPLED
    ]
    return {
        "upsample_conv2d": [(x, weight, b) for x, weight, _, bias in sets for b in (None, bias)],
        "upsample_conv2d_input_grad": [(grad, weight) for _, weight, grad, _ in sets],
        "upsample_conv2d_weight_grad": [(x, grad) for x, _, grad, _ in sets],
    }


def _norm_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    forward, backward, rows, rows_backward = [], [], [], []
    for shape in _IMAGES + _FEW_PIXELS + _VECTORS:
        c = shape[1]
        x, grad = rng.normal(2, 3, shape), rng.normal(size=shape)
        weight, bias = rng.normal(size=c), rng.normal(size=c)
        mean, var = rng.normal(size=c), rng.uniform(0.5, 2, c)
        forward += [(x, None, None, 1e-5), (x, weight, bias, 0.8)]
        backward += [(grad, x, None, mean, var, 1e-5), (grad, x, weight, mean, var, 0.8)]
    for shape in _VECTORS:
        rows.append((rng.normal(2, 3, shape), 1e-5))
        var = rng.uniform(0.5, 2, shape[0])
        rows_backward.append((rng.normal(size=shape), rng.normal(size=shape), var, 1e-5))
    activated = [(*case, slope) for case in forward for slope in (0.0, 0.2)]
    activated_backward = [
        (grad, x, y if slope else np.maximum(y, 0), weight, weight, *rest, slope)
        for grad, x, weight, *rest in backward
        for y in (rng.normal(size=x.shape),)
        for slope in (0.0, 0.2)
    ]
    statistics = (rng.normal(size=5) for _ in range(4))
    return {
        "batch_norm_activation": activated,
        "batch_norm_activation_backward": activated_backward,
        "move_running": [(*statistics, 0.1, 1.25)],
        "batch_norm": forward,
        "batch_norm_backward": backward,
        "row_norm": rows,
        "row_norm_backward": rows_backward,
    }


def _pointwise_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    shapes = [(), (3, 5), (9, 70, 300), (0, 4)]
    singles = [rng.normal(0, 2, shape) for shape in shapes]
    singles.append(np.array([-np.inf, -1e30, -100, -0.0, 0.0, 1e-30, 100, np.inf, np.nan]))
    pairs = [(rng.normal(size=shape), rng.normal(size=shape)) for shape in shapes]
    table: dict[str, list[Case]] = {}
    for name in ("relu", "leaky_relu", "tanh", "sigmoid"):
        slope = (0.2,) if name == "leaky_relu" else ()
        table[name] = [(x, *slope) for x in singles]
        table[f"{name}_backward"] = [(*pair, *slope) for pair in pairs]
    table["add"] = table["add_to"] = pairs
    bounds: list[Case] = [(-1.0, 0.5), (None, 0.0), (0.0, None), (0.5, -1.0)]  # the last crossed
    table["clip_to"] = [(x, *ends) for x in singles for ends in bounds]
    # A mask of all elements; of the channels; of all at once; of what is not in front; of the last
    # axis, which is as long as the first.
    x = rng.normal(size=(65, 7, 20, 65))
    masks = (x[::-1], x[:, :, :1, :1], x[:1, :1, :1, :1], x[:1, :, :, :1], x[0, 0, 0])
    table["apply_mask"] = [*pairs, *((x, mask) for mask in masks)]
    return table


def _loss_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    x, labels = rng.normal(0, 3, (9, 5)), rng.integers(0, 5, 9)
    labels[3] = -100
    grad, per_row = rng.normal(size=x.shape), rng.normal(size=9)
    pairs = [(rng.normal(0, 3, shape), rng.normal(size=shape)) for shape in [(9, 5), (3, 20_001)]]
    pairs += [(pairs[0][0], pairs[0][0]), (np.array([np.nan, 1.0]), np.zeros(2))]
    kinds = ("l1", "mse", "bce")
    return {
        "softplus": [(20 * x, beta) for beta in (1.0, 2.5)],
        "softplus_backward": [(grad, x, beta) for beta in (1.0, 2.5)],
        "log_softmax": [(x, axis) for axis in (0, 1)],
        "log_softmax_backward": [(grad, x, axis) for axis in (0, 1)],
        "pair_loss": [(kind, *pair, 0.3) for kind in kinds for pair in pairs],
        "pair_loss_backward": [
            (kind, np.array(1.5), *pair, 0.3) for kind in kinds for pair in pairs
        ],
        "cross_entropy": [(x, labels, -100)],
        "cross_entropy_backward": [(per_row, x, labels, -100)],
    }


def _resample_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    images = [rng.normal(size=shape) for shape in _IMAGES]
    # Few values make ties, and some windows hold nothing but -inf.
    pooled = [rng.choice([-np.inf, 0.0, 1.0, np.nan], size=shape) for shape in _IMAGES] + images
    # Windows of 2x2 beside each other, in rows of more and of fewer vectors, with pixels left over.
    pooled += [rng.choice([0.0, 1.0, np.nan], size=(2, 3, 9, w)) for w in (24, 33, 71)]
    pools = []
    for x in pooled:
        h, w = x.shape[2:]
        pools.append((x, _TWO, _TWO, (0, 0), _ONE, (h // 2, w // 2)))
        pools.append((x, _TWO, _TWO, (0, 0), _ONE, (h // 2, -(-w // 2))))  # of PyTorch's ceil_mode
        pools.append((x, (3, 3), _TWO, _ONE, _ONE, ((h - 1) // 2 + 1, (w - 1) // 2 + 1)))
        pools.append((x, (2, 1), _ONE, (0, 0), (2, 1), (h - 2, w)))
    values = [rng.normal(size=shape) for shape in [(3, 50), (40, 900), (0, 4), (4, 0)]]
    pads, folds = [], []
    for mode in ("reflect", "replicate", "circular"):
        for x, widths in ((x, (1, 2, 2, 0)) for x in images if min(x.shape[2:]) > 2):
            pads.append((x, widths, mode))
            h, w = x.shape[2:]
            grad = rng.normal(size=(*x.shape[:2], h + 2, w + 3))
            folds.append((grad, (h, w), widths, mode))
    few = [rng.normal(size=shape) for shape in _FEW_PIXELS]
    ways = ((0, 2, 3), False), ((0, 2, 3), True), ((1,), True)
    sums = [(x, axes, kept) for x in images + few for axes, kept in ways]
    # Columns for several chunks; sums for which float32 is not enough.
    vectors = [rng.normal(size=s) for s in ((65, 3999), (999, 65), (3000, 1), (0, 3), (3, 0))]
    vectors.append(rng.uniform(0.5, 1, (100_000, 3)))
    sums += [(x, (0,), kept) for x in (*vectors, vectors[1].T) for kept in (False, True)]
    # Of all numbers: of one, in some chunks, and some for which float32 is not enough.
    sums += [
        (x, tuple(range(x.ndim)), kept)
        for x in (*images, *vectors, np.array(3.0), np.ones(1))
        for kept in (False, True)
    ]
    return {
        "pad2d": pads,
        "pad2d_adjoint": folds,
        "sum": sums,
        "upsample_nearest": [(x, scale) for x in images for scale in (_TWO, (1, 3))],
        "block_sum": [(x, scale) for x in images for scale in (_TWO, (4, 1))],
        "max_pool2d_indices": pools,
        "gather_last": [
            (v, rng.integers(0, v.shape[1], (len(v), 5))) for v in values if v.shape[1]
        ],
        "scatter_add_last": [(v, rng.integers(0, 6, v.shape), 7) for v in values],
        "scatter_add_rows": [(v, rng.integers(0, 6, len(v)), 7) for v in values],
    }


def _random_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    draws = [(0, 0, 4), (2**64 - 3, 2**64 - 2, 50_001), (-5, 2**33, 7), (9, 1, 0)]
    masks = [(*draw, p) for draw in draws for p in (0.0, 0.3)]
    return {name: draws for name in ("philox", "philox_uniform", "philox_normal")} | {
        "philox_mask": masks
    }


def _optimizer_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    sgd, adam, rmsprop = [], [], []
    for shape in [(5, 7), (90_000,), (), (0, 3)]:
        p, g, a = (rng.normal(size=shape) for _ in range(3))
        b = rng.uniform(0.1, 2, shape)
        for first in (True, False):
            sgd.append((p, g, a, 0.1, 0.9, 0.2, 0.01, False, first))
        sgd += [(p, g, None, 0.1, 0.0, 0.0, 0.0, False, True)]
        sgd += [(p, g, a, 0.1, 0.9, 0.0, 0.0, True, False)]
        for decoupled in (False, True):
            adam.append((p, g, a, b, 0.1, 0.5, 0.999, 1e-8, 0.01, decoupled, 3))
        rmsprop += [
            (p, g, b, None, None, 0.1, 0.9, 1e-8, 0.01, 0.0),
            (p, g, b, a, None, 0.1, 0.9, 1e-8, 0.0, 0.5),
            (p, g, b, a, 0.1 * a, 0.1, 0.9, 1e-3, 0.0, 0.5),
        ]
    return {"sgd_step": sgd, "adam_step": adam, "rmsprop_step": rmsprop} | _step_cases(rng)


def _step_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    """Many parameters at once; each has its own number of steps."""
    shapes = [(5, 7), (90_000,), (), (0, 3)]
    p, g, a = ([np.asarray(rng.normal(size=shape)) for shape in shapes] for _ in range(3))
    b = [rng.uniform(0.1, 2, shape) for shape in shapes]
    clock, none = np.array([0.1, 3.0, 0.0, 7.0, 1.0]), [None] * len(shapes)
    adam = [(p, g, a, b, clock, [2, 0, 1, 3], 0.5, 0.9, 1e-8, 0.1, late) for late in (False, True)]
    sgd = [(p, g, a, clock, 0.9, 0.2, 0.01, False, first) for first in (False, True)]
    rmsprop = [(p, g, b, a, none, clock, 0.9, 1e-8, 0.0, 0.5)]
    return {"sgd_steps": sgd, "adam_steps": adam, "rmsprop_steps": rmsprop}


# m, k, n of weight gradients: of few numbers and many, thin ones, and sums that are cut into parts.
TOTALS = ((31, 64, 45), (1027, 70, 801), (1027, 9, 3), (1, 64, 90), (40, 5000, 70))


def _matmul_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    shapes = [
        ((3, 4), (4, 5)),
        ((300, 200), (200, 150)),
        ((64, 100), (100, 3000)),
        ((2, 3, 4), (4, 5)),
        ((4,), (4, 2)),
        ((4,), (4,)),
        ((0, 4), (4, 5)),
        ((2, 0), (0, 3)),
    ]
    cases: list[Case] = [(rng.normal(size=a), rng.normal(size=b)) for a, b in shapes]
    # Several blocks of rows or of columns, in each of the ways that a matrix can be stored.
    for m, k, n in ((67, 401, 1003), (1003, 401, 67)):
        a, b = rng.normal(size=(m, k)), rng.normal(size=(k, n))
        a_t, b_t = rng.normal(size=(k, m)).T, rng.normal(size=(n, k)).T
        strided = rng.normal(size=(m, 2 * k))[:, ::2]
        cases += [(a, b), (a_t, b), (a, b_t), (a_t, b_t), (strided, b)]
    matrices = [(a, b) for a, b in cases if a.ndim == b.ndim == 2]
    matrices += [(rng.normal(size=(k, m)).T, rng.normal(size=(k, n))) for m, k, n in TOTALS]
    totals = [(rng.normal(size=(a.shape[0], b.shape[1])), a, b) for a, b in matrices]
    return {"matmul": cases, "add_matmul": totals}


def _linear_cases(rng: np.random.Generator) -> dict[str, list[Case]]:
    forward: list[Case] = []
    # Dot products, packed weights with a part of a tile, a packed batch; empty.
    for n, i, o in ((5, 7, 3), (300, 500, 3), (64, 40, 130), (64, 700, 1000), (0, 3, 2), (3, 0, 2)):
        x, weight, bias = rng.normal(size=(n, i)), rng.normal(size=(o, i)), rng.normal(size=o)
        forward += [(x, weight, bias, slope) for slope in (0.0, 0.2, 1.0, 3.0)]
        forward += [(x, weight, None, slope) for slope in (0.2, 1.0)]
    y, grad = rng.normal(size=(65, 999)), rng.normal(size=(65, 999))
    y[::3, ::5] = 0
    backward: list[Case] = [(grad, y, slope) for slope in (0.0, 0.2, 1.0)]
    backward += [(grad.T, y.T, 0.2), (grad.T, y.T, 1.0), (grad[:0], y[:0], 0.2)]
    for shape in _IMAGES + _FEW_PIXELS:
        y, grad = np.maximum(rng.normal(size=shape), 0), rng.normal(size=shape)
        backward += [(grad, y, slope) for slope in (0.0, 0.2, 1.0)]
    return {"linear_activation": forward, "bias_activation_backward": backward}


def _all_cases() -> dict[str, list[Case]]:
    table: dict[str, list[Case]] = {}
    for make in (
        _conv_cases,
        _upsample_conv_cases,
        _matmul_cases,
        _linear_cases,
        _norm_cases,
        _pointwise_cases,
        _loss_cases,
        _resample_cases,
        _random_cases,
        _optimizer_cases,
    ):
        table |= make(np.random.default_rng(0))
    return table


CASES = _all_cases()
IN_PLACE = tuple(f"{name}_step{s}" for name in ("sgd", "adam", "rmsprop") for s in ("", "s"))
IN_PLACE += ("add_matmul", "add_to", "clip_to", "move_running")


def _mapped(change: Callable[[np.ndarray], Any], case: Case) -> Case:
    """The case with each array changed, those in lists too."""
    return tuple(
        change(arg)
        if isinstance(arg, np.ndarray)
        else list(_mapped(change, tuple(arg)))
        if isinstance(arg, list)
        else arg
        for arg in case
    )


def _arrays(case: Case) -> list[np.ndarray]:
    """All arrays of a case, those in lists too."""
    found: list[np.ndarray] = []
    _mapped(found.append, case)
    return found


def _cast(case: Case, dtype: type) -> Case:
    """The case with fresh float arrays of this dtype."""
    return _mapped(lambda a: a.astype(dtype) if a.dtype.kind == "f" else a, case)


def _call(kernel: Callable[..., Any], name: str, args: Case) -> list[np.ndarray]:
    """What the kernel returns, or, if it works in place, its arrays afterwards."""
    result = kernel(*args)
    if name in IN_PLACE:
        assert result is None
        return _arrays(args)
    return list(result) if isinstance(result, tuple) else [result]


def _assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    assert isinstance(actual, np.ndarray)
    assert actual.shape == expected.shape
    if expected.dtype.kind in "iu":
        np.testing.assert_array_equal(actual, expected)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    tolerance = 1e-5 if actual.dtype == np.float32 else 1e-12
    size = max(1.0, finite.max(initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * size)


def test_every_kernel_has_a_case():
    assert list(CASES) and set(CASES) == set(NAMES)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_reference(name, dtype):
    ours = getattr(backend("cpu"), name)
    for case in CASES[name]:
        args = _cast(case, dtype)
        before = _cast(args, dtype)
        actual = _call(ours, name, args)
        exact = name.startswith("philox")  # draws are float32 whatever the oracle computes in
        expected = _call(
            getattr(reference, name), name, case if exact else _cast(before, np.float64)
        )
        for a, e in zip(actual, expected, strict=True):
            assert a.dtype == (e.dtype if exact or e.dtype.kind in "iu" else dtype)
            _assert_close(a, e)
        if name not in IN_PLACE:
            for arg, kept in zip(args, before, strict=True):
                np.testing.assert_array_equal(arg, kept)


def _sliced(x: np.ndarray) -> np.ndarray:
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), 9, x.dtype)
    wide[..., ::2] = x
    return wide[..., ::2]


def _reversed(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x[..., ::-1])[..., ::-1]


def _zero_stride(x: np.ndarray) -> np.ndarray:
    return np.broadcast_to(x[:1], x.shape)


LAYOUTS = {
    "sliced": _sliced,
    "reversed": _reversed,
    "fortran": np.asfortranarray,
    "zero_stride": _zero_stride,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("philox")])
def test_any_layout(name, layout):
    if name in IN_PLACE and layout == "zero_stride":
        pytest.skip("an array that is updated in place has an element in each place")
    ours = getattr(backend("cpu"), name)
    for case in CASES[name]:
        plain = _cast(case, np.float32)
        args = _mapped(lambda a: LAYOUTS[layout](a) if a.ndim and len(a) else a, plain)
        expected = _call(
            getattr(reference, name),
            name,
            _mapped(np.copy, _cast(args, np.float64)),
        )
        for a, e in zip(_call(ours, name, args), expected, strict=True):
            _assert_close(a, e)


@pytest.fixture
def restore_threads():
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


@pytest.mark.parametrize("name", NAMES)
def test_bits_do_not_depend_on_threads(name, restore_threads):
    ours = getattr(backend("cpu"), name)
    for case in CASES[name]:
        results = []
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.append(_call(ours, name, _cast(case, np.float32)))
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                assert a.tobytes() == b.tobytes()


def test_thread_counts_are_checked(monkeypatch):
    with pytest.raises(ConfigError, match="0 threads"):
        threads.set_num_threads(0)
    monkeypatch.setenv("MINIGAN_NUM_THREADS", "many")
    with pytest.raises(ConfigError, match="MINIGAN_NUM_THREADS='many'"):
        threads._threads_from_environment()
    monkeypatch.setenv("MINIGAN_NUM_THREADS", "3")
    assert threads._threads_from_environment() == 3


_FRESH_PROCESS = """
import os, threading
import numpy as np
from minigan.backends import backend

cpu = backend("cpu")
x, weight = np.ones((64, 8, 16, 16), np.float32), np.ones((8, 8, 3, 3), np.float32)
work = lambda: cpu.conv2d(x, weight, None, (1, 1), (1, 1), (1, 1), 1)
expected = work()
callers = [threading.Thread(target=work) for _ in range(4)]
for caller in callers: caller.start()
for caller in callers: caller.join()
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        os._exit(0 if (work() == expected).all() else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_fresh_process_with_callers_in_threads_and_a_fork_stays_silent():
    """No deadlock, no message from a BLAS or a threading library. (Python >= 3.12 warns of any
    fork beside threads, hence -W.)"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FRESH_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_tanh_is_exact_to_a_few_units_in_the_last_place_everywhere():
    from minigan.backends.cpu import tanh

    sizes = np.concatenate([np.logspace(-35, 1.2, 200_001), np.linspace(0, 12, 200_001)])
    x = np.concatenate([sizes, -sizes]).astype(np.float32)
    expected, found = np.tanh(x.astype(np.float64)), tanh(x)
    unit = np.spacing(np.abs(expected).astype(np.float32))
    assert (np.abs(found - expected) / unit).max() < 5
    assert np.abs(found).max() == 1  # above, 1 - y*y would turn the gradient around


def test_sigmoid_and_softplus_are_exact_to_a_few_units_in_the_last_place_everywhere():
    from minigan.backends.cpu import sigmoid, softplus, softplus_backward

    sizes = np.concatenate([np.logspace(-35, 2.1, 200_001), np.linspace(0, 120, 200_001)])
    x = np.concatenate([sizes, -sizes]).astype(np.float32)
    exact = x.astype(np.float64)
    decay = np.exp(-np.abs(exact))
    expected_sigmoid = np.where(exact >= 0, 1, decay) / (1 + decay)
    expected_softplus = np.maximum(exact, 0) + np.log1p(decay)
    for actual, expected in (
        (sigmoid(x), expected_sigmoid),
        (softplus_backward(np.ones_like(x), x, 1.0), expected_sigmoid),
        (softplus(x, 1.0), expected_softplus),
    ):
        off = np.abs(actual - expected) / np.spacing(expected.astype(np.float32))
        assert off.max() <= 5


@pytest.mark.parametrize(
    "n, c, k, size, stride",
    [(2, 40, 21, 20, 3), (2, 5, 1, 12, 1), (1, 128, 64, 4, 1)],
    ids=["direct", "few filters", "all windows at once"],
)
def test_a_convolution_activates_what_is_no_number(n, c, k, size, stride):
    convolve = backend("cpu").conv2d_activation
    x, weight = np.ones((n, c, size, size), np.float32), np.ones((k, c, 3, 3), np.float32)
    window, down = ((stride, stride), _ONE, _ONE, 1), np.full(k, -np.inf, np.float32)
    np.testing.assert_array_equal(convolve(x, weight, down, *window, 0.0), 0)  # ReLU of -infinity
    for slope in (0.0, 0.2):
        y = convolve(x * np.float32(np.nan), weight, None, *window, slope)
        assert np.isnan(y).all()
