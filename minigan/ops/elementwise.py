"""Arithmetic and functions that act on each element.

Where operands were broadcast, the gradient is summed back over the broadcast axes: broadcasting
and summing are adjoint to each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigan.autograd import Function
from minigan.backends import kernels_for
from minigan.ops.operands import (
    as_operand,
    operands,
    require_float,
    require_one_device,
    result_dtype,
)
from minigan.ops.shape import sum_to, summed_to
from minigan.tensor import Tensor


class Add(Function):
    """y = a + b; da = dy, db = dy."""

    def forward(self, a: Any, b: Any) -> Any:
        self.shapes = a.shape, b.shape
        alike = a.shape == b.shape and a.dtype == b.dtype
        return kernels_for(a).add(a, b) if alike else a + b

    def backward(self, grad: Tensor) -> Any:
        return tuple(
            sum_to(grad, shape) if need else None
            for shape, need in zip(self.shapes, self.needs, strict=True)
        )

    def backward_arrays(self, grad: Any) -> Any:
        a_shape, b_shape = self.shapes
        return (
            summed_to(grad, a_shape) if self.needs[0] else None,
            summed_to(grad, b_shape) if self.needs[1] else None,
        )


class Sub(Function):
    """y = a - b; da = dy, db = -dy."""

    def forward(self, a: Any, b: Any) -> Any:
        self.shapes = a.shape, b.shape
        return a - b

    def backward(self, grad: Tensor) -> Any:
        a_shape, b_shape = self.shapes
        return (
            sum_to(grad, a_shape) if self.needs[0] else None,
            sum_to(-grad, b_shape) if self.needs[1] else None,
        )

    def backward_arrays(self, grad: Any) -> Any:
        a_shape, b_shape = self.shapes
        return (
            summed_to(grad, a_shape) if self.needs[0] else None,
            -summed_to(grad, b_shape) if self.needs[1] else None,
        )


class Mul(Function):
    """y = a b; da = dy b, db = dy a."""

    saves = (0, 1)

    def forward(self, a: Any, b: Any) -> Any:
        return a * b

    def backward(self, grad: Tensor) -> Any:
        a, b = self.saved
        return (
            sum_to(grad * b, a.shape) if self.needs[0] else None,
            sum_to(grad * a, b.shape) if self.needs[1] else None,
        )

    def backward_arrays(self, grad: Any) -> Any:
        a, b = self.saved_arrays
        return (
            summed_to(grad * b, a.shape) if self.needs[0] else None,
            summed_to(grad * a, b.shape) if self.needs[1] else None,
        )


class Div(Function):
    """y = a / b; da = dy / b, db = -dy a / b^2."""

    saves = (0, 1)

    def forward(self, a: Any, b: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return a / b

    def backward(self, grad: Tensor) -> Any:
        a, b = self.saved
        return (
            sum_to(grad / b, a.shape) if self.needs[0] else None,
            sum_to(-grad * a / (b * b), b.shape) if self.needs[1] else None,
        )


class Neg(Function):
    """y = -x; dx = -dy."""

    def forward(self, x: Any) -> Any:
        return -x

    def backward(self, grad: Tensor) -> Tensor:
        return -grad

    def backward_arrays(self, grad: Any) -> Any:
        return -grad


class PowScalar(Function):
    """y = x^p for a number p; dx = dy p x^(p-1), which is 0 for p = 0 whatever x is."""

    saves = (0,)

    def __init__(self, exponent: float) -> None:
        self.exponent = exponent

    def forward(self, x: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return x * x if self.exponent == 2 else x**self.exponent

    def backward(self, grad: Tensor) -> Tensor:
        (x,) = self.saved
        p = self.exponent
        if p == 0:
            return grad * 0.0
        return grad * (x * 2.0) if p == 2 else grad * (p * power(x, p - 1))


class Pow(Function):
    """y = a^b; da = dy b a^(b-1), db = dy y ln a (0 where a = 0)."""

    saves = (0, 1, "output")

    def forward(self, a: Any, b: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return a**b

    def backward(self, grad: Tensor) -> Any:
        a, b, y = self.saved
        grad_a = grad_b = None
        if self.needs[0]:
            base = where(equal(b, 0.0), 1.0, a)  # 0 * 0^(-1) would be NaN; a^0 has no slope
            grad_a = sum_to(grad * b * power(base, b - 1.0), a.shape)
        if self.needs[1]:
            zero = equal(a, 0.0)
            grad_b = sum_to(grad * y * log(where(zero, 1.0, a)), b.shape)
        return grad_a, grad_b


class Exp(Function):
    """y = e^x; dx = dy y."""

    saves = ("output",)

    def forward(self, x: Any) -> Any:
        return np.exp(x)

    def backward(self, grad: Tensor) -> Tensor:
        return grad * self.saved[0]

    def backward_arrays(self, grad: Any) -> Any:
        return grad * self.saved_arrays[0]


class Log(Function):
    """y = ln x; dx = dy / x."""

    saves = (0,)

    def forward(self, x: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(x)

    def backward(self, grad: Tensor) -> Tensor:
        return grad / self.saved[0]


class Sqrt(Function):
    """y = sqrt(x); dx = dy / (2 y), infinite at 0."""

    saves = ("output",)

    def forward(self, x: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return np.sqrt(x)

    def backward(self, grad: Tensor) -> Tensor:
        return grad / (self.saved[0] * 2.0)


class Rsqrt(Function):
    """y = x^(-1/2); dx = -dy y^3 / 2."""

    saves = ("output",)

    def forward(self, x: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1.0 / np.sqrt(x)

    def backward(self, grad: Tensor) -> Tensor:
        (y,) = self.saved
        return grad * (y * y * y) * -0.5


class Sin(Function):
    """y = sin x; dx = dy cos x."""

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return np.sin(x)

    def backward(self, grad: Tensor) -> Tensor:
        return grad * cos(self.saved[0])


class Cos(Function):
    """y = cos x; dx = -dy sin x."""

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return np.cos(x)

    def backward(self, grad: Tensor) -> Tensor:
        return -grad * sin(self.saved[0])


class Abs(Function):
    """y = |x|; dx = dy sign(x), with 0 at 0."""

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return np.abs(x)

    def backward(self, grad: Tensor) -> Tensor:
        return grad * sign(self.saved[0])


class Clamp(Function):
    """y = min(max(x, low), high); dx = dy where low <= x <= high, else 0."""

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low, self.high = low, high

    def forward(self, x: Any) -> Any:
        y = np.clip(x, self.low, self.high).astype(x.dtype, copy=False)
        if any(self.needs):
            self.cache = y == x
        return y

    def backward(self, grad: Tensor) -> Tensor:
        return where(Tensor._wrap(self.cache), grad, 0.0)


class Maximum(Function):
    """y = max(a, b) elementwise; dy goes to the larger one, half to each where they are equal."""

    saves = (0, 1)
    larger_is_first = True

    def forward(self, a: Any, b: Any) -> Any:
        return np.maximum(a, b) if self.larger_is_first else np.minimum(a, b)

    def backward(self, grad: Tensor) -> Any:
        a, b = self.saved
        first = a._array > b._array if self.larger_is_first else a._array < b._array
        share = first + 0.5 * (a._array == b._array)
        to_a = Tensor._wrap(share.astype(a.dtype))
        return (
            sum_to(grad * to_a, a.shape) if self.needs[0] else None,
            sum_to(grad * (1.0 - to_a), b.shape) if self.needs[1] else None,
        )


class Minimum(Maximum):
    """y = min(a, b) elementwise; dy goes to the smaller one, half to each where they are equal."""

    larger_is_first = False


class Where(Function):
    """y = a where condition else b; dy goes to the one that was taken."""

    def __init__(self, condition: Any) -> None:
        self.condition = condition

    def forward(self, a: Any, b: Any) -> Any:
        self.shapes = a.shape, b.shape
        return kernels_for(a).xp.where(self.condition, a, b)

    def backward(self, grad: Tensor) -> Any:
        condition = Tensor._wrap(self.condition)
        a_shape, b_shape = self.shapes
        return (
            sum_to(where(condition, grad, 0.0), a_shape) if self.needs[0] else None,
            sum_to(where(condition, 0.0, grad), b_shape) if self.needs[1] else None,
        )


# --- public functions -------------------------------------------------------------------------
def add(a: Any, b: Any) -> Tensor:
    """a + b, broadcast."""
    return Add()(*operands(a, b, "add"))


def sub(a: Any, b: Any) -> Tensor:
    """a - b, broadcast."""
    return Sub()(*operands(a, b, "sub"))


def mul(a: Any, b: Any) -> Tensor:
    """a * b, broadcast."""
    return Mul()(*operands(a, b, "mul"))


def div(a: Any, b: Any) -> Tensor:
    """a / b, broadcast; integers are divided as floats."""
    a, b = operands(a, b, "div")
    return Div()(require_float(a, "div"), require_float(b, "div"))


def neg(x: Tensor) -> Tensor:
    """-x."""
    return Neg()(x)


def power(a: Any, b: Any) -> Tensor:
    """a ** b, broadcast; a number as exponent is the fast and usual case."""
    if isinstance(a, Tensor) and isinstance(b, (int, float)):
        whole = isinstance(b, int) and b >= 0
        return PowScalar(b)(a if whole else require_float(a, "pow"))
    a, b = operands(a, b, "pow")
    return Pow()(a, b)


def exp(x: Tensor) -> Tensor:
    """e ** x."""
    return Exp()(require_float(x, "exp"))


def log(x: Tensor) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below."""
    return Log()(require_float(x, "log"))


