"""How exactly the tensor cores may compute, as in PyTorch: convolutions and nothing else."""

from __future__ import annotations

import os

from minigan.errors import ConfigError

PRECISIONS = ("fp32", "tf32", "3xtf32")
DEFAULT = "tf32"
VARIABLE = "MINIGAN_PRECISION"

_chosen: list[str] = []


def get_precision() -> str:
    """fp32: no tensor cores. tf32: convolutions round their operands to 10 bits of mantissa.
    3xtf32: three such products instead of one, nearly as exact as fp32.

    Matrix products are fp32 in all of them. The environment's MINIGAN_PRECISION is read once.
    Raises ConfigError where it has another value.
    """
    if not _chosen:
        set_precision(os.environ.get(VARIABLE, "") or DEFAULT, source=VARIABLE)
    return _chosen[0]


def set_precision(precision: str, source: str = "precision") -> None:
    """Choose for all kernels launched from now on. `source` is named where the value is wrong."""
    if precision not in PRECISIONS:
        raise ConfigError(f"{source} is {precision!r}: use one of {', '.join(PRECISIONS)}")
    _chosen[:] = [precision]
