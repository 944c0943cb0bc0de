"""sigmoid and softplus of a number, for kernels whose loops vectorise."""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir

from minigan.backends.cpu.lanes import intrinsic
from minigan.backends.cpu.threads import helper

# Taylor's series, highest power first: of e^r for |r| <= ln(2) / 2, and of artanh(s) / s in s^2 for
# s <= 1/3. What they leave out is less than half a unit in the last place.
_EXP = tuple(np.float32(1 / math.factorial(k)) for k in range(7, -1, -1))
_ARTANH = tuple(np.float32(1 / k) for k in range(15, 0, -2))
# ln 2 in two parts, the first of so few digits that a whole number times it is exact.
_LN_2 = np.float32(math.log(2) * 512) // 1 / np.float32(512)
_LN_2_REST = np.float32(math.log(2) - float(_LN_2))
_LOG2_E = np.float32(1 / math.log(2))


@intrinsic
def _less_product(typing, total, number, factor):
    """total - number * factor, as it is written: LLVM may not collect two of them into one."""

    def generate(context, builder, signature, args):
        total, number, factor = args
        kind = ir.FunctionType(total.type, [total.type] * 3)
        add = builder.module.declare_intrinsic("llvm.fmuladd", (total.type,), kind)
        return builder.call(add, [builder.fneg(number), factor, total])

    return total(total, number, factor), generate


@helper
def decay(x):
    """e^x for x <= 0, within 2 units in the last place: 2^n e^r with whole n."""
    e7, e6, e5, e4, e3, e2, e1, e0 = _EXP
    v = np.float32(-104) if x < -104 else x  # compared so that NaN stays NaN; 0 from here on
    whole = np.floor(v * _LOG2_E + np.float32(0.5))
    r = _less_product(_less_product(v, whole, _LN_2), whole, _LN_2_REST)
    y = ((((((e7 * r + e6) * r + e5) * r + e4) * r + e3) * r + e2) * r + e1) * r + e0
    n = np.int32(0) if whole != whole else np.int32(whole)
    half = n >> np.int32(1)  # in two steps, since 2^n can be too small for a normal number
    return y * _power_of_2(half) * _power_of_2(n - half)


@helper
def _power_of_2(n):
    return np.int32((n + np.int32(127)) << np.int32(23)).view(np.float32)


@helper
def sigmoid_of(z):
    """1 / (1 + e^-z)."""
    one, t = np.float32(1), decay(-abs(z))
    return (one if z >= 0 else t) / (one + t)


@helper
def softplus_of(z):
    """max(z, 0) + ln(1 + t) for t = e^-|z|; ln(1 + t) = 2 artanh(t / (2 + t))."""
    a7, a6, a5, a4, a3, a2, a1, a0 = _ARTANH
    two, t = np.float32(2), decay(-abs(z))
    s = t / (two + t)
    q = s * s
    series = ((((((a7 * q + a6) * q + a5) * q + a4) * q + a3) * q + a2) * q + a1) * q + a0
    return (np.float32(0) if z <= 0 else z) + two * s * series
