"""One comparison of a layer with PyTorch's: state, output, gradients, buffers, text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

import minigan as mg

Build = Callable[[Any], Any]  # a function of the namespace: minigan.nn or torch.nn


def leaves(rng: np.random.Generator, shapes: Any, dtype: Any) -> list[np.ndarray]:
    """An array for each entry: a shape gives Gaussian numbers, an array is taken as it is."""
    return [each if isinstance(each, np.ndarray) else rng.standard_normal(each).astype(dtype)
            for each in shapes]  # fmt: skip


def text_of(module: Any) -> str:
    """repr(), without the bias of norms, which older versions of PyTorch do not name."""
    return re.sub(r"(Norm.*), bias=\w+", r"\1", repr(module))


def twins(torch: Any, build: Build, dtype: str = "float64") -> tuple[Any, Any]:
    """Our module and torch's, with the same random weights and buffers, loaded by name."""
    ours, theirs = build(mg.nn), build(torch.nn)
    ours.to(dtype)
    theirs.to(getattr(torch, dtype))
    with torch.no_grad():
        for tensor in [*theirs.parameters(), *theirs.buffers()]:
            if tensor.is_floating_point():
                tensor.uniform_(0.2, 1.0)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def compare(
    torch: Any, build: Build, *inputs: Any, dtype: str = "float64", train: bool = True, text: bool = True
) -> None:  # fmt: skip
    """Twins, called twice on the inputs, must agree in everything that can be seen."""
    ours, theirs = twins(torch, build, dtype)
    ours.train(train)
    theirs.train(train)
    if text:
        assert text_of(ours) == text_of(theirs)
    tolerance = {"float64": 1e-9, "float32": 2e-4}[dtype]
    rng = np.random.default_rng(1)
    for _ in range(2):  # the second time with changed buffers
        arrays = leaves(rng, inputs, dtype)
        xs = [mg.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        ts = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        y, t = ours(*xs), theirs(*ts)
        assert y.dtype == np.dtype(dtype) and tuple(y.shape) == tuple(t.shape)
        upstream = rng.standard_normal(tuple(t.shape)).astype(dtype)
        y.backward(mg.tensor(upstream))
        t.backward(torch.tensor(upstream))
        pairs = [(y.detach(), t), *((x.grad, s.grad) for x, s in zip(xs, ts, strict=True))]
        pairs += [(p.grad, q.grad) for p, q in
                  zip(ours.parameters(), theirs.parameters(), strict=True)]  # fmt: skip
        pairs += list(zip(ours.buffers(), theirs.buffers(), strict=True))
        for mine, other in pairs:
            assert (mine is None) == (other is None)
            if mine is not None:
                close(mine, other, tolerance)


def close(mine: Any, other: Any, tolerance: float = 1e-9) -> None:
    """The values of a tensor of ours and one of torch's."""
    other = other.detach().numpy()
    scale = float(np.abs(other).max(initial=1.0))
    np.testing.assert_allclose(np.asarray(mine), other, rtol=tolerance, atol=tolerance * scale)
