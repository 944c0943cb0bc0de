"""The random number generator: state, ranges, moments, and the same numbers on every back end."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigan as mg
from minigan import backends
from minigan.errors import ConfigError, DTypeError, MiniganError
from minigan.random import Generator

MANY = 200_000
DRAWS = {
    "uniform": lambda g, n: g.uniform(n),
    "uniform float64": lambda g, n: g.uniform(n, dtype=np.float64),
    "normal": lambda g, n: g.normal(n),
    "normal float64": lambda g, n: g.normal(n, dtype=np.float64),
    "randint": lambda g, n: g.randint(-3, 1000, n),
    "permutation": lambda g, n: g.permutation(n),
    "bernoulli": lambda g, n: g.bernoulli_mask(n, 0.5),
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())


# --- state --------------------------------------------------------------------------------------
@every_draw
def test_the_same_seed_gives_the_same_numbers(draw):
    first, again, other = (draw(Generator(seed), 101) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@every_draw
def test_a_draw_advances_and_a_saved_state_returns(draw):
    g = Generator(9)
    g.normal(7)
    state = g.get_state()
    first, second = draw(g, 101), draw(g, 101)
    assert not np.array_equal(first, second)
    assert g.get_state()["offset"] > state["offset"]
    g.set_state(state)
    np.testing.assert_array_equal(draw(g, 101), first)
    np.testing.assert_array_equal(draw(g, 101), second)
    resumed = Generator(0)
    resumed.set_state(copy.deepcopy(state))
    np.testing.assert_array_equal(draw(resumed, 101), first)


@every_draw
def test_draws_share_no_random_bits(draw):
    """Two short draws after each other are not one another's shifted copy."""
    g = Generator(3)
    before = g.get_state()["offset"]
    draw(g, 5)
    # At least one counter (four words) for every four numbers drawn.
    assert g.get_state()["offset"] >= before + 2


def test_a_state_is_two_integers():
    g = Generator(12)
    assert g.get_state() == {"seed": 12, "offset": 0}
    g.uniform(5)  # 5 words need 2 counters of 4
    assert g.get_state() == {"seed": 12, "offset": 2}
    assert g.initial_seed() == 12
    assert repr(g) == "Generator(seed=12, offset=2, device='cpu')"


def test_saved_state_is_a_snapshot():
    g = Generator(1)
    state = g.get_state()
    g.uniform(100)
    assert state == {"seed": 1, "offset": 0}


def test_manual_seed_starts_over():
    g = Generator(4)
    first = g.uniform(10)
    assert g.manual_seed(4) is g
    np.testing.assert_array_equal(g.uniform(10), first)


def test_seeds_are_64_bits():
    np.testing.assert_array_equal(Generator(-1).uniform(9), Generator(2**64 - 1).uniform(9))
    high, low = Generator(2**63).uniform(9), Generator(0).uniform(9)
    assert not np.array_equal(high, low)
    assert Generator(np.int64(7)).get_state() == {"seed": 7, "offset": 0}


def test_the_offset_wraps_around():
    g = Generator(1)
    g.set_state({"seed": 1, "offset": 2**64 - 1})
    values = g.uniform(8)
    assert g.get_state()["offset"] == 1
    np.testing.assert_array_equal(values[4:], Generator(1).uniform(4))


def test_the_default_generator():
    assert mg.manual_seed(11) is mg.random.default_generator
    state = mg.random.get_state()
    assert state == {"seed": 11, "offset": 0}
    first = mg.randn(6).numpy()
    mg.random.set_state(state)
    np.testing.assert_array_equal(mg.randn(6).numpy(), first)
    np.testing.assert_array_equal(first, Generator(11).normal(6))


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda g: g.set_state({"seed": 1}), "'seed' and 'offset'"),
        (lambda g: g.set_state([1, 2]), "'seed' and 'offset'"),
        (lambda g: g.set_state({"seed": 1, "offset": 2, "more": 3}), "'seed' and 'offset'"),
        (lambda g: g.set_state({"seed": 1, "offset": -1}), "offset"),
        (lambda g: g.set_state({"seed": "a", "offset": 1}), "seed"),
        (lambda g: g.set_state({"seed": 2**64, "offset": 1}), "seed"),
        (lambda g: g.manual_seed(1.5), "seed must be an integer, got 1.5"),
        (lambda g: g.manual_seed(2**64), "seed"),
        (lambda g: g.normal(3, std=-1.0), "std must not be negative, got -1"),
        (lambda g: g.randint(3, 3, 4), r"\[3, 3\) has 0 values"),
        (lambda g: g.randint(0, 2**32 + 1, 4), "2\\*\\*32"),
        (lambda g: g.randint(0.5, 3, 4), "low must be an integer, got 0.5"),
        (lambda g: g.bernoulli_mask(3, 1.5), "probability"),
        (lambda g: g.bernoulli_mask(3, float("nan")), "probability"),
        (lambda g: g.uniform(3, dtype=np.int64), "floating-point"),
        (lambda g: g.normal(3, dtype="int32"), "floating-point"),
        (lambda g: g.uniform(-3), "negative"),
        (lambda g: g.uniform((2, -3)), "negative"),
        (lambda g: g.uniform(2.5), "ints"),
        (lambda g: g.permutation(-1), "negative"),
        (lambda g: g.uniform(3, device="tpu"), "unknown device 'tpu'"),
    ],
)
def test_bad_arguments_are_said_in_one_line_and_draw_nothing(run, says):
    g = Generator(8)
    with pytest.raises(MiniganError, match=says) as caught:
        run(g)
    assert "\n" not in str(caught.value)
    assert g.get_state() == {"seed": 8, "offset": 0}


