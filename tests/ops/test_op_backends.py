"""The default backend against the reference, memory layouts, and inputs that must stay as given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from op_runner import assert_same, in_dtype, named, run
from op_samples import CASES, Entry, Sample

from minigan.backends import use_backend

TOLERANCE = {np.float64: 1e-11, np.float32: 1e-5}


def fortran(array: np.ndarray) -> np.ndarray:
    return np.array(array, order="F")


def sliced(array: np.ndarray) -> np.ndarray:
    """Every second element of a larger array, with other values around it."""
    if array.ndim == 0:
        return array
    larger = np.full((*array.shape[:-1], 2 * array.shape[-1] + 1), 1, array.dtype)
    view = larger[..., 1::2]
    view[...] = array
    return view


def reversed_memory(array: np.ndarray) -> np.ndarray:
    """The same values behind negative strides."""
    every = tuple(slice(None, None, -1) for _ in range(array.ndim))
    return np.ascontiguousarray(array[every])[every] if array.ndim else array


def broadcast(array: np.ndarray) -> np.ndarray:
    """Zero strides along the first axis: its first element, as often as it is long."""
    if array.dtype.kind != "f" or array.ndim == 0 or array.shape[0] < 2:
        return array
    return np.broadcast_to(array[:1], array.shape)


LAYOUTS: list[Callable[[np.ndarray], np.ndarray]] = [fortran, sliced, reversed_memory]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(**named(CASES))
def test_default_backend_equals_reference(entry: Entry, sample: Sample, dtype):
    values, gradients = run(entry, sample, in_dtype(dtype))
    with use_backend("reference"):
        wants, want_gradients = run(entry, sample, in_dtype(dtype))
    for i, (value, want) in enumerate(zip(values, wants, strict=True)):
        assert value.dtype == want.dtype
        assert_same(value, want, TOLERANCE[dtype], f"value {i}")
    for i, (value, want) in enumerate(zip(gradients, want_gradients, strict=True)):
        assert value.dtype == want.dtype
        assert_same(value, want, TOLERANCE[dtype], f"gradient {i}")


@pytest.mark.parametrize(**named(CASES))
def test_layout_of_the_inputs_does_not_matter(entry: Entry, sample: Sample):
    values, gradients = run(entry, sample)
    for layout in LAYOUTS:
        others, other_gradients = run(entry, sample, in_dtype(np.float64, layout))
        for i, (value, want) in enumerate(zip(others, values, strict=True)):
            assert_same(value, want, 1e-12, f"{layout.__name__}: value {i}")
        for i, (value, want) in enumerate(zip(other_gradients, gradients, strict=True)):
            assert_same(value, want, 1e-12, f"{layout.__name__}: gradient {i}")
    # Zero strides: an expanded tensor gives what its contiguous copy gives.
    values, gradients = run(entry, sample, in_dtype(np.float64, broadcast))
    wants, want_gradients = run(
        entry, sample, in_dtype(np.float64, lambda array: broadcast(array).copy())
    )
    pairs = zip([*values, *gradients], [*wants, *want_gradients], strict=True)
    for i, (value, want) in enumerate(pairs):
        assert_same(value, want, 1e-12, f"zero strides: result {i}")


@pytest.mark.parametrize(**named(CASES))
def test_inputs_are_untouched(entry: Entry, sample: Sample):
    """Forward, fused backward and composite backward leave every argument as it was."""
    given: list[tuple[np.ndarray, np.ndarray]] = []

    def watched(array: np.ndarray) -> np.ndarray:
        own = array.copy()
        given.append((own, array))
        return own

    for create_graph in (False, True):
        run(entry, sample, in_dtype(np.float64, watched), create_graph=create_graph)
    assert given or not sample.args
    for own, original in given:
        np.testing.assert_array_equal(own, original)
