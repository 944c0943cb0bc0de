"""Register-blocked matrix products against NumPy in float64, on shapes that force each path."""

import itertools

import numpy as np
import pytest

pytest.importorskip("numba")

dot_products = pytest.importorskip("minigan.backends.cpu.dot_products")
finish = pytest.importorskip("minigan.backends.cpu.finish")
linalg = pytest.importorskip("minigan.backends.cpu.linalg")
matrix_product = pytest.importorskip("minigan.backends.cpu.matrix_product")
register_block = pytest.importorskip("minigan.backends.cpu.register_block")
outer_products = pytest.importorskip("minigan.backends.cpu.outer_products")
thin_product = pytest.importorskip("minigan.backends.cpu.thin_product")
turned_product = pytest.importorskip("minigan.backends.cpu.turned_product")
threads = pytest.importorskip("minigan.backends.cpu.threads")

MANY = 2 * max(matrix_product.DEPTH, turned_product._DEPTH)  # terms beyond those packed at a time

SIZES = {  # M, K, N
    "whole tiles": (128, 128, 2 * matrix_product.WIDE),
    "several tiles each way": (300, 40, 5 * matrix_product.WIDE),
    "terms beyond what is packed at a time": (36, MANY + 44, 2 * matrix_product.WIDE),
    "a part of a tile": (33, 20, 2 * matrix_product.WIDE - 3),
    "a part of a tile, in parts": (35, MANY + 5, 3 * matrix_product.WIDE + 5),
    "one term": (32, 1, 70),
    "fewer terms than lanes": (34, 7, 64),
    "a batch and many weights": (64, 200, 1000),
    "long sums of few tiles": (40, 3000, 70),
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
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-6 * np.sqrt(k))


@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("a_transposed", [False, True])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_products_equal_numpys(size, a_transposed, b_transposed):
    m, k, n = size
    (a, stored_a), (b, stored_b) = _stored((m, k), a_transposed), _stored((k, n), b_transposed)
    _assert_product(matrix_product.multiply(stored_a, a_transposed, stored_b, b_transposed), a, b)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_dot_products_equal_numpys(size):
    m, k, n = size
    a, b = _stored((m, k), False)[0], _stored((n, k), False)[0]
    _assert_product(dot_products.multiply(a, b), a, b.T)


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


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("a_transposed", [False, True])
@pytest.mark.parametrize("size", [(1100, 70, 1), (70, 300, 4), (1100, 9, 33), (7, 1, 1)])
def test_thin_products(size, a_transposed, b_transposed, bias):
    (m, k, n), slope = size, 0.25 if bias else 1
    (a, stored_a), (b, stored_b) = _stored((m, k), a_transposed), _stored((k, n), b_transposed)
    ends = np.linspace(-1, 1, n, dtype=np.float32) if bias else finish.NOTHING
    actual = thin_product.multiply(stored_a, a_transposed, stored_b, b_transposed, ends, slope)
    sums = a.astype(np.float64) @ b.astype(np.float64) + (ends if bias else 0)
    assert actual.flags.c_contiguous and actual.shape == (m, n)
    np.testing.assert_allclose(actual, np.maximum(sums, slope * sums), rtol=1e-5, atol=1e-5)


@threads.kernel
def _tile(chunk, chunks, rows, columns, terms, a, a_transposed, b, b_transposed, out, replaces):
    packed, block = matrix_product.work_space(3)
    matrix_product.multiply_tile(
        rows, columns, terms, a, a_transposed, b, b_transposed, out, packed, block, replaces
    )


@pytest.mark.parametrize("replaces", [True, False])
@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("a_transposed", [False, True])
def test_tiles_replace_or_add_to_what_is_there(a_transposed, b_transposed, replaces):
    rows, columns = (3, 16), (register_block.COLUMNS, 2 * register_block.COLUMNS + 5)
    k = MANY + 44
    (a, stored_a), (b, stored_b) = _stored((20, k), a_transposed), _stored((k, 200), b_transposed)
    out = np.ones((20, 200), np.float32)
    expected = out.astype(np.float64)
    part = slice(*rows), slice(*columns)
    terms = 13, MANY + 34
    sums = a[part[0], slice(*terms)].astype(np.float64) @ b[slice(*terms), part[1]]
    expected[part] = sums if replaces else sums + 1

    operands = stored_a, a_transposed, stored_b, b_transposed
    threads.run(_tile, 1, rows, columns, terms, *operands, out, replaces)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("bits", ["whole", "in parts"])
def test_activations_keep_what_is_not_finite(bits):
    m, k, n = (64, MANY - 40, 704) if bits == "whole" else (34, 9, 70)
    x, weight = np.ones((m, k), np.float32), np.ones((n, k), np.float32)
    bias = np.zeros(n, np.float32)
    bias[:3] = -np.inf, np.nan, np.inf
    # The same sums of 2048 terms, in parts.
    long, weights = np.pad(x, ((0, 0), (0, 2048 - k))), np.pad(weight, ((0, 0), (0, 2048 - k)))
    for multiply in (
        lambda slope: turned_product.multiply(x, weight, bias, slope),
        lambda slope: matrix_product.multiply(x, False, weight, True, bias, slope),
        lambda slope: matrix_product.multiply(long, False, weights, True, bias, slope),
        lambda slope: dot_products.multiply(x, weight, bias, slope),
        lambda slope: thin_product.multiply(x, False, weight, True, bias, slope),
    ):
        relu, leaky = multiply(0.0)[:, :4], multiply(0.5)[:, :4]
        np.testing.assert_array_equal(relu, np.tile(np.float32([0, np.nan, np.inf, k]), (m, 1)))
        np.testing.assert_array_equal(leaky[:, 0], -np.inf)
        assert np.isnan(leaky[:, 1]).all()