def test_errors_are_the_built_in_ones_too():
    with pytest.raises(ConfigError):
        Generator("seed")
    with pytest.raises(DTypeError):
        Generator().uniform(3, dtype=bool)


# --- shapes and dtypes --------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (3, 4), (2, 0, 3), (3, 1, 5), 7])
def test_shapes(shape):
    want = (shape,) if isinstance(shape, int) else shape
    g = Generator(2)
    for values in (g.uniform(shape), g.normal(shape), g.normal(shape, dtype="float64"),
                   g.randint(0, 9, shape), g.bernoulli_mask(shape, 0.3)):  # fmt: skip
        assert values.shape == want
    assert g.uniform(np.int64(3)).shape == (3,)
    assert g.uniform([2, 3]).shape == (2, 3)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtypes(dtype: str):
    g = Generator(2)
    for values in (g.uniform(50, -1, 1, dtype=dtype), g.normal(50, 1, 2, dtype=dtype)):
        assert values.dtype == dtype
        assert np.isfinite(values).all()
    assert g.randint(0, 3, 5).dtype == np.int64
    assert g.permutation(5).dtype == np.int64
    assert g.bernoulli_mask(5, 0.5).dtype == np.bool_


# --- distributions (fixed seeds, bounds of 5 standard errors) -----------------------------------
def _near(value: float, want: float, deviation: float, n: int = MANY) -> None:
    assert abs(value - want) < 5 * deviation / np.sqrt(n)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform_moments_and_range(dtype: str):
    x = Generator(1).uniform(MANY, dtype=dtype)
    assert x.min() >= 0 and x.max() < 1
    assert x.min() < 1e-3 and x.max() > 1 - 1e-3
    _near(x.mean(dtype="float64"), 1 / 2, np.sqrt(1 / 12))
    _near((x.astype("float64") ** 2).mean(), 1 / 3, np.sqrt(4 / 45))
    counts = np.bincount((x * 16).astype(int), minlength=16)
    assert ((counts - MANY / 16) ** 2).sum() / (MANY / 16) < 15 + 5 * np.sqrt(30)  # chi square
    _near(np.corrcoef(x[:-1], x[1:])[0, 1], 0, 1)


def test_uniform_between_bounds():
    x = Generator(1).uniform(MANY, -3.0, 5.0)
    assert x.min() >= -3 and x.max() <= 5
    _near(x.mean(dtype="float64"), 1, 8 * np.sqrt(1 / 12))


def test_float64_draws_use_more_than_24_bits():
    x = Generator(1).uniform(1000, dtype="float64")
    assert (x * 2**24 % 1 != 0).any()
    assert (x * 2**53 % 1 == 0).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal_moments(dtype: str):
    z = Generator(1).normal(MANY, dtype=dtype).astype("float64")
    for power, want, deviation in ((1, 0, 1), (2, 1, np.sqrt(2)), (3, 0, np.sqrt(15)),
                                   (4, 3, np.sqrt(96))):  # fmt: skip
        _near((z**power).mean(), want, deviation)
    assert 4 < np.abs(z).max() < 8.7
    _near((np.abs(z) < 1).mean(), 0.682689, 0.4655)
    _near((z[0::2] * z[1::2]).mean(), 0, 1, MANY // 2)  # the two of a Box-Muller pair
    _near(((z[0::2] ** 2 - 1) * (z[1::2] ** 2 - 1)).mean(), 0, 2, MANY // 2)


def test_normal_mean_and_std():
    z = Generator(1).normal(MANY, 3.0, 0.5)
    _near(z.mean(dtype="float64"), 3, 0.5)
    assert abs(z.std(dtype="float64") - 0.5) < 0.01
    assert (Generator(1).normal(5, 2.0, 0.0) == 2).all()


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-5, 5), (0, 10), (7, 8), (-(2**31), 2**31)])
def test_randint_is_even_over_its_range(low: int, high: int):
    x = Generator(1).randint(low, high, MANY)
    assert low <= x.min() and x.max() < high
    if high - low <= 10:
        counts = np.bincount(x - low, minlength=high - low)
        assert (counts > 0).all()
        expected = MANY / (high - low)
        assert ((counts - expected) ** 2).sum() / expected < high - low + 5 * np.sqrt(2 * 10)
    else:
        _near(x.mean(), (low + high - 1) / 2, (high - low) * np.sqrt(1 / 12))


