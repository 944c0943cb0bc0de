"""The reference kernels against nested loops, known answers, adjoints and PyTorch."""

from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from minigan.backends import reference


class Geometry(NamedTuple):
    """Everything that a convolution or pooling window depends on."""

    n: int
    channels: int  # of a group
    filters: int  # of a group
    groups: int
    input_hw: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def output_hw(self) -> tuple[int, int]:
        height, width = (
            (self.input_hw[i] + 2 * self.padding[i] - self.dilation[i] * (self.kernel[i] - 1) - 1)
            // self.stride[i]
            + 1
            for i in (0, 1)
        )
        return height, width

    def arrays(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x, weight and a gradient of the output."""
        rng = np.random.default_rng(seed)
        filters = self.groups * self.filters
        x = rng.normal(size=(self.n, self.groups * self.channels, *self.input_hw))
        weight = rng.normal(size=(filters, self.channels, *self.kernel))
        return x, weight, rng.normal(size=(self.n, filters, *self.output_hw))

    def visits(self):
        """(n, k, i, j, c of the input, c of the weight, a, b, y, z): each product of the map."""
        oh, ow = self.output_hw
        for n, g, k, i, j in product(*map(range, (self.n, self.groups, self.filters, oh, ow))):
            for c, a, b in product(*map(range, (self.channels, *self.kernel))):
                y = i * self.stride[0] - self.padding[0] + a * self.dilation[0]
                z = j * self.stride[1] - self.padding[1] + b * self.dilation[1]
                if 0 <= y < self.input_hw[0] and 0 <= z < self.input_hw[1]:
                    yield n, g * self.filters + k, i, j, g * self.channels + c, c, a, b, y, z

    @property
    def window(self):
        return self.stride, self.padding, self.dilation, self.groups


def _pairs(low: int, high: int):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def geometries(draw) -> Geometry:
    geometry = Geometry(
        n=draw(st.integers(0, 2)),
        channels=draw(st.integers(1, 2)),
        filters=draw(st.integers(1, 2)),
        groups=draw(st.integers(1, 2)),
        input_hw=draw(_pairs(1, 5)),
        kernel=draw(_pairs(1, 3)),
        stride=draw(_pairs(1, 3)),
        padding=draw(_pairs(0, 2)),
        dilation=draw(_pairs(1, 2)),
    )
    assume(min(geometry.output_hw) >= 1)
    return geometry


@settings(max_examples=60, deadline=None)
@given(geometries(), st.integers(0, 2**16))
def test_convolutions_equal_nested_loops(geometry, seed):
    x, weight, grad = geometry.arrays(seed)
    out, grad_x, grad_weight = np.zeros_like(grad), np.zeros_like(x), np.zeros_like(weight)
    for n, k, i, j, c, wc, a, b, y, z in geometry.visits():
        out[n, k, i, j] += x[n, c, y, z] * weight[k, wc, a, b]
        grad_x[n, c, y, z] += grad[n, k, i, j] * weight[k, wc, a, b]
        grad_weight[k, wc, a, b] += grad[n, k, i, j] * x[n, c, y, z]
    bias = np.arange(1.0, 1 + len(weight))
    bias_x = np.arange(2.0, 2 + x.shape[1])
    np.testing.assert_allclose(
        reference.conv2d(x, weight, bias, *geometry.window), out + bias[:, None, None], atol=1e-12
    )
    np.testing.assert_allclose(
        reference.conv2d_input_grad(grad, weight, bias_x, geometry.input_hw, *geometry.window),
        grad_x + bias_x[:, None, None],
        atol=1e-12,
    )
    np.testing.assert_allclose(
        reference.conv2d_weight_grad(x, grad, geometry.kernel, *geometry.window),
        grad_weight,
        atol=1e-12,
    )


@settings(max_examples=40, deadline=None)
@given(geometries(), st.integers(0, 2**16))
def test_convolution_gradients_are_adjoints(geometry, seed):
    """<conv(x, w), g> = <x, input_grad(g, w)> = <w, weight_grad(x, g)>."""
    x, weight, grad = geometry.arrays(seed)
    value = np.vdot(reference.conv2d(x, weight, None, *geometry.window), grad)
    grad_x = reference.conv2d_input_grad(grad, weight, None, geometry.input_hw, *geometry.window)
    grad_weight = reference.conv2d_weight_grad(x, grad, geometry.kernel, *geometry.window)
    np.testing.assert_allclose([np.vdot(x, grad_x), np.vdot(weight, grad_weight)], value, atol=1e-9)


def test_upsampled_convolution_equals_nested_loops_and_adjoints():
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=(2, 3, 2, 3)), rng.normal(size=(4, 3, 3, 3)), np.arange(4.0)
    expected = np.zeros((2, 4, 4, 6)) + bias[:, None, None]
    for n, k, i, j, c, a, b in product(*map(range, (2, 4, 4, 6, 3, 3, 3))):
        y, z = i + a - 1, j + b - 1
        if 0 <= y < 4 and 0 <= z < 6:
            expected[n, k, i, j] += x[n, c, y // 2, z // 2] * weight[k, c, a, b]
    out = reference.upsample_conv2d(x, weight, bias)
    np.testing.assert_allclose(out, expected, atol=1e-12)
    grad = rng.normal(size=out.shape)
    value = np.vdot(reference.upsample_conv2d(x, weight, None), grad)
    grad_x = reference.upsample_conv2d_input_grad(grad, weight)
    grad_weight = reference.upsample_conv2d_weight_grad(x, grad)
    np.testing.assert_allclose([np.vdot(x, grad_x), np.vdot(weight, grad_weight)], value)


@settings(max_examples=60, deadline=None)
@given(geometries(), st.integers(0, 2**16), st.booleans())
def test_max_pool_positions_equal_nested_loops(geometry, seed, with_nan):
    rng = np.random.default_rng(seed)
    values = [-np.inf, -1.0, 0.0, 2.0] + [np.nan] * with_nan  # few, so that there are ties
    x = rng.choice(values, size=(geometry.n, geometry.channels, *geometry.input_hw))
    windows: dict[tuple[int, ...], list[tuple[int, int]]] = {}
    for n, _, i, j, _, c, _, _, y, z in geometry._replace(groups=1, filters=1).visits():
        windows.setdefault((n, c, i, j), []).append((y, z))
    expected = np.zeros((geometry.n, geometry.channels, *geometry.output_hw), np.int64)
    assume(len(windows) == expected.size)
    for (n, c, i, j), pixels in windows.items():
        found = [x[n, c, y, z] for y, z in pixels]
        y, z = pixels[int(np.argmax(found))]  # the first of equals, and NaN before all
        expected[n, c, i, j] = y * geometry.input_hw[1] + z
    actual = reference.max_pool2d_indices(
        x, geometry.kernel, *geometry.window[:3], geometry.output_hw
    )
    assert actual.dtype == np.int64
    np.testing.assert_array_equal(actual, expected)


def test_max_pool_windows_may_reach_past_the_padding():
    """PyTorch's ceil_mode: the last window of 5 pixels with stride 2 holds one pixel only."""
    x = np.array([[[[3.0, 1.0, 4.0, 1.0, 5.0]]]])
    indices = reference.max_pool2d_indices(x, (1, 2), (1, 2), (0, 0), (1, 1), (1, 3))
    np.testing.assert_array_equal(indices, [[[[0, 2, 4]]]])


def test_scatter_adds_equal_loops():
    rng = np.random.default_rng(1)
    values, index = rng.normal(size=(3, 7)), rng.integers(0, 4, (3, 7))
    by_row, by_column = np.zeros((3, 4)), np.zeros((4, 7))
    for m, position in product(range(3), range(7)):
        by_row[m, index[m, position]] += values[m, position]
        by_column[index[m, 0]] += values[m] * (position == 0)
    np.testing.assert_allclose(reference.scatter_add_last(values, index, 4), by_row)
    np.testing.assert_allclose(reference.scatter_add_rows(values, index[:, 0], 4), by_column)


def test_resampling_equals_its_definition():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 3, 4, 5))
    up = reference.upsample_nearest(x, (2, 3))
    np.testing.assert_array_equal(up, x.repeat(2, axis=2).repeat(3, axis=3))
    grad = rng.normal(size=up.shape)
    np.testing.assert_allclose(np.vdot(x, reference.block_sum(grad, (2, 3))), np.vdot(up, grad))


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0, 0, 0, 0], (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            [0xFFFFFFFF] * 4,
            (0xFFFFFFFF, 0xFFFFFFFF),
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_known_answers(counter, key, expected):
    """The vectors that Random123 ships for philox4x32-10."""
    blocks = reference.philox_blocks(np.array([counter], np.uint32), key)
    np.testing.assert_array_equal(blocks, [expected])


def test_philox_stream_is_seekable_and_wraps():
    whole = reference.philox(seed=2**63 + 5, offset=2**32 - 2, n=23)
    np.testing.assert_array_equal(reference.philox(2**63 + 5, 2**32, 15), whole[8:])
    wrapped = reference.philox(0, 2**64 - 1, 8)
    np.testing.assert_array_equal(wrapped[4:], reference.philox(0, 0, 4))


def test_philox_distributions():
    uniform = reference.philox_uniform(7, 0, 200_000)
    assert uniform.dtype == np.float32 and uniform.min() >= 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.005 and abs(uniform.var() - 1 / 12) < 0.002
    normal = reference.philox_normal(7, 0, 200_001)
    assert normal.dtype == np.float32 and len(normal) == 200_001
    assert abs(normal.mean()) < 0.01 and abs(normal.std() - 1) < 0.01
    assert abs(np.corrcoef(normal[:-1:2], normal[1::2])[0, 1]) < 0.01


def test_batch_norm_backward_is_the_derivative():
    rng = np.random.default_rng(3)
    x, weight, bias = rng.normal(size=(3, 2, 4)), rng.normal(size=2), rng.normal(size=2)
    grad, eps, step = rng.normal(size=x.shape), 1e-3, 1e-6

    def loss(x, weight, bias):
        return np.vdot(reference.batch_norm(x, weight, bias, eps)[0], grad)

    _, mean, var = reference.batch_norm(x, weight, bias, eps)
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2)))
    np.testing.assert_allclose(var, x.var(axis=(0, 2)))
    gradients = reference.batch_norm_backward(grad, x, weight, mean, var, eps)
    for position, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)
        ahead, behind = [x, weight, bias], [x, weight, bias]
        ahead[position] = ahead[position] + step * direction
        behind[position] = behind[position] - step * direction
        slope = (loss(*ahead) - loss(*behind)) / (2 * step)
        np.testing.assert_allclose(np.vdot(gradient, direction), slope, rtol=1e-5)


