"""A vector of float32 as a type that kernels compute with, for loops that LLVM will not vectorise.

LLVM vectorises an innermost loop. A register block, some vectors that all stay in registers while
the innermost loop adds to them, has to be written out: kernels hold each in a variable, and the
functions here are what they do with it. A `Vector` has LANES floats: 16 with AVX-512, else 8
(which LLVM splits in two where registers are shorter); a wide one has WIDE of them, two registers
on the machines with enough of these for a block of 4 x 2 wide vectors. Positions are not checked,
as nowhere in a kernel, and count numbers in memory from an array's first one on, whatever its
shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import extending, types
from numba.extending import models, register_model

_config: Any = numba.config
intrinsic: Any = extending.intrinsic


def _has_avx512() -> bool:
    """Of the machine that numba compiles for: NUMBA_CPU_NAME or _FEATURES can name another."""
    if _config.CPU_FEATURES is not None:
        return "+avx512f" in _config.CPU_FEATURES
    if _config.CPU_NAME not in (None, llvmlite.binding.get_host_cpu_name()):
        return False
    return bool(llvmlite.binding.get_host_cpu_features().get("avx512f", False))


LANES = 16 if _has_avx512() else 8
WIDE = 32 if _has_avx512() else 8

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
_INDEX = ir.IntType(32)


class Vector(types.Type):
    """So many float32 in registers."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Vector({lanes})")


_vector = Vector(LANES)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.FloatType(), kind.lanes))


