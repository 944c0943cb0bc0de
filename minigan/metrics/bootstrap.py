"""The spread of a metric: what it might have been with other images of the same kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigan.errors import DataError, ShapeError
from minigan.metrics.checks import at_least

Rows = np.ndarray | tuple[np.ndarray, ...]


def bootstrap(
    metric: Callable[..., Any], *arrays: Rows, n: int = 20, seed: int = 0
) -> tuple[Any, Any]:
    """Mean and standard deviation of `metric` over n resamples of the rows, with replacement.

    Each of `arrays` is resampled apart from the others; a tuple of arrays is resampled together,
    as images with their labels: `bootstrap(error, (images, labels), (real, real_labels))` calls
    `error(images, labels, real, real_labels)`. A metric that returns several numbers gives arrays.
    The std is the metric's standard error. Use `half_samples` where a row that occurs twice
    spoils the metric. Raises ShapeError, DataError or ConfigError.
    """
    return _spread(
        metric,
        arrays,
        n,
        lambda rng, rows: rng.integers(0, rows, rows),
        np.random.default_rng(seed),
    )


def half_samples(
    metric: Callable[..., Any], *arrays: Rows, n: int = 20, seed: int = 0
) -> tuple[Any, Any]:
    """As `bootstrap`, but each resample is a random half of the rows, none of them twice.

    For metrics of neighbours or of pairs of rows, to which a copy at distance 0 is a lie. A mean
    of half the rows varies over the halves as much as over bootstrap samples of all, so the std
    is again the standard error at all rows (Shao & Wu 1989). The mean is that of half as many
    rows: report the metric of all rows beside the std.
    """
    return _spread(
        metric,
        arrays,
        n,
        lambda rng, rows: rng.permutation(rows)[: rows // 2],
        np.random.default_rng(seed),
    )


def _spread(
    metric: Callable[..., Any],
    arrays: tuple[Rows, ...],
    n: int,
    draw: Callable[[np.random.Generator, int], np.ndarray],
    rng: np.random.Generator,
) -> tuple[Any, Any]:
    at_least("n", n, 2)
    groups = [_group(i, rows) for i, rows in enumerate(arrays)]
    values = []
    for _ in range(n):
        chosen: list[np.ndarray] = []
        for group in groups:
            rows = draw(rng, len(group[0]))
            chosen.extend(array[rows] for array in group)
        values.append(np.asarray(metric(*chosen), dtype=np.float64))
    found = np.stack(values)
    return found.mean(axis=0), found.std(axis=0, ddof=1)


def _group(i: int, rows: Rows) -> list[np.ndarray]:
    group = [np.asarray(array) for array in (rows if isinstance(rows, tuple) else (rows,))]
    lengths = [array.shape[0] if array.ndim else 0 for array in group]
    if len(set(lengths)) != 1:
        raise ShapeError(f"arrays of group {i} have {lengths} rows: what goes together has as many")
    if lengths[0] < 2:
        raise DataError(f"group {i} has {lengths[0]} rows: a spread needs at least 2")
    return group
