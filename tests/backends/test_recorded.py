"""The tape: what is done to its arrays is done again on other values, or it says why not."""

import contextlib
import threading

import numpy as np
import pytest

pytest.importorskip("numba")

from minigan.backends.arena import Arena
from minigan.backends.cpu import graph, threads
from minigan.backends.cpu.arrays import cleared, contiguous, empty
from minigan.backends.recorded import RecordedArray, recorded, tape


@threads.kernel
def _double(chunk, chunks, x, out):
    for i in range(chunk * x.size // chunks, (chunk + 1) * x.size // chunks):
        out[i] = 2 * x[i]


@threads.kernel
def _add_all(chunk, chunks, pair, factor, out):
    for i in range(chunk * out.size // chunks, (chunk + 1) * out.size // chunks):
        out[i] += factor * (pair[0][i] + pair[1][i])


def doubled(x):
    out = empty(x.shape, x.dtype)
    threads.run(_double, 3, contiguous(x).reshape(-1), out.reshape(-1))
    return out


def added(x):
    out = cleared(x.size, x.dtype)
    pair = (contiguous(x).reshape(-1), contiguous(x.T).reshape(-1))
    threads.run(_add_all, 2, pair, np.float32(0.5), out)
    return out


def in_place(change):
    def function(x):
        y = x * 1
        change(y)
        return y

    return function


def set_item(y):
    y[1:, ::2] = y[0, 0] + 1


def set_at(y):
    y[np.array([0, 2]), np.array([1, 1])] = 7.0


def add_at(y):
    np.add.at(y, (np.array([0, 0]), np.array([1, 1])), 1.0)


def copy_to(y):
    np.copyto(y, np.flip(y, 1))


def clip(y):
    y.clip(-0.5, 0.5, out=y)


def fill_transposed(y):
    y.T[...] = y.copy().reshape(y.T.shape)


def quiet_log(x):
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(x)


FUNCTIONS = {
    "ufunc": lambda x: np.exp(x) - 1.5 * x,
    "right operand": lambda x: np.float32(2) / (np.ones((3, 4), np.float32) + x * x),
    "comparison": lambda x: (x > 0) & (x < 1),
    "transposed": lambda x: x.T + 1,
    "reduction": lambda x: x.sum(axis=0) + x.mean() + x.max(axis=1, keepdims=True),
    "ufunc's reduction": lambda x: np.maximum.reduce(x, axis=1),
    "number": lambda x: x.sum() * 2,
    "one entry": lambda x: x[1, 2] * 2 + x[0],
    "slices": lambda x: x[::-1, 1:3] * x[:, :2],
    "chosen rows": lambda x: x[np.array([2, 0])],
    "a new axis": lambda x: x[:, None, :] * x[None],
    "chosen by what is computed": lambda x: x[:, np.argsort(x[0])],
    "take": lambda x: x.take(np.array([1, 1]), axis=1),
    "cast": lambda x: x.astype(np.float64) + (x > 0).astype(np.int64),
    "copy of a part": lambda x: x[:, 1:].copy() * x.reshape(4, 3).T[:, 1:],
    "reshape that copies": lambda x: x.T.reshape(-1) + 1,
    "views": lambda x: x.swapaxes(0, 1).transpose(1, 0).reshape(2, 6)[0].reshape(3, 2),
    "flat": lambda x: x.ravel() + x.T.flatten(),
    "function": lambda x: np.where(x > 0, x, 0) + np.clip(x, -1, 1),
    "concatenate": lambda x: np.concatenate([x, x * 2], axis=1),
    "broadcast": lambda x: np.broadcast_to(x[0], (5, 4)) + 1,
    "move an axis": lambda x: np.moveaxis(x, 0, 1) * 2,
    "pad": lambda x: np.pad(x, 1),
    "zeros beside": lambda x: np.zeros_like(x, shape=(3, 4)) + x,
    "several results": lambda x: np.split(x, 2, axis=1)[1] * 2,
    "two results": lambda x: np.modf(x)[0] + 1,
    "iteration": lambda x: sum(row * i for i, row in enumerate(x)),
    "matrix product": lambda x: np.matmul(x, x.T),
    "quietly": quiet_log,
    "set": in_place(set_item),
    "set at": in_place(set_at),
    "add at": in_place(add_at),
    "copy to": in_place(copy_to),
    "clip": in_place(clip),
    "through a view": in_place(fill_transposed),
    "in place": in_place(lambda y: np.multiply(y, y, out=y)),
    "fill": in_place(lambda y: y[:, 0].fill(3.0)),
    "kernel": doubled,
    "kernel of a transposed array": lambda x: doubled(x.T),
    "kernel of a pair, onto zeros": added,
    "kernel, NumPy, kernel": lambda x: doubled(np.tanh(doubled(x)) + x),
}


def record(function, x):
    """A graph of function(x), what it gives now, and the array that a launch fills."""
    made = graph.Graph(graph.Memory())
    result = made.record(lambda: function(recorded(x)).copy(), 0, 0)
    return made, result


def inputs(seed):
    return np.random.default_rng(seed).standard_normal((3, 4)).astype(np.float32)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_done_again_on_other_values(name):
    x, function = inputs(0), FUNCTIONS[name]
    made, result = record(function, x)
    assert made.refusal is None
    np.testing.assert_array_equal(result, function(x))
    for seed in (1, 2):
        x[...] = inputs(seed)
        made.launch(0, 0)
        np.testing.assert_array_equal(result, function(x), strict=True)


def strange_output(x):
    out = np.zeros(x.size, np.float32)
    threads.run(_double, 2, x.reshape(-1), out)
    return x + out[0]


def drawn_elsewhere(x):
    from minigan.random import Generator

    return x + Generator(5).uniform(x.shape)


def drawn_twice(x):
    from minigan.random import Generator

    return x + Generator(0).uniform(x.shape) + Generator(0).uniform(x.shape)


REFUSED = {
    "float()": lambda x: x * float(x[0, 0]),
    "int()": lambda x: x * int(x[0, 0]),
    "bool()": lambda x: x * 2 if x[0, 0] > 0 else x,
    "item()": lambda x: x * x[0, 0].item(),
    "tolist()": lambda x: x * x[0].tolist()[0],
    "numpy()": lambda x: x + np.asarray(x).max(),
    "by a mask": lambda x: x[x > 0],
    "nonzero": lambda x: x[0, np.nonzero(x[0] > 0)[0]],
    "reads a value back: a bool": lambda x: x * np.array_equal(x, x),
    "'byteswap' of an array": lambda x: x + x.byteswap().byteswap(),
    "_double writes to memory that is not": strange_output,
    "a generator of its own": drawn_elsewhere,
    "draws from a generator": drawn_twice,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_repeated_is_done_and_refused(reason):
    x = inputs(0)
    made, result = record(REFUSED[reason], x)
    assert reason in made.refusal
    np.testing.assert_array_equal(result, REFUSED[reason](x))


def test_outside_of_a_recording_arrays_are_plain():
    x = inputs(0)
    assert tape() is None and recorded(x) is x
    assert type(empty((2,), np.float32)) is np.ndarray
    left = []
    made, _ = record(lambda x: left.append(x * 2) or x, x)
    (y,) = left
    assert isinstance(y, RecordedArray)
    assert type(y + 1) is np.ndarray and type(y[0]) is np.ndarray and float(y[0, 0]) == 2 * x[0, 0]


def test_random_numbers_go_on_from_launch_to_launch():
    from minigan.random import default_generator

    x, before = inputs(0), default_generator.get_state()
    try:
        default_generator.set_state({"seed": 7, "offset": 40})
        made = graph.Graph(graph.Memory())

        def work():
            a = default_generator.normal((3, 4))
            return recorded(x) + a * default_generator.uniform((4,))

        result = made.record(work, 7, 40)
        assert made.drawn == 4
        for offset in (40, 44, (1 << 64) - 2):
            default_generator.set_state({"seed": 7, "offset": offset})
            made.launch(7, offset)
            a = default_generator.normal((3, 4))
            np.testing.assert_array_equal(result, x + a * default_generator.uniform((4,)))
    finally:
        default_generator.set_state(before)


def test_graphs_of_one_memory_leave_each_other_alone():
    x, memory = inputs(0), graph.Memory()
    made = [graph.Graph(memory) for _ in range(3)]
    results = [
        g.record(lambda n=n: np.tanh(recorded(x) * n) + doubled(recorded(x)), 0, 0)
        for n, g in enumerate(made)
    ]
    x[...] = inputs(1)
    for g in made:
        g.launch(0, 0)
    for n, result in enumerate(results):
        np.testing.assert_array_equal(result, np.tanh(x * n) + doubled(x))


def test_what_is_recorded_apart_lasts():
    """What it makes is there at each launch, whatever the actions before it did."""
    x, made = inputs(0), graph.Graph(graph.Memory())

    def work():
        first = (np.exp(recorded(x)) + 1) * 2  # makes and leaves memory that might be used again
        del first
        with tape().apart() as actions:
            lasting = doubled(recorded(weight))
        assert len(actions) == 1
        return recorded(x) + lasting

    weight = inputs(3)
    result = made.record(work, 0, 0)
    for seed in (1, 2):
        x[...] = inputs(seed)
        made.launch(0, 0)
        np.testing.assert_array_equal(result, x + 2 * weight)


def test_what_is_recorded_apart_can_run_anywhere():
    x, made = inputs(0), graph.Graph(graph.Memory())
    blocks, weights = [], [inputs(3), inputs(4)]

    def work():
        lasting = []
        for weight in weights:
            with tape().apart() as actions:
                lasting.append((recorded(weight) + 1) * (np.exp(recorded(weight)) - 1))
            blocks.append(threads.compiled(actions))
        return recorded(x) + lasting[0] * lasting[1]

    result = made.record(work, 0, 0)
    for order in ((0,), (1,), (1, 0)):
        for weight in weights:
            weight += 1
        for i in range(2):
            for action in blocks[i]:
                action()
        for i in order:
            for action in blocks[i]:
                action()
        made.launch(0, 0)
        first, second = ((weight + 1) * (np.exp(weight) - 1) for weight in weights)
        np.testing.assert_array_equal(result, x + first * second)


def test_recordings_of_two_threads_wait_for_each_other():
    x, results, inside = inputs(0), {}, threading.Barrier(2, timeout=0.2)

    def work(n):
        y = recorded(x) * n
        with contextlib.suppress(threading.BrokenBarrierError):
            inside.wait()  # gives the other one time to come in between
        return np.tanh(y) + n

    def make(n):
        made = graph.Graph(graph.Memory())
        results[n] = made, made.record(lambda: work(n), 0, 0)

    workers = [threading.Thread(target=make, args=(n,)) for n in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    x[...] = inputs(1)
    for n, (made, result) in results.items():
        made.launch(0, 0)
        np.testing.assert_array_equal(result, np.tanh(x * n) + n)


# --- memory ---------------------------------------------------------------------------------------
def test_arrays_that_live_at_the_same_time_share_nothing():
    arena, rng = Arena(), np.random.default_rng(0)
    living = []
    for i in range(2000):
        if living and rng.random() < 0.5:
            array, lease, value = living.pop(rng.integers(len(living)))
            assert (array == value).all()
            del array, lease
        else:
            shape = tuple(rng.integers(0, 60, rng.integers(0, 4)))
            array, lease = arena.empty(shape, rng.choice(["f4", "f8", "i8", "?"]))
            assert array.ctypes.data % 64 == 0 and array.shape == shape
            value = array.dtype.type(i % 2)
            array[...] = value
            living.append((array, lease, value))
    assert all((array == value).all() for array, _, value in living)


def test_memory_is_used_again():
    arena = Arena()
    for size in (10, 1 << 20, 3, 1 << 22, 1 << 20):
        for _ in range(50):
            array, lease = arena.empty((size,), np.float32)
            array[:] = 1
            del array, lease
    assert len(arena._pieces) == 1 and len(arena._free) == 1


def test_an_array_larger_than_a_piece():
    arena = Arena()
    array, lease = arena.empty((5, 1 << 21), np.float32)
    array[...] = 2
    other, other_lease = arena.empty((4,), np.float64)
    other[...] = 1
    assert (array == 2).all() and len(arena._pieces) == 2
