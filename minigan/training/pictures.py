"""Pictures of a run: grids of samples and the plot of the losses, the same bytes each time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from minigan.errors import ShapeError

_MODES = {1: "L", 3: "RGB"}


def sample_grid(images: np.ndarray, n_columns: int, padding: int = 2) -> np.ndarray:
    """images [N,C,H,W] in [-1,1] -> uint8 [rows*(H+p)+p, n_columns*(W+p)+p, C], row by row.

    The padding and the cells of an unfilled last row are black.
    """
    if images.ndim != 4 or images.shape[1] not in _MODES or len(images) == 0 or n_columns < 1:
        raise ShapeError(
            f"a sample grid takes images [N, 1 or 3, H, W] and n_columns >= 1, "
            f"got {images.shape} and {n_columns}"
        )
    n, channels, height, width = images.shape
    rows = -(-n // n_columns)
    # A diverged network gives NaN, which has no uint8 value: show it as black.
    pixels = np.nan_to_num((images.astype(np.float64) + 1) * 127.5, nan=0.0)
    cells = np.zeros((rows * n_columns, channels, height + padding, width + padding), np.uint8)
    cells[:n, :, :height, :width] = np.clip(np.rint(pixels), 0, 255)
    cells = cells.reshape(rows, n_columns, channels, height + padding, width + padding)
    joined = cells.transpose(0, 3, 1, 4, 2).reshape(
        rows * (height + padding), n_columns * (width + padding), channels
    )
    return np.pad(joined, ((padding, 0), (padding, 0), (0, 0)))


def png(pixels: np.ndarray) -> bytes:
    """uint8 [H,W,C], C = 1 or 3 -> the bytes of a PNG file."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def loss_plot(rows: Sequence[dict[str, Any]], title: str = "") -> bytes:
    """Rows of metrics.jsonl -> the bytes of a PNG: losses above, all other curves below.

    Each curve is shown as it is, pale, and as a moving average over a fiftieth of the run.
    """
    # The object interface: pyplot would keep figures alive and could open a window.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Not every step has every loss: {name: [(step, value), ...]}, in order of appearance.
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("step", "epoch"):
                curves.setdefault(name, []).append((row["step"], value))
    names = list(curves)
    losses = [name for name in names if name.endswith("loss")]
    panels = [panel for panel in (losses, [n for n in names if n not in losses]) if panel]
    figure = Figure(figsize=(9, 3.5 * max(len(panels), 1)), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(max(len(panels), 1), 1, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=False):
        for position, name in enumerate(panel):
            steps, values = np.array(curves[name], dtype=float).T
            _curve(axis, steps, values, name, f"C{position}")
        axis.legend(loc="upper right")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0].set_title(title)
    axes[-1].set_xlabel("step")
    buffer = io.BytesIO()
    canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _curve(axis: Any, steps: np.ndarray, values: np.ndarray, name: str, colour: str) -> None:
    window = max(1, len(values) // 50)
    axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
    # Moving average over the last `window` values by differences of a running sum.
    total = np.concatenate([[0.0], np.cumsum(values)])
    average = (total[window:] - total[:-window]) / window
    axis.plot(steps[window - 1 :], average, color=colour, linewidth=1.5, label=name)
