"""Work shared among threads: errors, helpers that sleep, wake and come late, several callers."""

import threading
import time

import numpy as np
import pytest

pytest.importorskip("numba")

threads = pytest.importorskip("minigan.backends.cpu.threads")
handover = pytest.importorskip("minigan.backends.cpu.handover")


@threads.kernel
def _fill(chunk, chunks, out):
    for i in range(chunk * out.size // chunks, (chunk + 1) * out.size // chunks):
        value = np.sqrt(np.float64(i) * i)  # so that a chunk takes its time
        for _ in range(20):
            value = np.sqrt(value * value)
        out[i] += round(value) + chunk


@threads.kernel
def _fail_in_chunk_3(chunk, chunks, out):
    out[chunk] = 1
    if chunk == 3:
        raise ValueError("no room")


@pytest.fixture(params=[1, 2, 5])
def thread_count(request):
    before = threads.get_num_threads()
    threads.set_num_threads(request.param)
    yield request.param
    threads.set_num_threads(before)


def _expected(size: int, chunks: int) -> np.ndarray:
    edges = [chunk * size // chunks for chunk in range(chunks + 1)]
    return np.arange(size) + np.repeat(np.arange(chunks), np.diff(edges))


def _filled(size: int, chunks: int) -> np.ndarray:
    out = np.zeros(size, np.int64)
    threads.run(_fill, chunks, out)
    return out


def _wait_until_asleep() -> None:
    end = time.monotonic() + 60
    while not handover.all_asleep(threads._pool.desk):
        assert time.monotonic() < end, "the helpers look for work for ever"
        time.sleep(0.001)


@pytest.mark.parametrize("chunks", [1, 2, 3, 100])
def test_each_chunk_has_run_once_when_the_call_returns(thread_count, chunks):
    expected = _expected(1003, chunks)
    for _ in range(200):
        assert np.array_equal(_filled(1003, chunks), expected)


def test_helpers_fall_asleep_and_wake_again(thread_count):
    for _ in range(5):
        np.testing.assert_array_equal(_filled(99, 8), _expected(99, 8))
        _wait_until_asleep()


def test_callers_in_several_threads_do_not_meet(thread_count):
    wrong: list[int] = []

    def caller(size: int) -> None:
        expected = _expected(size, 6)
        for _ in range(100):
            if not np.array_equal(_filled(size, 6), expected):
                wrong.append(size)

    callers = [threading.Thread(target=caller, args=(size,)) for size in (500, 5003, 20011)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert wrong == []


def test_errors_in_a_worker_reach_the_caller(thread_count):
    out = np.zeros(8, np.int64)
    with pytest.raises(MemoryError, match="_fail_in_chunk_3"):
        threads.run(_fail_in_chunk_3, 8, out)
    np.testing.assert_array_equal(_filled(99, 8), _expected(99, 8))  # and the pool lives on
