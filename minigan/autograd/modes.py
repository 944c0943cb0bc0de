"""What is recorded, and how watchfully: gradient modes and anomaly mode, each per thread."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator


class _Mode(threading.local):
    grad = True
    anomaly = False


_mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread."""
    return _mode.grad


def is_anomaly_enabled() -> bool:
    """Whether operations remember where they were called, in this thread."""
    return _mode.anomaly


class set_grad_enabled(ContextDecorator):
    """Context manager and decorator that switches recording on or off."""

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self.outer: list[bool] = []

    def __enter__(self) -> None:
        self.outer.append(_mode.grad)
        _mode.grad = self.mode

    def __exit__(self, *exc: object) -> None:
        _mode.grad = self.outer.pop()


class no_grad(set_grad_enabled):
    """Operations inside are not recorded."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Operations inside are recorded, also within `no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


class detect_anomaly(ContextDecorator):
    """Remember where each operation was called, and stop a backward at the first NaN gradient."""

    def __enter__(self) -> None:
        self.outer = _mode.anomaly
        _mode.anomaly = True

    def __exit__(self, *exc: object) -> None:
        _mode.anomaly = self.outer
