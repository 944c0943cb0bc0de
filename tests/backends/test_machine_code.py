"""Kernels on disk: what a second process loads, and that it is machine code only."""

import os
import pickle
import subprocess
import sys

import pytest

pytest.importorskip("numba")

import llvmlite.binding

STEP = """
import numpy as np
from minigan.backends.cpu import pointwise
total = np.arange(1000, dtype=np.float32)
pointwise.add_to(total, np.ones(1000, np.float32))
np.testing.assert_array_equal(total, np.arange(1, 1001))
stats = pointwise._add_to.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def hits_and_misses(folder):
    command, env = [sys.executable, "-c", STEP], {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return answer.stdout.split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    assert hits_and_misses(folder) == ["0", "1"]
    return folder


def test_a_second_process_loads_kernels_that_compute_the_same(folder):
    assert hits_and_misses(folder) == ["1", "0"]


def test_no_code_of_llvms_is_kept_beside_it(folder):
    (file,) = folder.rglob("pointwise._add_to*.nbc")
    _, kind, (machine_code, code) = pickle.loads(file.read_bytes())[0]
    functions = list(llvmlite.binding.parse_bitcode(code).functions)
    assert kind == "object" and len(machine_code) > len(code)
    assert [sum(1 for _ in function.blocks) for function in functions] == [1] * len(functions)
