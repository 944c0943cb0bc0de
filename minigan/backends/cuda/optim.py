"""Launches of the optimisers' steps: up to 72 parameters in one, in place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minigan.backends import reference
from minigan.backends.cuda.launch import covered, launcher
from minigan.backends.cuda.tensor_table import THREADS, tables
from minigan.backends.protocol import Array

Arrays = Sequence[Array | None]


def _tables(lists: Sequence[Arrays], rows: Sequence[int]) -> Iterator[tuple[Any, int, list[Array]]]:
    """Tables of (params, grads, *states)."""
    to = launcher()
    grads = map(to.xp.ascontiguousarray, lists[1])
    yield from tables(to, list(zip(lists[0], grads, *lists[2:], strict=True)), rows)


def _launch(kernel: str, table: tuple[Any, int, list[Array]], *args: Any) -> None:
    struct, blocks, pointed = table
    if blocks:
        launcher().launch("optim.cu", kernel, (blocks,), THREADS, (struct, *args), pointed)


def _split(lists: Sequence[Arrays]) -> tuple[list[int], list[int]]:
    """The positions of parameters that the kernels cover: float32, state updated where it lies."""
    ours: list[int] = []
    others: list[int] = []
    for i, arrays in enumerate(zip(*lists, strict=True)):
        in_place = (a is None or a.flags.c_contiguous for a in (arrays[0], *arrays[2:]))
        (ours if covered(*arrays) and all(in_place) else others).append(i)
    return ours, others


def _at(positions: list[int], *lists: Sequence[Any]) -> Any:
    return [[values[i] for i in positions] for values in lists]


def sgd_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    momentum_buffers: Arrays,
    clock: Array,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    first: bool,
) -> None:
    """See `protocol.py`."""
    lists = (params, grads, momentum_buffers if momentum else [None] * len(params))
    ours, others = _split(lists)
    if others:
        rest = (clock, momentum, dampening, weight_decay, nesterov, first)
        reference.sgd_steps(*(*_at(others, *lists), *rest))
    rates = map(np.float32, (momentum, 1 - dampening, weight_decay))
    scalars = (*rates, np.int32(nesterov), np.int32(first))
    for table in _tables(_at(ours, *lists), [0] * len(ours)):
        _launch("sgd_steps", table, clock, *scalars)


def adam_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    exp_avgs: Sequence[Array],
    exp_avg_sqs: Sequence[Array],
    clock: Array,
    rows: Sequence[int],
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """See `protocol.py`."""
    lists = (params, grads, exp_avgs, exp_avg_sqs)
    ours, others = _split(lists)
    if others:
        arrays, (others_rows,) = _at(others, *lists), _at(others, rows)
        rest = (beta1, beta2, eps, weight_decay, decoupled)
        reference.adam_steps(*(*arrays, clock, others_rows, *rest))
    added, decoupled_decay = (0.0, weight_decay) if decoupled else (weight_decay, 0.0)
    doubles = tuple(map(np.float64, (beta1, beta2, decoupled_decay)))
    scalars = tuple(map(np.float32, (1 - beta1, beta2, 1 - beta2, eps, added)))
    to, (our_rows,) = launcher(), _at(ours, rows)
    for table in _tables(_at(ours, *lists), our_rows):
        rates = to.xp.empty((int(table[0]["count"]), 3), dtype=np.float32)
        to.launch("optim.cu", "adam_advance", (1,), THREADS, (table[0], clock, rates, *doubles))
        _launch("adam_steps", table, rates, *scalars)


def rmsprop_steps(
    params: Sequence[Array],
    grads: Sequence[Array],
    square_avgs: Sequence[Array],
    momentum_buffers: Arrays,
    grad_avgs: Arrays,
    clock: Array,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
) -> None:
    """See `protocol.py`."""
    buffers = momentum_buffers if momentum > 0 else [None] * len(params)
    lists = (params, grads, square_avgs, buffers, grad_avgs)
    ours, others = _split(lists)
    if others:
        rest = (clock, alpha, eps, weight_decay, momentum)
        reference.rmsprop_steps(*(*_at(others, *lists), *rest))
    scalars = tuple(map(np.float32, (alpha, 1 - alpha, eps, weight_decay, momentum)))
    for table in _tables(_at(ours, *lists), [0] * len(ours)):
        _launch("rmsprop_steps", table, clock, *scalars)
