"""Register-blocked matrix products against NumPy in float64, on shapes that force each path."""

import numpy as np
import pytest

pytest.importorskip("numba")

linalg = pytest.importorskip("minigan.backends.cpu.linalg")
matrix_product = pytest.importorskip("minigan.backends.cpu.matrix_product")
outer_products = pytest.importorskip("minigan.backends.cpu.outer_products")
turned_product = pytest.importorskip("minigan.backends.cpu.turned_product")
threads = pytest.importorskip("minigan.backends.cpu.threads")

SIZES = {  # M, K, N
    "whole tiles": (128, 128, 2 * matrix_product.WIDE),
    "several tiles each way": (300, 40, 5 * matrix_product.WIDE),
    "terms beyond what is packed at a time": (36, 300, 2 * matrix_product.WIDE),
    "a part of a tile": (33, 20, 2 * matrix_product.WIDE - 3),
    "a part of a tile, in parts": (35, 261, 3 * matrix_product.WIDE + 5),
    "one term": (32, 1, 70),
    "fewer terms than lanes": (34, 7, 64),
    "a batch and many weights": (64, 200, 1000),
    "one element": (1, 1, 1),
    "fewer columns than eights": (5, 50, 3),
}


def _stored(shape, transposed):
    """A random matrix of this shape, and what holds it."""
    rng = np.random.default_rng(sum(shape))
    matrix = rng.normal(size=shape[::-1] if transposed else shape).astype(np.float32)
    return (matrix.T if transposed else matrix), matrix


def _assert_product(actual, a, b):
    (m, k), n = a.shape, b.shape[1]
    expected = a.astype(np.float64) @ b.astype(np.float64)
    assert (actual.shape, actual.dtype) == ((m, n), np.dtype(np.float32))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6 * np.sqrt(k))


@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_products_equal_numpys(size, b_transposed):
    m, k, n = size
    (a, _), (b, stored_b) = _stored((m, k), False), _stored((k, n), b_transposed)
    _assert_product(matrix_product.multiply(a, stored_b, b_transposed), a, b)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_sums_of_outer_products_equal_numpys(size):
    m, k, n = size
    (a, stored_a), (b, _) = _stored((m, k), True), _stored((k, n), False)
    _assert_product(outer_products.multiply(stored_a, b), a, b)


@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("a_transposed", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_each_way_to_store_a_layers_operands(bias, a_transposed, b_transposed):
    a, b = _stored((40, 30), a_transposed)[0], _stored((30, 128), b_transposed)[0]
    assert matrix_product.suits(40, 128)  # and not BLAS
    ends = np.arange(-64, 64, dtype=np.float32) if bias else None
    slope = 0.25 if bias else 1
    sums = a.astype(np.float64) @ b.astype(np.float64) + (ends if bias else 0)
    expected = np.maximum(sums, slope * sums)
    np.testing.assert_allclose(linalg.product(a, b, ends, slope), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_turned_products_equal_numpys(size):
    m, k, n = size
    a, weight = _stored((m, k), False)[0], _stored((n, k), False)[0]
    _assert_product(turned_product.multiply(a, weight), a, weight.T)


@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("a_transposed", [False, True])
@pytest.mark.parametrize("columns", [1, 4, 33, 64])
def test_few_columns_of_many_rows(monkeypatch, columns, a_transposed, b_transposed):
    monkeypatch.setattr(linalg, "_LARGE_FACTOR", 1)
    if a_transposed:
        monkeypatch.setattr(linalg, "run", None)  # the way by BLAS
    a, b = _stored((1100, 70), a_transposed)[0], _stored((70, columns), b_transposed)[0]
    actual = linalg.product(a, b)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    assert actual.flags.c_contiguous and actual.shape == (1100, columns)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bits", ["whole", "in parts"])
def test_activations_keep_what_is_not_finite(bits):
    m, k, n = (64, 600, 704) if bits == "whole" else (34, 9, 70)
    x, weight = np.ones((m, k), np.float32), np.ones((n, k), np.float32)
    bias = np.zeros(n, np.float32)
    bias[:3] = -np.inf, np.nan, np.inf
    for multiply in (
        lambda slope: turned_product.multiply(x, weight, bias, slope),
        lambda slope: matrix_product.multiply(x, weight, True, bias, slope),
    ):
        relu, leaky = multiply(0.0)[:, :4], multiply(0.5)[:, :4]
        np.testing.assert_array_equal(relu, np.tile(np.float32([0, np.nan, np.inf, k]), (m, 1)))
        np.testing.assert_array_equal(leaky[:, 0], -np.inf)
        assert np.isnan(leaky[:, 1]).all()


def test_nothing_beyond_the_operands_is_read():
    room = np.full(3 * 4096, np.nan, np.float32)
    a, b = room[4096 : 4096 + 33 * 20].reshape(33, 20), room[8192 : 8192 + 20 * 70].reshape(20, 70)
    a[:], b[:] = 1, 2
    for turned in (False, True):
        right = b.reshape(70, 20) if turned else b
        assert (matrix_product.multiply(a, right, turned) == 40).all()
    assert (outer_products.multiply(a.reshape(20, 33), b) == 40).all()
    assert (turned_product.multiply(a, b.reshape(70, 20)) == 40).all()


@pytest.mark.parametrize(
    ("rows", "outer"),
    [(64, False), (80, False), (80, True)],
    ids=["turned", "packed", "outer products"],
)
def test_the_bits_do_not_depend_on_the_number_of_threads(rows, outer):
    a, b = _stored((rows, 700), outer)[0], _stored((700, 1000), not outer)[0]
    before = threads.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.append(linalg.matmul(a, b).tobytes())
    finally:
        threads.set_num_threads(before)
    assert len(set(results)) == 1


def test_layers_are_multiplied_here_and_thin_matrices_by_blas(monkeypatch):
    taken = []
    ways = {"packed": matrix_product, "turned": turned_product, "outer": outer_products}
    for name, module in ways.items():

        def multiply(a, *rest, name=name):
            taken.append((name, a.shape))
            return a[:, :1]

        monkeypatch.setattr(module, "multiply", multiply)
    for m, k, n in [
        (64, 100, 128),
        (64, 100, 1),
        (1, 64, 256),
        (14, 64, 128),
        (20, 64, 128),
        (64, 600, 500),
    ]:
        linalg.matmul(np.ones((m, k), np.float32), np.ones((k, n), np.float32))
    weight = np.ones((500, 600), np.float32)
    linalg.matmul(np.ones((64, 600), np.float32), weight.T)
    linalg.matmul(weight.T, np.ones((500, 64), np.float32))
    packed = [("packed", shape) for shape in [(64, 100), (20, 64), (64, 600)]]
    assert taken == [*packed, ("turned", (64, 600)), ("outer", (500, 600))]


def test_which_products_are_turned():
    assert turned_product.suits(64, 1024, 784)
    assert turned_product.suits(128, 6272, 1024)
    assert not turned_product.suits(64, 100, 8192)  # few terms
    assert not turned_product.suits(64, 512, 256)  # small
    assert not turned_product.suits(50, 1024, 784)  # lanes without rows
    assert not turned_product.suits(2048, 2048, 2048)  # no batch
