"""Multiplying vectors by a small matrix that is known when the code is compiled.

Half the numbers of Winograd's matrices are 0 and many of the others are 1 or -1. Written out for
one matrix, a transform loads no coefficients and leaves out what it need not do: half the time.
The code is generated as LLVM's, one function for the matrices of all kinds of tiles: numba took
40 seconds to compile the same from Python.
"""

from __future__ import annotations

import itertools
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from minigan.backends.cpu.lanes import LANES, intrinsic
from minigan.backends.protocol import Array

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INT, _FLOATS = ir.IntType(64), ir.FloatType().as_pointer()
# Kind; source, start, step, hop; target and the same of it; count.
_MIX = ir.FunctionType(
    ir.VoidType(), [_INT, _FLOATS, _INT, _INT, _INT, _FLOATS, _INT, _INT, _INT, _INT]
)
_numbers = itertools.count()


def mixer(tables: list[Array], adding: bool = False) -> Any:
    """A function mix(kind, source, start, step, hop, target, to, to_step, to_hop, count):

    vector i of target = (itself +) sum over j of tables[kind][i, j] * vector j of source, `count`
    times, each `hop` and `to_hop` further. Vectors lie `step` and `to_step` apart; positions are
    flat, in whatever array.
    """
    name = f"minigan.mix.{next(_numbers)}"

    @intrinsic
    def mix(typing, kind, source, start, step, hop, target, to, to_step, to_hop, count):
        def generate(context, builder, signature, args):
            args = list(args)
            for array in (1, 5):
                args[array] = context.make_array(signature.args[array])(
                    context, builder, args[array]
                ).data
            function = builder.module.globals.get(name)
            if function is None:
                function = _define(builder.module, name, tables, adding)
            builder.call(function, args)
            return context.get_dummy_value()

        i = types.int64
        return types.none(i, source, i, i, i, target, i, i, i, i), generate

    return mix


def _define(module: Any, name: str, tables: list[Array], adding: bool) -> Any:
    function = ir.Function(module, _MIX, name)
    function.linkage = "internal"
    kind, source, start, step, hop, target, to, to_step, to_hop, count = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    blocks = [function.append_basic_block() for _ in tables]
    switch = builder.switch(kind, blocks[-1])
    for number, (block, table) in enumerate(zip(blocks, tables, strict=True)):
        switch.add_case(_INT(number), block)
        builder.position_at_end(block)
        with cgutils.for_range(builder, count) as turn:
            at = builder.add(start, builder.mul(turn.index, hop))
            vectors = []
            for _ in range(table.shape[1]):
                vectors.append(builder.load(_address(builder, source, at), align=4))
                at = builder.add(at, step)
            at = builder.add(to, builder.mul(turn.index, to_hop))
            for row in table:
                place = _address(builder, target, at)
                total = builder.load(place, align=4) if adding else None
                for vector, factor in zip(vectors, row, strict=True):
                    if factor != 0:
                        total = _add_multiple(builder, total, float(factor), vector)
                builder.store(total, place, align=4)
                at = builder.add(at, to_step)
        builder.ret_void()
    return function


def _address(builder: Any, floats: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(floats, [index]), _VECTOR.as_pointer())


def _add_multiple(builder: Any, total: Any, number: float, vector: Any) -> Any:
    if number not in (1.0, -1.0) or (total is None and number < 0):
        vector = builder.fmul(ir.Constant(_VECTOR, [number] * LANES), vector, flags=["contract"])
        number = 1.0
    if total is None:
        return vector
    combine = builder.fadd if number > 0 else builder.fsub
    return combine(total, vector, flags=["contract"])
