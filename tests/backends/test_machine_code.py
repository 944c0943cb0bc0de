"""Kernels on disk: what a second process loads, and that it is machine code only."""

import os
import pickle
import subprocess
import sys

import pytest

pytest.importorskip("numba")

import llvmlite.binding

STEP = """
import sys
import numpy as np
from minigan.backends.cpu import pointwise, threads
threads.set_num_threads(2)
total = np.arange(100_000, dtype=np.float32)
pointwise.add_to(total, np.ones(100_000, np.float32))
np.testing.assert_array_equal(total, np.arange(1, 100_001))
stats = pointwise._add_to.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
print("numba.np.arraymath" in sys.modules, "scipy.linalg" in sys.modules)
"""


def started(folder):
    """Of a new process: kernels loaded and kernels compiled; whether what compiling needs was."""
    command, env = [sys.executable, "-c", STEP], {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return answer.stdout.split()[:2], answer.stdout.split()[2:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    assert started(folder) == (["0", "1"], ["True", "True"])
    return folder


def test_a_second_process_loads_kernels_that_compute_the_same(folder):
    loaded, _ = started(folder)
    assert loaded == ["1", "0"]


def test_a_process_that_compiles_nothing_does_not_load_the_compiler(folder):
    _, imported = started(folder)
    assert imported == ["False", "False"]


@pytest.mark.parametrize("folders", [True, False])
def test_kernels_run_where_no_folder_can_keep_them_and_the_terminal_says_so(tmp_path, folders):
    closed = "" if folders else "numba.core.caching.CacheImpl._locator_classes = []\n"
    terminal = "import sys, numba.core.caching\nsys.stderr.isatty = lambda: True\n"
    command = [sys.executable, "-c", terminal + closed + STEP]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    how_often = (
        "once per installation" if folders
        else "each time: no folder can keep them; NUMBA_CACHE_DIR may name one"
    )  # fmt: skip
    assert answer.stderr == f"compiling CPU kernels ({how_often})...\n"
    assert (len(list(tmp_path.rglob("*.nbc"))) > 0) == folders


FULL = """
import errno, numba.core.caching
def save(*args): raise OSError(errno.ENOSPC, "No space left on device")
numba.core.caching.IndexDataCacheFile._save_data = save
"""


def test_a_full_disk_is_said_once_and_stops_nothing(tmp_path):
    command = [sys.executable, "-c", FULL + STEP]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert "CPU kernels are not kept" in answer.stderr
    assert answer.stderr.count("No space left on device") == 1


def test_no_code_of_llvms_is_kept_beside_it(folder):
    (file,) = folder.rglob("pointwise._add_to*.nbc")
    _, kind, (machine_code, code) = pickle.loads(file.read_bytes())[0]
    functions = list(llvmlite.binding.parse_bitcode(code).functions)
    assert kind == "object" and len(machine_code) > len(code)
    assert [sum(1 for _ in function.blocks) for function in functions] == [1] * len(functions)
