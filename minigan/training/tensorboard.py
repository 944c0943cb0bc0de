"""TensorBoard event files, written by the optional package tensorboardX."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from minigan.errors import ConfigError
from minigan.training.metrics_log import Row


def require_tensorboard() -> None:
    """Raise ConfigError, saying what to install, unless event files can be written."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise ConfigError("--tensorboard needs tensorboardX: pip install 'minigan[tensorboard]'")


class EventLog:
    """Scalars of every step and the sample grids; events after `step` are marked as undone."""

    def __init__(self, folder: Path, step: int) -> None:
        import tensorboardX

        self._writer: Any = tensorboardX.SummaryWriter(str(folder), purge_step=step + 1)

    def scalars(self, rows: list[Row]) -> None:
        """Each loss of each row, at the row's step."""
        for row in rows:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, row["step"])

    def image(self, pixels: np.ndarray, step: int) -> None:
        """A sample grid, uint8 [H,W,C]."""
        self._writer.add_image("samples", pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()
