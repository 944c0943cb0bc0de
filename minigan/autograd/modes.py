"""What is recorded, and how watchfully: gradient modes and anomaly mode, each per thread."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator


class _Mode(threading.local):
    grad = True
    anomaly = False

    def __init__(self) -> None:
        self.outer: list[bool] = []  # what the blocks that are open go back to, innermost last


_mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return _mode.grad


def is_anomaly_enabled() -> bool:
    """Whether operations remember where they were called, in this thread."""
    return _mode.anomaly


class _Switch(ContextDecorator):
    """A mode set on entry and put back on exit, for `with` and as a decorator.

    It keeps nothing itself: one decorated function may run in several threads, and call itself.
    """

    field: str

    def __init__(self, mode: bool) -> None:
        self.mode = mode

    def __enter__(self) -> None:
        _mode.outer.append(getattr(_mode, self.field))
        setattr(_mode, self.field, self.mode)

    def __exit__(self, *exc: object) -> None:
        setattr(_mode, self.field, _mode.outer.pop())


class set_grad_enabled(_Switch):
    """Switches recording on or off inside a `with` block or a decorated function."""

    field = "grad"


class no_grad(set_grad_enabled):
    """Operations inside are not recorded."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Operations inside are recorded, also within `no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


class detect_anomaly(_Switch):
    """Remember where each operation was called, and stop a backward at the first NaN gradient."""

    field = "anomaly"

    def __init__(self) -> None:
        super().__init__(True)
