"""A call of every kernel of the protocol, for the tests that compare a GPU with the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.backends import backend, reference

_GEOMETRY = ((2, 1), (1, 1), (1, 1), 1)  # stride, padding, dilation, groups
_GROUPED = ((1, 2), (2, 1), (2, 1), 2)
_EPS = 1e-5


def _normal(*shape: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng((seed, *shape))
    return rng.standard_normal(shape).astype(np.float32)


def _labels(n: int, below: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, below, n)


def _cases() -> dict[str, list[tuple[Any, ...]]]:
    x, weight, bias = _normal(2, 3, 9, 8), _normal(4, 3, 3, 3), _normal(4)
    y = reference.conv2d(x, weight, bias, *_GEOMETRY)
    grouped, split = _normal(2, 6, 9, 9), _normal(4, 3, 3, 3, seed=1)
    z = reference.conv2d(grouped, split, None, *_GROUPED)
    small, kernel, large = _normal(2, 3, 4, 5), _normal(6, 3, 3, 3), _normal(2, 6, 8, 10)
    maps, scale, shift = 3 + _normal(4, 3, 5, 6), _normal(3), _normal(3, seed=1)
    upstream = _normal(4, 3, 5, 6, seed=1)
    normed, mean, var = reference.batch_norm(maps, scale, shift, _EPS)
    rows, row_grads = _normal(6, 20), _normal(6, 20, seed=1)
    xhat, _, row_var = reference.row_norm(rows, _EPS)
    wide, wide_grads = 4 * _normal(3, 5, 37), _normal(3, 5, 37, seed=1)
    logits, labels = _normal(7, 10), _labels(7, 10)
    labels[2] = -100

    def optimised(*states: int) -> tuple[list[np.ndarray], ...]:
        """Parameters, gradients and states of two shapes, none of them negative."""
        shapes = ((5, 70), (3,))
        params, grads = ([_normal(*s, seed=i) for s in shapes] for i in (2, 3))
        return params, grads, *([np.abs(_normal(*s, seed=i)) for s in shapes] for i in states)

    def first(lists: tuple[list[np.ndarray], ...]) -> tuple[np.ndarray, ...]:
        return tuple(each[0] for each in lists)

    clock = np.array([0.01, 3, 4])
    adam = (0.5, 0.999, 1e-8, 0.1, True)
    return {
        "conv2d": [(x, weight, bias, *_GEOMETRY), (grouped, split, None, *_GROUPED)],
        "conv2d_activation": [
            (x, weight, bias, *_GEOMETRY, slope) for slope in (0.0, 0.2, 1.0)],
        "conv2d_input_grad": [
            (y, weight, _normal(3), (9, 8), *_GEOMETRY), (z, split, None, (9, 9), *_GROUPED)],
        "conv2d_weight_grad": [(x, y, (3, 3), *_GEOMETRY), (grouped, z, (3, 3), *_GROUPED)],
        "upsample_conv2d": [(small, kernel, _normal(6))],
        "upsample_conv2d_input_grad": [(large, kernel)],
        "upsample_conv2d_weight_grad": [(small, large)],
        "sum": [(maps, (0, 2, 3), False), (maps, (1,), True), (rows, (0, 1), False)],
        "matmul": [(_normal(33, 20), _normal(20, 17)), (_normal(20, 33).T, _normal(2, 20, 65))],
        "add_matmul": [(_normal(33, 17), _normal(20, 33).T, _normal(20, 17))],
        "linear_activation": [
            (_normal(33, 20), _normal(70, 20), bias_70, slope)
            for bias_70 in (_normal(70), None) for slope in (0.0, 0.2, 1.0)],
        "bias_activation_backward": [
            (*pair, slope) for pair in ((row_grads, rows), (upstream, maps))
            for slope in (0.0, 0.2, 1.0)],
        "batch_norm": [(maps, scale, shift, _EPS), (_normal(300, 5), None, None, _EPS)],
        "batch_norm_backward": [(upstream, maps, scale, mean, var, _EPS)],
        "row_norm": [(rows, _EPS)],
        "row_norm_backward": [(row_grads, xhat, row_var, _EPS)],
        "batch_norm_activation": [(maps, scale, shift, _EPS, 0.2)],
        "batch_norm_activation_backward": [
            (upstream, maps, reference.leaky_relu(normed, 0.2), scale, shift, mean, var, _EPS,
             0.2)],
        "add": [(_normal(3, 70), _normal(3, 70)), (_normal(3, 4), _normal(4, 3).T)],
        "clip_to": [(_normal(3, 70), -0.5, 0.7), (_normal(4, 3).T, None, 0.1)],
        "add_to": [(_normal(3, 70), _normal(3, 70)), (_normal(3, 4), _normal(4, 3).T)],
        "apply_mask": [(maps, maps[:, :, :1, :1]), (wide, wide_grads)],
        "move_running": [(_normal(3), np.abs(_normal(3)), mean, var, 0.1, 1.01)],
        "relu": [(wide,)],
        "relu_backward": [(wide_grads, reference.relu(wide))],
        "leaky_relu": [(wide, 0.2)],
        "leaky_relu_backward": [(wide_grads, wide, 0.2)],
        "tanh": [(wide,)],
        "tanh_backward": [(wide_grads, np.tanh(wide))],
        "sigmoid": [(wide,)],
        "sigmoid_backward": [(wide_grads, reference.sigmoid(wide))],
        "softplus": [(wide, 2.0)],
        "softplus_backward": [(wide_grads, wide, 2.0)],
        "log_softmax": [(logits, 1), (wide, 0)],
        "log_softmax_backward": [(_normal(7, 10, seed=1), reference.log_softmax(logits, 1), 1)],
        "pair_loss": [(kind, wide, np.abs(wide_grads), 0.25) for kind in ("l1", "mse", "bce")],
        "pair_loss_backward": [
            (kind, np.full((), 3, np.float32), wide, np.abs(wide_grads), 0.25)
            for kind in ("l1", "mse", "bce")],
        "cross_entropy": [(logits, labels, -100)],
        "cross_entropy_backward": [(_normal(7), logits, labels, -100)],
        "upsample_nearest": [(small, (2, 2)), (small, (3, 1))],
        "block_sum": [(large, (2, 2)), (large, (4, 1))],
        "pad2d": [(small, (2, 1, 0, 3), mode) for mode in ("reflect", "replicate", "circular")],
        "pad2d_adjoint": [(_normal(2, 3, 7, 8), (4, 5), (2, 1, 0, 3), "reflect")],
        "max_pool2d_indices": [(x, (3, 2), (2, 2), (1, 1), (1, 1), (5, 5))],
        "gather_last": [(rows, np.stack([_labels(20, rows.shape[1])] * len(rows)))],
        "scatter_add_last": [(rows, np.stack([_labels(20, 9)] * 6), 9)],
        "scatter_add_rows": [(_normal(40, 6), _labels(40, 9), 9)],
        "philox": [(2**63 + 5, 2**32 - 2, 1031)],
        "philox_uniform": [(7, 3, 1031)],
        "philox_mask": [(7, 3, 1031, 0.25)],
        "philox_normal": [(7, 3, 1031)],
        "sgd_step": [(*first(optimised(4)), 0.01, 0.9, 0.1, 0.1, True, False)],
        "adam_step": [(*first(optimised(4, 5)), 0.01, *adam, 3)],
        "rmsprop_step": [(*first(optimised(4, 5)), None, 0.01, 0.99, 1e-8, 0.1, 0.9)],
        "sgd_steps": [(*optimised(4), clock[:1].copy(), 0.9, 0.1, 0.1, True, False)],
        "adam_steps": [(*optimised(4, 5), clock.copy(), [0, 1], *adam)],
        "rmsprop_steps": [
            (*optimised(4, 5), [None, None], clock[:1].copy(), 0.99, 1e-8, 0.1, 0.9)],
    }  # fmt: skip


CASES = _cases()


def compare(name: str, tolerance: float = 2e-5) -> None:
    """The kernel on the current GPU against the reference on the host: what it returns, and what
    it leaves of its arguments."""
    gpu, host = getattr(backend("cuda"), name), getattr(reference, name)
    for args in CASES[name]:
        there, here = _mapped(args, backend("cuda").xp.asarray), _mapped(args, np.copy)
        results = _flat(gpu(*there)), _flat(host(*here))
        for actual, expected in zip(*results, strict=True):
            _close(_host(actual), expected, tolerance)
        for actual, expected in zip(_flat(there), _flat(here), strict=True):
            _close(_host(actual), expected, tolerance)


def _mapped(value: Any, function: Any) -> Any:
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, list | tuple):
        return type(value)(_mapped(each, function) for each in value)
    return value


def _flat(value: Any) -> list[Any]:
    """The arrays in it."""
    if isinstance(value, list | tuple):
        return [array for each in value for array in _flat(each)]
    return [value] if hasattr(value, "shape") else []


def _host(array: Any) -> np.ndarray:
    return array.get()


def _close(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    scale = max(float(np.abs(expected).max(initial=0)), 1e-3)
    np.testing.assert_allclose(actual / scale, expected / scale, rtol=0, atol=tolerance)