def test_nothing_beyond_the_operands_is_read():
    room = np.full(3 * 4096, np.nan, np.float32)
    a, b = room[4096 : 4096 + 33 * 20].reshape(33, 20), room[8192 : 8192 + 20 * 70].reshape(20, 70)
    a[:], b[:] = 1, 2
    for a_turned, b_turned in itertools.product((False, True), repeat=2):
        left = a.reshape(20, 33) if a_turned else a
        right = b.reshape(70, 20) if b_turned else b
        assert (matrix_product.multiply(left, a_turned, right, b_turned) == 40).all()
        assert (thin_product.multiply(left, a_turned, right, b_turned) == 40).all()
    assert (dot_products.multiply(a, b.reshape(70, 20)) == 40).all()
    assert (outer_products.multiply(a.reshape(20, 33), b) == 40).all()
    assert (turned_product.multiply(a, b.reshape(70, 20)) == 40).all()


@pytest.mark.parametrize(
    ("m", "k", "n", "a_transposed", "b_transposed"),
    [
        (64, 700, 1000, False, True), (80, 700, 1000, False, True), (800, 70, 1000, True, False),
        (900, 700, 4, False, True), (900, 700, 4, True, False),
    ],
    ids=["turned", "packed", "outer products", "dot products", "thin"],
)  # fmt: skip
def test_the_bits_do_not_depend_on_the_number_of_threads(m, k, n, a_transposed, b_transposed):
    a, b = _stored((m, k), a_transposed)[0], _stored((k, n), b_transposed)[0]
    before = threads.get_num_threads()
    try:
        results = []
        for count in (1, 2, 3):
            threads.set_num_threads(count)
            results.append(linalg.matmul(a, b).tobytes())
    finally:
        threads.set_num_threads(before)
    assert len(set(results)) == 1


WAYS = [  # the kernel, M, K, N, whether a and b are stored transposed
    ("packed", 64, 100, 128, False, False),
    ("packed", 1, 64, 256, False, False),
    ("packed", 64, 600, 500, False, False),
    ("packed", 300, 50, 600, True, False),
    ("packed", 1100, 9, 800, True, False),
    ("outer", 1100, 60, 800, True, False),
    ("outer", 1100, 60, 800, True, True),
    ("turned", 64, 600, 500, False, True),
    ("thin", 600, 500, 4, True, False),
    ("thin", 1200, 50, 18, False, True),
    ("dots", 64, 100, 1, False, True),
    ("dots", 600, 500, 16, False, False),
]
MODULES = {
    "packed": matrix_product, "turned": turned_product, "outer": outer_products,
    "thin": thin_product, "dots": dot_products,
}  # fmt: skip


@pytest.fixture
def taken(monkeypatch):
    """The kernels that multiply, by name, as they are called."""
    names = []
    for name, module in MODULES.items():

        def multiply(*args, name=name, real=module.multiply, **options):
            names.append(name)
            return real(*args, **options)

        monkeypatch.setattr(module, "multiply", multiply)
    return names


@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize(("way", "k"), [("packed", 9), ("outer", 60)])
def test_which_kernel_adds_a_weight_gradient(taken, way, k, b_transposed):
    a, b = _stored((1100, k), True)[0], _stored((k, 800), b_transposed)[0]
    total = np.ones((1100, 800), np.float32)
    linalg.add_matmul(total, a, b)
    _assert_product(total - 1, a, b)
    assert taken == [way]


@pytest.mark.parametrize(("way", "m", "k", "n", "a_transposed", "b_transposed"), WAYS)
def test_which_kernel_multiplies(taken, way, m, k, n, a_transposed, b_transposed):
    a, b = _stored((m, k), a_transposed)[0], _stored((k, n), b_transposed)[0]
    _assert_product(linalg.matmul(a, b), a, b)
    assert taken[0] == way


def test_long_sums_are_cut_where_tiles_are_few():
    assert matrix_product._parts_of(16384, 1) == 8
    assert matrix_product._parts_of(8192, 4) == 2
    assert matrix_product._parts_of(2047, 1) == 1  # short
    assert matrix_product._parts_of(16384, 8) == 1  # tiles enough


def test_products_are_thin_whose_transpose_fills_the_vectors():
    columns = register_block.COLUMNS
    assert thin_product.suits(columns, 1)
    assert thin_product.suits(8 * columns, columns // 2)
    assert not thin_product.suits(8 * columns, columns)
    assert not thin_product.suits(1, columns)
    assert not thin_product.suits(1, 1)


def test_which_products_are_turned():
    assert turned_product.suits(64, 1024, 784)
    assert turned_product.suits(128, 6272, 1024)
    assert not turned_product.suits(64, 100, 8192)  # few terms
    assert not turned_product.suits(64, 512, 256)  # small
    assert not turned_product.suits(50, 1024, 784)  # lanes without rows
    assert not turned_product.suits(2048, 2048, 2048)  # no batch