@pytest.mark.parametrize("span", [3, 1000, (1 << 32) - 5, 1 << 32])
def test_randint_is_the_high_word_of_64_bits_times_the_range(span: int):
    """In Python's exact integers; narrow arithmetic would lose the carry."""
    words = backends.kernels_for(None).philox(6, 0, 2000).tolist()
    bits = [(high << 32) | low for high, low in zip(words[0::2], words[1::2], strict=True)]
    expected = [(b * span >> 64) - 7 for b in bits]
    assert Generator(6).randint(-7, span - 7, 1000).tolist() == expected


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000])
def test_permutation_holds_every_number_once(n: int):
    order = Generator(1).permutation(n)
    assert sorted(order.tolist()) == list(range(n))


def test_permutations_are_all_equally_likely():
    g = Generator(1)
    counts = {}
    for _ in range(6 * 300):
        order = tuple(g.permutation(3).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert sum((count - 300) ** 2 / 300 for count in counts.values()) < 5 + 5 * np.sqrt(10)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
def test_bernoulli_mask(p: float):
    mask = Generator(1).bernoulli_mask(MANY, p)
    _near(mask.mean(), p, np.sqrt(p * (1 - p)) + 1e-9)


def test_dropout_keeps_the_expected_share_and_scale():
    x = mg.ones(400, 500)
    y = mg.nn.Dropout(0.3)(x).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    _near((y == 0).mean(), 0.3, np.sqrt(0.21))
    images = mg.nn.Dropout2d(0.25)(mg.ones(50, 40, 3, 2)).numpy()
    assert (images.min((2, 3)) == images.max((2, 3))).all()  # whole channels
    _near((images[:, :, 0, 0] == 0).mean(), 0.25, np.sqrt(0.1875), 2000)
    frozen = mg.nn.Dropout(0.3).eval()
    assert frozen(x).tolist() == x.tolist()


# --- back ends and devices ----------------------------------------------------------------------
def _on(name: str, draw, seed: int = 21) -> np.ndarray:
    with backends.use_backend(name):
        return draw(Generator(seed))


@pytest.mark.parametrize("n", [1, 3, 4, 5, 4099, 70_001])
def test_back_ends_draw_the_same_bits(n: int):
    pytest.importorskip("numba")
    for draw in (lambda g: g.uniform(n), lambda g: g.uniform(n, dtype="float64"),
                 lambda g: g.randint(0, 1 << 32, n), lambda g: g.permutation(n)):  # fmt: skip
        np.testing.assert_array_equal(_on("reference", draw), _on("cpu", draw))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_back_ends_draw_the_same_normals_within_two_ulp(dtype: str):
    pytest.importorskip("numba")

    def draw(g):
        return g.normal(70_001, dtype=dtype)

    want, got = _on("reference", draw), _on("cpu", draw)
    # Sines near a multiple of pi are small differences of large angles: an ulp of 1 there.
    np.testing.assert_allclose(got, want, rtol=2 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


def test_a_generators_device_is_a_default_only():
    g = Generator(3, device="cpu")
    np.testing.assert_array_equal(g.uniform(5), Generator(3).uniform(5, device="cpu:0"))


def test_tensor_functions_take_a_generator_and_leave_the_default_alone():
    before = mg.random.get_state()
    g = Generator(5)
    for make in (lambda: mg.randn(4, generator=g), lambda: mg.rand(4, generator=g),
                 lambda: mg.randint(9, (4,), generator=g), lambda: mg.randperm(4, generator=g),
                 lambda: mg.zeros(4).normal_(generator=g),
                 lambda: mg.nn.init.orthogonal_(mg.zeros(4, 4), generator=g)):  # fmt: skip
        offset = g.get_state()["offset"]
        make()
        assert g.get_state()["offset"] > offset
    assert mg.random.get_state() == before


def test_a_generator_with_a_fresh_state_is_used_although_it_might_look_empty():
    """`generator or default` must not depend on the truth of a generator."""
    mg.manual_seed(1)
    np.testing.assert_array_equal(
        mg.rand(3, generator=Generator(77)).numpy(), Generator(77).uniform(3)
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dropout_mask_is_a_compared_uniform_draw(dtype):
    ours, theirs = Generator(5), Generator(5)
    mask = ours.dropout_mask((3, 7), 0.3, np.dtype(dtype))
    kept = theirs.uniform((3, 7)) >= np.float32(0.3)
    np.testing.assert_array_equal(mask, kept * np.dtype(dtype).type(1 / 0.7), strict=True)
    assert ours.get_state() == theirs.get_state()
