"""Multiplying vectors by a small matrix that is known when the code is compiled.

Half the numbers of Winograd's matrices are 0 and many of the others are 1 or -1. Written out for
one matrix, a transform loads no coefficients and leaves out what it need not do: half the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from minigan.backends.cpu.lanes import LANES, address, intrinsic
from minigan.backends.cpu.threads import helper
from minigan.backends.protocol import Array

_VECTOR = ir.VectorType(ir.FloatType(), LANES)


def mixing(matrix: Array, adding: bool = False) -> Any:
    """A function mix(source, start, step, target, to, to_step) for kernels:

    vector i of target = (itself +) sum over j of matrix[i, j] * vector j of source. Vectors lie
    `step` and `to_step` apart; all positions are flat np.uintp.
    """

    @intrinsic
    def mix(typing, source, start, step, target, to, to_step):
        def generate(context, builder, signature, args):
            source, start, step, target, to, to_step = args
            vectors = []
            for _ in range(matrix.shape[1]):
                place = address(context, builder, signature.args[0], source, start, _VECTOR)
                vectors.append(builder.load(place, align=4))
                start = builder.add(start, step)
            for row in matrix:
                place = address(context, builder, signature.args[3], target, to, _VECTOR)
                total = builder.load(place, align=4) if adding else None
                for vector, number in zip(vectors, row, strict=True):
                    if number != 0:
                        total = _add_multiple(builder, total, float(number), vector)
                builder.store(total, place, align=4)
                to = builder.add(to, to_step)
            return context.get_dummy_value()

        position = types.uintp
        return types.none(source, position, position, target, position, position), generate

    return mix


def mixer(tables: list[Array], adding: bool = False) -> Any:
    """`mixing` by the table of a kind, `count` times, each `hop` and `to_hop` further."""
    first = mixing(tables[0], adding)

    @helper
    def only(kind, source, start, step, hop, target, to, to_step, to_hop, count):
        at, apart, out, out_apart = np.uintp(start), np.uintp(step), np.uintp(to), np.uintp(to_step)
        for _ in range(count):
            first(source, at, apart, target, out, out_apart)
            at, out = at + np.uintp(hop), out + np.uintp(to_hop)

    if len(tables) == 1:
        return only
    others = mixer(tables[1:], adding)

    @helper
    def mix(kind, source, start, step, hop, target, to, to_step, to_hop, count):
        if kind == 0:
            only(kind, source, start, step, hop, target, to, to_step, to_hop, count)
        else:
            others(kind - 1, source, start, step, hop, target, to, to_step, to_hop, count)

    return mix


def _add_multiple(builder: Any, total: Any, number: float, vector: Any) -> Any:
    if number not in (1.0, -1.0) or (total is None and number < 0):
        vector = builder.fmul(ir.Constant(_VECTOR, [number] * LANES), vector, flags=["contract"])
        number = 1.0
    if total is None:
        return vector
    combine = builder.fadd if number > 0 else builder.fsub
    return combine(total, vector, flags=["contract"])
