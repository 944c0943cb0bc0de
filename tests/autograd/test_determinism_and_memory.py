"""The same bits from every process, and no memory that grows with the steps."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from functools import cache

import pytest

import minigan as mg
from minigan import ops
from minigan.autograd import Function, grad

PROGRAM = """
import hashlib
import minigan as mg
from minigan import ops
from minigan.autograd import grad

mg.manual_seed(3)
w1 = mg.randn(8, 3, 4, 4, requires_grad=True)
w2 = mg.randn(1, 128, requires_grad=True)
gamma, beta = mg.ones(8, requires_grad=True), mg.zeros(8, requires_grad=True)
digest = hashlib.sha256()
for _ in range(3):
    x = mg.randn(16, 3, 8, 8, requires_grad=True)
    h = ops.conv2d(x, w1, stride=2, padding=1)
    h = ops.leaky_relu(ops.batch_norm(h, None, None, gamma, beta, training=True), 0.2)
    out = ops.linear(ops.dropout(h, 0.3).flatten(1), w2)
    (g,) = grad(out.sum(), x, create_graph=True)
    (out.mean() + (g * g).sum()).backward()
    for p in (w1, w2, gamma, beta):
        digest.update(p.grad.numpy().tobytes())
        with mg.no_grad():
            p -= 0.01 * p.grad
        p.grad = None
print(digest.hexdigest())
"""


@cache
def digest(hash_seed: str, threads: str, **more: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "MINIGAN_NUM_THREADS": threads, **more}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], env=env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_two_processes_with_different_hash_seeds_give_the_same_bits():
    assert digest(hash_seed="1", threads="1") == digest(hash_seed="2", threads="1")


def test_thread_counts_give_the_same_bits():
    assert digest(hash_seed="1", threads="1") == digest(hash_seed="1", threads="2")


def test_a_process_that_compiles_computes_what_one_does_that_loads(tmp_path):
    """Both optimise the same code, and must run the same copy of it."""
    compiled = digest("1", "1", NUMBA_CACHE_DIR=str(tmp_path))
    assert compiled == digest("2", "1", NUMBA_CACHE_DIR=str(tmp_path)) == digest("1", "1")


def steps(n: int, parameters: list[mg.Tensor]) -> None:
    """Forward, penalty and backward of a small critic, n times."""
    weight, head = parameters
    for _ in range(n):
        x = mg.randn(4, 2, 6, 6, requires_grad=True)
        h = ops.leaky_relu(ops.conv2d(x, weight, padding=1), 0.2)
        out = ops.linear(h.flatten(1), head)
        (g,) = grad(out.sum(), x, create_graph=True)
        (out.mean() + (g * g).sum()).backward()
        for p in parameters:
            with mg.no_grad():
                p -= 1e-6 * p.grad
            p.grad = None


@pytest.fixture
def parameters() -> list[mg.Tensor]:
    return [mg.randn(3, 2, 3, 3, requires_grad=True), mg.randn(1, 108, requires_grad=True)]


def living(kind: type) -> int:
    # By type(), as isinstance would ask lazy objects of other libraries for their class.
    return sum(issubclass(type(o), kind) for o in gc.get_objects())


def test_memory_after_1000_steps_equals_memory_after_10(parameters):
    """In blocks that Python has allocated: every tensor, array and node is at least one."""
    steps(10, parameters)
    gc.collect()
    after_10 = sys.getallocatedblocks()
    steps(990, parameters)
    gc.collect()
    grown = sys.getallocatedblocks() - after_10
    assert living(Function) == 0
    assert grown < 990 // 2, f"{grown} blocks in 990 steps: a step leaves something behind"


def test_steps_need_no_garbage_collector(parameters):
    """A cycle through a graph would keep its activations until the collector happens to run."""
    steps(2, parameters)
    gc.collect()
    tensors = living(mg.Tensor)
    gc.disable()
    try:
        steps(5, parameters)
        assert living(Function) == 0
        assert living(mg.Tensor) == tensors
    finally:
        gc.enable()