def test_row_norm_is_batch_norm_of_the_transpose():
    rng = np.random.default_rng(4)
    x, grad = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    xhat, mean, var = reference.row_norm(x, 1e-3)
    expected, expected_mean, expected_var = reference.batch_norm(x.T, None, None, 1e-3)
    np.testing.assert_allclose(xhat, expected.T)
    np.testing.assert_allclose(mean, expected_mean)
    np.testing.assert_allclose(var, expected_var)
    gradient, _, _ = reference.batch_norm_backward(grad.T, x.T, None, mean, var, 1e-3)
    np.testing.assert_allclose(reference.row_norm_backward(grad, xhat, var, 1e-3), gradient.T)


def test_activations_at_the_edges():
    x = np.array([-np.inf, -1000, -1.0, 0.0, 1.0, 1000, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(reference.relu(x), [0, 0, 0, 0, 1, 1000, np.inf, np.nan])
    np.testing.assert_allclose(
        reference.sigmoid(x), [0, 0, 0.26894143, 0.5, 0.7310586, 1, 1, np.nan], rtol=1e-6
    )
    np.testing.assert_allclose(reference.leaky_relu(x[1:5], 0.1), [-100, -0.1, 0, 1], rtol=1e-6)


# --- optimisers against PyTorch -------------------------------------------------------------


def _against_torch(make_optimizer, step, slots):
    """Five steps of both; `slots` states start at zero."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    start, grads = rng.normal(size=(4, 3)), rng.normal(size=(5, 4, 3))
    theirs = torch.nn.Parameter(torch.tensor(start))
    optimizer = make_optimizer(torch.optim, [theirs])
    ours, state = start.copy(), [np.zeros_like(start) for _ in range(slots)]
    for t, grad in enumerate(grads):
        theirs.grad = torch.tensor(grad)
        optimizer.step()
        step(ours, grad, state, t)
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("momentum", "dampening", "weight_decay", "nesterov"),
    [(0, 0, 0, False), (0.9, 0, 0.1, False), (0.9, 0.3, 0, False), (0.9, 0, 0.1, True)],
)
def test_sgd_follows_torch(momentum, dampening, weight_decay, nesterov):
    options = (momentum, dampening, weight_decay, nesterov)
    _against_torch(
        lambda optim, params: optim.SGD(params, 0.1, *options[:3], nesterov=nesterov),
        lambda p, g, s, t: reference.sgd_step(p, g, s[0], 0.1, *options, first=t == 0),
        slots=1,
    )


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adam_follows_torch(decoupled, weight_decay):
    _against_torch(
        lambda optim, params: (optim.AdamW if decoupled else optim.Adam)(
            params, 0.1, (0.5, 0.99), 1e-6, weight_decay
        ),
        lambda p, g, s, t: reference.adam_step(
            p, g, *s, 0.1, 0.5, 0.99, 1e-6, weight_decay, decoupled, t + 1
        ),
        slots=2,
    )


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_rmsprop_follows_torch(centered, momentum):
    _against_torch(
        lambda optim, params: optim.RMSprop(params, 0.1, 0.9, 1e-6, 0.1, momentum, centered),
        lambda p, g, s, t: reference.rmsprop_step(
            p, g, s[0], s[1], s[2] if centered else None, 0.1, 0.9, 1e-6, 0.1, momentum
        ),
        slots=3,
    )
