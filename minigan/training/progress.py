"""The progress bar: losses, images per second and the time left."""

from __future__ import annotations

import sys
import time
from itertools import accumulate
from typing import Any

from minigan.progress_bar import progress_bar
from minigan.training.metrics_log import Row

_BAR = 12  # columns that are left to the bar itself, where there is room for anything beside it


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
        texts = self._fitting([*values[:2], speed, *values[2:]])
        self._bar.set_postfix_str(", ".join(texts), refresh=False)
        self._images, self._since = 0, time.monotonic()

    def _fitting(self, texts: list[str]) -> list[str]:
        """As many of them, and at least one, as leave the bar its columns; no terminal has all."""
        facts = self._bar.format_dict
        if not facts["ncols"]:
            return texts
        room = facts["ncols"] - _BAR
        room -= len(self._bar.format_meter(**(facts | {"ncols": 0, "postfix": None})))
        ends = accumulate(len(", ") + len(text) for text in texts)
        return texts[: max(1, sum(end <= room for end in ends))]

    def close(self) -> None:
        """Leave the bar as it stands and end its line."""
        self._bar.close()