def address(context: Any, builder: Any, kind: Any, array: Any, index: Any, vector: Any) -> Any:
    """Of a vector of the array, whose numba type is `kind`; for code that generates code."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _eights(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """The addresses of LANES / 8 runs of 8 floats, `step` apart."""
    array, index, step = args
    data = context.make_array(signature.args[0])(context, builder, array).data
    addresses = []
    for _ in range(LANES // 8):
        place = builder.gep(data, [index])
        addresses.append(builder.bitcast(place, ir.VectorType(ir.FloatType(), 8).as_pointer()))
        index = builder.add(index, step)
    return addresses


def _shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INDEX, LANES), order))


def _spread(builder: Any, number: Any, kind: Any) -> Any:
    nothing = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(_INDEX, 0))
    everywhere = ir.Constant(ir.VectorType(_INDEX, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, nothing, everywhere)


def _loading(lanes: int) -> Callable[..., Any]:
    """The floats of the array from `index` on, as many as fill a vector."""

    @intrinsic
    def load(typing, array, index):
        def generate(context, builder, signature, args):
            vector = context.get_value_type(signature.return_type)
            array, index = args
            place = address(context, builder, signature.args[0], array, index, vector)
            return builder.load(place, align=4)

        return Vector(lanes)(array, types.uintp), generate

    return load


@intrinsic
def load_number(typing, array, index):
    """One float of the array."""

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return types.float32(array, types.uintp), generate


def _zeros(lanes: int) -> Callable[..., Any]:
    """A vector of zeros."""

    @intrinsic
    def zeros(typing):
        def generate(context, builder, signature, args):
            return ir.Constant(context.get_value_type(signature.return_type), [0.0] * lanes)

        return Vector(lanes)(), generate

    return zeros


load, load_wide = _loading(LANES), _loading(WIDE)
zeros, zeros_wide = _zeros(LANES), _zeros(WIDE)


@intrinsic
def spread(typing, number):
    """A vector of one number."""

    def generate(context, builder, signature, args):
        return _spread(builder, args[0], _VECTOR)

    return _vector(types.float32), generate


@intrinsic
def store(typing, array, index, vector):
    """Write the vector to the array from `index` on."""

    def generate(context, builder, signature, args):
        array, index, vector = args
        place = address(context, builder, signature.args[0], array, index, vector.type)
        builder.store(vector, place).align = 4
        return context.get_dummy_value()

    return types.none(array, types.uintp, vector), generate


@intrinsic
def move_four(typing, array, index, to, place):
    """Copy 4 floats of an array to another one."""

    def generate(context, builder, signature, args):
        four = ir.VectorType(ir.FloatType(), 4)
        source = address(context, builder, signature.args[0], args[0], args[1], four)
        numbers = builder.load(source, align=4)
        target = address(context, builder, signature.args[2], args[2], args[3], four)
        builder.store(numbers, target, align=4)
        return context.get_dummy_value()

    return types.none(array, types.uintp, to, types.uintp), generate


@intrinsic
def add(typing, a, b):
    """a + b."""

    def generate(context, builder, signature, args):
        return builder.fadd(*args)

    return a(a, a), generate


@intrinsic
def add_product(typing, total, factor, vector):
    """total + factor * vector of a number or a vector, in one rounding where the machine has an
    instruction for it."""
    kind = factor if isinstance(factor, Vector) else types.float32

    def generate(context, builder, signature, args):
        total, factor, vector = args
        if factor.type != vector.type:
            factor = _spread(builder, factor, vector.type)
        product = builder.fmul(factor, vector, flags=["contract"])
        return builder.fadd(total, product, flags=["contract"])

    return vector(vector, kind, vector), generate


@intrinsic
def leaky(typing, vector, slope):
    """The vector where it is above 0, else slope times it; slope 0 makes 0 of -infinity, too."""

    def generate(context, builder, signature, args):
        vector, slope = args
        zero = ir.Constant(vector.type, None)
        below = builder.fmul(vector, _spread(builder, slope, vector.type))
        flat = builder.fcmp_ordered("==", slope, ir.Constant(slope.type, 0.0))
        at_most = builder.fcmp_ordered("<=", vector, zero)  # not so of NaN, which stays
        below = builder.select(flat, zero, below)
        return builder.select(at_most, below, vector)

    return vector(vector, types.float32), generate


@intrinsic
def unless_beaten(typing, best, value, kept, new):
    """`kept`, or in the lanes where value is larger than best or the first NaN `new`."""

    def generate(context, builder, signature, args):
        best, value, kept, new = args
        not_less = builder.fcmp_unordered("ugt", value, best)
        beaten = builder.and_(not_less, builder.fcmp_ordered("ord", best, best))
        return builder.select(beaten, new, kept)

    return _vector(_vector, _vector, _vector, _vector), generate


@intrinsic
def store_eights(typing, array, index, step, vector):
    """Write the first 8 floats of the vector from `index` on, the next 8 from index + step on."""

    def generate(context, builder, signature, args):
        for part, address in enumerate(_eights(context, builder, signature, args[:3])):
            order = ir.Constant(ir.VectorType(_INDEX, 8), list(range(8 * part, 8 * part + 8)))
            numbers = builder.shuffle_vector(args[3], _UNDEFINED, order)
            builder.store(numbers, address).align = 4
        return context.get_dummy_value()

    return types.none(array, types.uintp, types.uintp, _vector), generate


@intrinsic
def load_eights(typing, array, index, step):
    """A vector of 8 floats from `index` on, the next 8 from index + step on."""

    def generate(context, builder, signature, args):
        parts = [builder.load(address) for address in _eights(context, builder, signature, args)]
        for part in parts:
            part.align = 4
        if len(parts) == 1:
            return parts[0]
        order = ir.Constant(ir.VectorType(_INDEX, LANES), list(range(LANES)))
        return builder.shuffle_vector(*parts, order)

    return _vector(array, types.uintp, types.uintp), generate


@intrinsic
def fetch(typing, array, index):
    """Ask for a cache line of the array, to be in the second-level cache when it is read.

    The position may lie outside: nothing is read then.
    """

    def generate(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, _INDEX, _INDEX, _INDEX])
        function = builder.module.declare_intrinsic("llvm.prefetch", (place.type,), kind)
        reading, second_level, data_cache = (ir.Constant(_INDEX, n) for n in (0, 2, 1))
        builder.call(function, [place, reading, second_level, data_cache])
        return context.get_dummy_value()

    return types.none(array, types.uintp), generate


def _selection(order: list[int]) -> Callable[..., Any]:
    """The LANES numbers at these positions of a and b, laid end to end."""

    @intrinsic
    def select(typing, a, b):
        def generate(context, builder, signature, args):
            return _shuffled(builder, args[0], args[1], order)

        return _vector(_vector, _vector), generate

    return select


_INTERLEAVED = [i // 2 + i % 2 * LANES for i in range(2 * LANES)]
interleave_low = _selection(_INTERLEAVED[:LANES])  # a[0] b[0] a[1] b[1] ...
interleave_high = _selection(_INTERLEAVED[LANES:])  # the same of the upper halves
evens = _selection(list(range(0, 2 * LANES, 2)))
odds = _selection(list(range(1, 2 * LANES, 2)))
