"""Checks of the optimisers' kernels: many tensors of many sizes in one call."""

import numpy as np

from minigan.backends import cuda, reference
from tests.cuda_on_cpu.harness import close, normal

FILES = ("optim.cu",)
# More tensors than a table holds; more and less than a chunk; none and one element.
SHAPES = [(5, 3), (4097,), (), (0, 3), (2, 4096), (1,), (33, 125), *[(7,)] * 70]


def _tensors(seed):
    arrays = [normal(*shape, seed=seed + 10 * i) for i, shape in enumerate(SHAPES)]
    # An address that is no multiple of 16; an array with gaps; another dtype.
    return [*arrays, normal(4, 10, seed=seed).reshape(-1)[1:], normal(6, 5, seed=seed).T,
            normal(3, seed=seed).astype(np.float64)]  # fmt: skip


def _compare(name, states, *args, steps=3):
    """A few steps of the kernel `name` and of the reference, from equal states."""
    clock = np.zeros(1 + len(SHAPES) + 3)
    clock[0] = 0.01
    clock[1:] = np.arange(len(clock) - 1) % 4
    ours = [[None if a is None else a.copy("K") for a in arrays] for arrays in states]
    for arrays, originals in zip(ours, states, strict=True):  # a copy of a view has no offset
        if originals[-3] is not None:
            arrays[-3] = np.concatenate([originals[-3][:1], originals[-3]])[1:]
    theirs = [[None if a is None else a.copy("K") for a in arrays] for arrays in states]
    clocks = clock, clock.copy()
    for step in range(steps):
        grads = [np.asarray(g + step) for g in _tensors(100)]
        grads[4] = np.asfortranarray(grads[4])
        for backend, (params, *rest), own in zip(
            (cuda, reference), (ours, theirs), clocks, strict=True
        ):
            getattr(backend, name)(params, grads, *rest, own, *args)
            own[0] *= 0.9
    np.testing.assert_array_equal(*clocks)
    for all_ours, all_theirs in zip(ours, theirs, strict=True):
        for a, b in zip(all_ours, all_theirs, strict=True):
            if b is not None:
                close(a, b)


def _averages(seed):
    return [np.asarray(np.abs(a)) for a in _tensors(seed)]


def check_adam(device):
    rows = list(reversed(range(len(SHAPES) + 3)))
    for weight_decay, decoupled in ((0.0, False), (0.1, False), (0.1, True)):
        states = _tensors(0), _tensors(1), _averages(2)
        _compare("adam_steps", states, rows, 0.5, 0.999, 1e-8, weight_decay, decoupled)


def check_sgd(device):
    none = [None] * len(_tensors(0))
    _compare("sgd_steps", (_tensors(0), none), 0.0, 0.0, 0.1, False, True)
    for nesterov, first in ((False, True), (False, False), (True, False)):
        states = _tensors(0), _tensors(1)
        _compare("sgd_steps", states, 0.9, 0.3, 0.01, nesterov, first, steps=1)
    _compare("sgd_steps", (_tensors(0), [*none[1:], _tensors(1)[-1]]), 0.9, 0.3, 0.0, False, False)


def check_rmsprop(device):
    none = [None] * len(_tensors(0))
    for buffers, averages, momentum in (
        (none, none, 0.0),
        (_tensors(1), none, 0.9),
        (_tensors(1), [np.asarray(a / 10) for a in _tensors(3)], 0.5),
    ):
        states = _tensors(0), _averages(2), buffers, averages
        _compare("rmsprop_steps", states, 0.9, 1e-3, 0.01, momentum)


def check_no_parameters(device):
    cuda.adam_steps([], [], [], [], np.zeros(1), [], 0.5, 0.9, 1e-8, 0.0, False)


CHECKS = (check_adam, check_sgd, check_rmsprop, check_no_parameters)

_WRONG = "Not equal|RACE|BOUNDS"
DEFECTS = {
    "the last chunk runs past its tensor": (
        ("tensors.cuh", "min(CHUNK, t.size[tensor] - begin)", "CHUNK"), "BOUNDS|RACE"),
    "all tensors take the first one's rates": (
        ("optim.cu", "root_correction = rates[3 * tensor + 1]", "root_correction = rates[1]"),
        _WRONG),
    "two tensors count in one place": (
        ("optim.cu", "clock[1 + t.row[tensor]] = step", "clock[1] = step"), "RACE"),
    "a chunk is found in the next tensor": (
        ("tensors.cuh", "t.first_chunk[middle] <= chunk", "t.first_chunk[middle] < chunk"), _WRONG),
    "the gradient is overwritten": (
        ("tensors.cuh", "      if (k != 1 && at[k]) at[k][i] = v[k];",
         "      if (at[k]) at[k][i] = 2.f * v[k];"), _WRONG),
}  # fmt: skip
SANITIZER_DEFECTS = {
    "16-byte accesses at any address": (
        "tensors.cuh", "(size_t)at[k] % sizeof(float4) == 0", "true"),
}  # fmt: skip
