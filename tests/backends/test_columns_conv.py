"""Convolutions of few pixels by one matrix product, forced on shapes of every kind."""

import numpy as np
import pytest

from minigan.backends import reference
from minigan.backends.cpu import columns_conv, conv

# N, C, H, W, K, KH, KW, stride, padding, dilation
GEOMETRIES = [
    (1, 8, 2, 2, 6, 4, 4, (2, 2), (1, 1), (1, 1)),
    (3, 5, 7, 6, 4, 3, 2, (1, 2), (1, 0), (1, 1)),
    (2, 3, 9, 8, 5, 3, 3, (2, 1), (2, 1), (2, 1)),
    (4, 6, 4, 4, 1, 4, 4, (1, 1), (0, 0), (1, 1)),
    (2, 3, 5, 5, 4, 2, 2, (3, 3), (0, 0), (1, 1)),  # some pixels are in no window
    (0, 3, 5, 5, 4, 3, 3, (1, 1), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_all_three_maps(monkeypatch, geometry, bias):
    monkeypatch.setattr(columns_conv, "suits", lambda pixels, weights: True)
    n, c, h, w, k, kh, kw, *window = geometry
    rng = np.random.default_rng(geometry[:7])
    x = rng.standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2)
    weight = rng.standard_normal((k, c, kw, kh), np.float32).swapaxes(2, 3)
    of_k, of_c = (rng.standard_normal(size, np.float32) if bias else None for size in (k, c))
    y = reference.conv2d(x, weight, of_k, *window, 1)
    grad = rng.standard_normal(y.shape, np.float32)
    for name, args in (
        ("conv2d", (x, weight, of_k)),
        ("conv2d_input_grad", (grad, weight, of_c, (h, w))),
        ("conv2d_weight_grad", (x, grad, (kh, kw))),
    ):
        actual = getattr(conv, name)(*args, *window, 1)
        expected = getattr(reference, name)(*args, *window, 1)
        assert actual.flags.c_contiguous and actual.dtype == np.float32
        np.testing.assert_allclose(actual, expected, atol=2e-5, rtol=1e-5, err_msg=name)


def test_the_inner_layers_of_a_u_net_and_a_generators_first_layer_belong_here():
    assert columns_conv.suits(4 * 4, 512 * 1024 * 16)
    assert columns_conv.suits(64, 100 * 512 * 16)
    assert not columns_conv.suits(64 * 16 * 16, 128 * 64 * 16)
    assert not columns_conv.suits(16, 32 * 16 * 9)
