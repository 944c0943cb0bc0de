"""The progress bar: losses, images per second and the time left."""

from __future__ import annotations

import sys
import time
from typing import Any

from minigan.progress_bar import progress_bar
from minigan.training.metrics_log import Row


class Progress:
    """A bar of steps on standard error; where that is no terminal, a line each half minute."""

    def __init__(self, step: int, total: int, n_epochs: int) -> None:
        self._bar: Any = progress_bar(
            total=total,
            initial=step,
            unit="step",
            mininterval=0.2 if sys.stderr.isatty() else 30.0,
        )
        self._n_epochs = n_epochs
        self._images = 0
        self._since = time.monotonic()

    def advance(self, images: int) -> None:
        """Count one step of so many images."""
        self._images += images
        self._bar.update()

    def show(self, row: Row) -> None:
        """Show the losses of a step, and the speed since the last call."""
        seconds = max(time.monotonic() - self._since, 1e-9)
        self._bar.set_description(f"epoch {row['epoch']}/{self._n_epochs}", refresh=False)
        values = [f"{k} {v:.3f}" for k, v in row.items() if k not in ("step", "epoch")]
        speed = f"{self._images / seconds:.0f} images/s"
        self._bar.set_postfix_str(", ".join([*values, speed]), refresh=False)
        self._images, self._since = 0, time.monotonic()

    def close(self) -> None:
        """Leave the bar as it stands and end its line."""
        self._bar.close()
