"""Runs a sample of the table in minigan or PyTorch: values, gradients, second-order gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from op_samples import CASES, Entry, Sample, as_tensor, converted, torch_function

from minigan.autograd import grad
from minigan.tensor import Tensor

DIFFERENTIABLE = [case for case in CASES if case[1].differentiable]
SMOOTH = [case for case in DIFFERENTIABLE if not case[2].kink]


def named(cases: list[tuple[str, Entry, Sample]]) -> dict[str, Any]:
    """Keyword arguments of pytest.mark.parametrize over (entry, sample)."""
    return {
        "argnames": ("entry", "sample"),
        "argvalues": [case[1:] for case in cases],
        "ids": [case[0] for case in cases],
    }


def listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def in_dtype(dtype: Any, layout: Any = lambda array: array) -> Any:
    """A converter for `op_samples.converted`: float arrays get this dtype and layout."""

    def tensor(array: np.ndarray, wanted: bool) -> Tensor:
        array = array.astype(dtype) if array.dtype.kind == "f" else array
        return as_tensor(layout(array), wanted)

    return tensor


def leaves_of(args: list[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    return [v for v in [*args, *kwargs.values()] if isinstance(v, Tensor) and v.requires_grad]


def upstream(outputs: list[Any], seed: int = 7) -> list[np.ndarray]:
    """A random gradient for each output. Never ones: with ones, any rule passes for an operation
    whose outputs sum to a constant."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(tuple(o.shape))) for o in outputs]


def forward(entry: Entry, sample: Sample, tensor: Any = as_tensor) -> tuple[list[Any], list[Any]]:
    """(outputs, leaves)."""
    args, kwargs = converted(sample, tensor)
    return listed(entry.fn(*args, **kwargs)), leaves_of(args, kwargs)


def run(
    entry: Entry, sample: Sample, tensor: Any = as_tensor, create_graph: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(values, gradients) as arrays."""
    outputs, leaves = forward(entry, sample, tensor)
    live = [o for o in outputs if o.requires_grad]
    ups = [as_tensor(u.astype(o.dtype), False)
           for u, o in zip(upstream(live), live, strict=True)]  # fmt: skip
    gradients = grad(live, leaves, ups, create_graph=create_graph) if live else ()
    return [o._array for o in outputs], [g._array for g in gradients]


def run_second_order(entry: Entry, sample: Sample) -> list[np.ndarray | None]:
    """d(sum of v . gradient) for random v, by the inputs and by the upstream gradient."""
    outputs, leaves = forward(entry, sample)
    outputs = [o for o in outputs if o.requires_grad]
    ups = [as_tensor(u, True) for u in upstream(outputs)]
    first = grad(outputs, leaves, ups, create_graph=True)
    live = [g for g in first if g.requires_grad]
    vs = [as_tensor(v, False) for v in upstream(live, seed=8)]
    second = grad(live, [*leaves, *ups], vs, allow_unused=True)
    return [None if g is None else g._array for g in second]


def torch_forward(
    torch: Any, entry: Entry, sample: Sample, dtype: Any = np.float64
) -> tuple[list[Any], list[Any]]:
    """(outputs, leaves) of the PyTorch counterpart."""

    def tensor(array: np.ndarray, wanted: bool) -> Any:
        array = array.astype(dtype) if array.dtype.kind == "f" else array
        return torch.tensor(array, requires_grad=wanted)

    args, kwargs = converted(sample, tensor)
    with warnings.catch_warnings():  # PyTorch's advice to its users is no fault of ours
        warnings.simplefilter("ignore")
        outputs = listed(torch_function(entry)(*args, **kwargs))
    leaves = [v for v in [*args, *kwargs.values()] if getattr(v, "requires_grad", False)]
    return outputs, leaves


def assert_same(actual: Any, expected: Any, rtol: float, what: str) -> None:
    """Equal shape, and equal values to `rtol` of the largest one."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: {actual.shape} against {expected.shape}"
    finite = expected[np.isfinite(expected)] if expected.dtype.kind == "f" else expected
    scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
    np.testing.assert_allclose(actual, expected, rtol, atol=rtol * scale, err_msg=what)
