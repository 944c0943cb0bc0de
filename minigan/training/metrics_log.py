"""metrics.jsonl: one JSON object a line, {"step": 1, "epoch": 1, "d_loss": 0.69, ...}.

It holds no clock time, so that two runs with one seed write the same bytes.
"""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

from minigan.errors import CheckpointError, MiniganError
from minigan.training.device_losses import DeviceLosses
from minigan.training.files import write_file, writing

# Reading a loss waits for the GPU, so losses are kept as tensors and read at most this often.
READ_SECONDS = 1.0

Row = dict[str, Any]


class MetricsLog:
    """Collects the losses of each step and appends them to a metrics.jsonl."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[Row] = []
        self._losses = DeviceLosses()
        self._last_read = time.monotonic()

    def add(self, step: int, epoch: int, losses: dict[str, Any]) -> None:
        """Keep the 0-d tensors of one step, unread. Steps and epochs count from 1."""
        self._waiting.append({"step": step, "epoch": epoch, **self._losses.keep(losses)})

    @property
    def waiting(self) -> bool:
        """Whether losses are kept that were not read yet."""
        return bool(self._waiting)

    @property
    def due(self) -> bool:
        """Whether it is time to read what was kept."""
        return time.monotonic() - self._last_read >= READ_SECONDS

    def flush(self) -> list[Row]:
        """Read the kept losses, append them to the file, and return them as floats.

        Raises MiniganError at the first step whose loss is NaN or infinite, after writing the
        rows up to that step (JSON has no NaN: such a loss is written as null).
        """
        rows, bad = [], None
        for row in self._waiting:
            values = {k: v if k in ("step", "epoch") else float(v) for k, v in row.items()}
            rows.append(values)
            bad = next((name for name, v in values.items() if not math.isfinite(v)), None)
            if bad is not None:
                break
        self._waiting = []
        self._last_read = time.monotonic()
        self._append(rows)
        if bad is not None:
            raise MiniganError(
                f"{bad} became {rows[-1][bad]} at step {rows[-1]['step']}: the training diverged "
                "and was stopped; try a lower --lr"
            )
        return rows

    def _append(self, rows: list[Row]) -> None:
        lines = "".join(json.dumps(_finite(row)) + "\n" for row in rows)
        with writing(self.path), open(self.path, "ab") as file:
            file.write(lines.encode())
            file.flush()
            # Rows must reach the disk before the checkpoint that says they are there.
            os.fsync(file.fileno())


def read_metrics(path: Path) -> list[Row]:
    """All rows of a metrics.jsonl; a last line torn by a crash is left out.

    Raises CheckpointError for any other line that is not a row.
    """
    if not path.exists():
        return []
    try:
        lines = path.read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None
    rows = []
    # The text after the last newline is empty, or a line that was being written at a crash.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line)
            row["step"]
        except (ValueError, TypeError, KeyError):
            raise CheckpointError(f"{path} is corrupt in line {number}: {line[:40]!r}") from None
        rows.append({k: math.nan if v is None else v for k, v in row.items()})
    return rows


def truncate_metrics(path: Path, step: int) -> None:
    """Drop the rows after `step`, so that a resumed run can write them again."""
    kept = [row for row in read_metrics(path) if row["step"] <= step]
    write_file(path, "".join(json.dumps(_finite(row)) + "\n" for row in kept).encode())


def _finite(row: Row) -> Row:
    return {name: value if math.isfinite(value) else None for name, value in row.items()}
