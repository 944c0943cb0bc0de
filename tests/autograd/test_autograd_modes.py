"""no_grad, enable_grad and detect_anomaly: nesting, decorators, exceptions, threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import minigan as mg
from minigan import ops
from minigan.autograd import (
    Function,
    detect_anomaly,
    grad,
    is_anomaly_enabled,
    is_grad_enabled,
    set_grad_enabled,
)
from minigan.errors import GradError


def test_nesting():
    assert is_grad_enabled()
    with mg.no_grad():
        assert not is_grad_enabled()
        with mg.enable_grad():
            assert is_grad_enabled()
            with set_grad_enabled(False):
                assert not is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_what_is_computed_inside_carries_no_graph():
    x = mg.ones(2, requires_grad=True)
    with mg.no_grad():
        y = x * 2.0
        assert not y.requires_grad and y.grad_fn is None
        with mg.enable_grad():
            assert (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_decorators():
    x = mg.ones(2, requires_grad=True)

    @mg.no_grad()
    def frozen(depth: int) -> bool:
        """Its name and docstring stay."""
        recorded = (x * 2.0).requires_grad
        return recorded if depth == 0 else frozen(depth - 1)

    @mg.enable_grad()
    def recording() -> bool:
        return (x * 2.0).requires_grad

    assert frozen(0) is False and frozen(3) is False and is_grad_enabled()
    assert frozen.__name__ == "frozen" and "docstring" in frozen.__doc__
    with mg.no_grad():
        assert recording() is True and frozen(1) is False
        assert not is_grad_enabled()


def test_an_exception_puts_the_mode_back():
    with pytest.raises(ValueError), mg.no_grad():
        raise ValueError
    with pytest.raises(ValueError), detect_anomaly():
        raise ValueError
    assert is_grad_enabled() and not is_anomaly_enabled()


def test_a_failing_backward_puts_the_mode_back():
    class Failing(Function):
        """y = x, with a rule that fails."""

        def forward(self, x):
            return x.copy()

        def backward(self, grad):
            raise ZeroDivisionError

    x = mg.ones(2, requires_grad=True)
    with pytest.raises(ZeroDivisionError):
        Failing()(x).sum().backward()
    assert is_grad_enabled()


def test_modes_belong_to_a_thread():
    """Another thread records while this one does not, and its exit changes nothing here."""
    entered, leave = threading.Event(), threading.Event()
    seen = {}

    def other() -> None:
        seen["start"] = is_grad_enabled()
        with mg.no_grad(), detect_anomaly():
            entered.set()
            leave.wait(10)
            seen["inside"] = is_grad_enabled()
        seen["end"] = is_grad_enabled()

    with mg.no_grad():
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(10)
        with mg.enable_grad():
            assert is_grad_enabled() and not is_anomaly_enabled()
            leave.set()
            thread.join(10)
            assert is_grad_enabled()
    assert seen == {"start": True, "inside": False, "end": True}


def test_one_decorated_function_in_two_threads():
    """Each call goes back to the mode of its own thread, in whichever order they end."""
    both_inside = threading.Barrier(2, timeout=10)
    first_left = threading.Event()
    after = {}

    @mg.no_grad()
    def inside(name: str) -> None:
        both_inside.wait()
        if name == "second":
            first_left.wait(10)

    def run(name: str, mode: bool) -> None:
        with set_grad_enabled(mode):
            inside(name)
            after[name] = is_grad_enabled()
        if name == "first":
            first_left.set()

    threads = [threading.Thread(target=run, args=a) for a in (("first", True), ("second", False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert after == {"first": True, "second": False}


def test_backward_in_another_thread():
    x = mg.ones(3, requires_grad=True)
    loss = (x * x).sum()
    thread = threading.Thread(target=loss.backward)
    thread.start()
    thread.join(10)
    assert x.grad.tolist() == [2.0] * 3


# --- anomaly mode ---------------------------------------------------------------------------------
def test_anomaly_names_the_operation_and_where_it_was_called():
    x = mg.tensor([0.0, 1.0], requires_grad=True)
    with detect_anomaly():
        y = ops.sqrt(x) * 0.0  # 0 * inf in the backward
        with pytest.raises(GradError) as caught, np.errstate(invalid="ignore"):
            y.sum().backward()
    message = str(caught.value)
    assert message.startswith("Sqrt: its backward returned NaN")
    assert "test_autograd_modes.py" in message and "ops.sqrt(x)" in message


def test_without_anomaly_mode_nan_passes():
    x = mg.tensor([0.0], requires_grad=True)
    with np.errstate(invalid="ignore"):
        (ops.sqrt(x) * 0.0).sum().backward()
    assert np.isnan(x.grad.item())


def test_anomaly_mode_changes_no_gradient():
    x = mg.tensor([0.5, 1.0], requires_grad=True)
    with detect_anomaly():
        (g,) = grad(ops.exp(x).sum(), x, create_graph=True)
        (gg,) = grad(g.sum(), x)
    np.testing.assert_allclose(gg.numpy(), np.exp([0.5, 1.0]), rtol=1e-6)


def test_anomaly_mode_as_a_recursive_decorator():
    @detect_anomaly()
    def nested(depth: int) -> bool:
        return is_anomaly_enabled() if depth == 0 else nested(depth - 1)

    assert nested(3)
    assert not is_anomaly_enabled()
