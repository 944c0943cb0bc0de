"""Reverse-mode automatic differentiation: functions, the backward engine, checks of gradients."""

from minigan.autograd.engine import backward, grad
from minigan.autograd.function import Function
from minigan.autograd.gradcheck import gradcheck, gradgradcheck
from minigan.autograd.modes import (
    detect_anomaly,
    enable_grad,
    is_anomaly_enabled,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "Function",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