def sqrt(x: Tensor) -> Tensor:
    """Square root; its gradient at 0 is infinite, so add an epsilon first where 0 can occur."""
    return Sqrt()(require_float(x, "sqrt"))


def rsqrt(x: Tensor) -> Tensor:
    """1 / sqrt(x)."""
    return Rsqrt()(require_float(x, "rsqrt"))


def sin(x: Tensor) -> Tensor:
    """Sine."""
    return Sin()(require_float(x, "sin"))


def cos(x: Tensor) -> Tensor:
    """Cosine."""
    return Cos()(require_float(x, "cos"))


def abs(x: Tensor) -> Tensor:
    """Absolute value."""
    return Abs()(x)


def clamp(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """x limited to [min, max]; one of them may be left out."""
    return Clamp(min, max)(x)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b, elementwise, broadcast."""
    return Maximum()(*operands(a, b, "maximum"))


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b, elementwise, broadcast."""
    return Minimum()(*operands(a, b, "minimum"))


def where(condition: Tensor, a: Any, b: Any) -> Tensor:
    """a where the bool tensor `condition` holds, else b; all three broadcast."""
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        like = kernels_for(condition._array).constant(0, np.float32)
        a = as_operand(a, Tensor._wrap(like), "where")
    a, b = operands(a, b, "where")
    require_one_device("where", a, condition)
    return Where(condition._array)(a, b)


def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1; carries no gradient."""
    return Tensor._wrap(np.sign(x._array))


def _comparison(name: str, ufunc: Any) -> Any:
    def compare(a: Any, b: Any) -> Tensor:
        if not isinstance(a, Tensor):
            a = as_operand(a, b, name)
        b = as_operand(b, a, name)
        dtype = result_dtype(a.dtype, b.dtype)
        require_one_device(name, a, b)
        return Tensor._wrap(ufunc(a._array.astype(dtype), b._array.astype(dtype)))

    compare.__name__ = name
    compare.__doc__ = f"Elementwise {name.replace('_', ' ')}; a bool tensor without gradient."
    return compare


equal = _comparison("equal", np.equal)
not_equal = _comparison("not_equal", np.not_equal)
less = _comparison("less", np.less)
less_equal = _comparison("less_equal", np.less_equal)
greater = _comparison("greater", np.greater)
greater_equal = _comparison("greater_equal", np.greater_equal)
