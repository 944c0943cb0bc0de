"""What every metric asks of its arguments, checked once and said in one line."""

from __future__ import annotations

import numpy as np

from minigan.errors import ConfigError, DataError, ShapeError

_EDGE = 1.01  # an interpolation or a colour conversion may end a little beyond 1


def finite(name: str, values: np.ndarray) -> None:
    """Raises DataError naming the first row that holds NaN or infinity."""
    rows = np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    if not rows.all():
        raise DataError(
            f"{name}: row {int(rows.argmin())} holds NaN or infinity: leave such rows out, or "
            "look for a training that diverged"
        )


def feature_rows(name: str, rows: np.ndarray, at_least: int = 1) -> np.ndarray:
    """Features [N,D] as float32, or float64 if they are of a wider kind than float32.

    Raises ShapeError unless [N,D] with D >= 1, DataError for fewer than `at_least` rows or values
    that are not finite.
    """
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ShapeError(f"{name}: features must be [N,D]; got shape {rows.shape}")
    rows = rows.astype(np.result_type(rows.dtype, np.float32), copy=False)
    if len(rows) < at_least:
        raise DataError(f"{name}: {len(rows)} rows, and at least {at_least} are needed")
    finite(name, rows)
    return rows


def feature_pair(
    real: np.ndarray, generated: np.ndarray, at_least: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features of equal width, each checked by `feature_rows`."""
    a = feature_rows("real features", real, at_least)
    b = feature_rows("generated features", generated, at_least)
    if a.shape[1] != b.shape[1]:
        raise ShapeError(
            f"real features have {a.shape[1]} columns and generated ones {b.shape[1]}: "
            "take both from the same network"
        )
    return a, b


def class_labels(
    name: str, labels: np.ndarray, n: int | None = None, n_classes: int | None = None
) -> np.ndarray:
    """Labels [N] as int64, counted from 0.

    Raises ShapeError unless there are `n` in one dimension, DataError if there is none, or one
    that is no integer or not below `n_classes`.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or (n is not None and len(labels) != n):
        wanted = "[N]" if n is None else f"[{n}]"
        raise ShapeError(f"{name} must be {wanted}, one a row; got shape {labels.shape}")
    if len(labels) == 0:
        raise DataError(f"{name}: none given, and at least one is needed")
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name} are {labels.dtype}: pass integers from 0")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (n_classes is not None and high >= n_classes):
        allowed = "0 or more" if n_classes is None else f"0..{n_classes - 1}"
        raise DataError(f"{name} run from {low} to {high}: expected {allowed}")
    return labels.astype(np.int64)


def images_in_range(name: str, images: np.ndarray) -> None:
    """Raises DataError unless there are pixels, all finite and in [-1,1]."""
    if images.size == 0:
        raise DataError(f"{name}: none given (shape {images.shape}), and at least one is needed")
    finite(name, images)
    low, high = float(images.min()), float(images.max())
    if low < -_EDGE or high > _EDGE:
        raise DataError(f"{name} run from {low:.4g} to {high:.4g}: scale pixels to [-1,1] first")


def at_least(name: str, value: int, lowest: int) -> int:
    """The option `name` if it is `lowest` or more; raises ConfigError otherwise."""
    if value < lowest:
        raise ConfigError(f"{name} is {value}: it must be at least {lowest}")
    return value
