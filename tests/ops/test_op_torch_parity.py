"""Every operation against its PyTorch counterpart: value, gradient, second order, dtype, shape."""

from __future__ import annotations

import numpy as np
import pytest
from op_runner import (
    SMOOTH,
    assert_same,
    in_dtype,
    named,
    run,
    run_second_order,
    torch_forward,
    upstream,
)
from op_samples import CASES, Entry, Sample

WITH_TORCH = [case for case in CASES if case[1].torch is not None]
TWICE_WITH_TORCH = [
    case for case in SMOOTH if case[1].torch is not None and case[2].torch_order == 2
]
TOLERANCE = {np.float64: 1e-10, np.float32: 2e-5}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(**named(WITH_TORCH))
def test_value_and_gradient(torch, entry: Entry, sample: Sample, dtype):
    if entry.name in ("Tensor.to", "Tensor.double") and dtype == np.float32:
        dtype = np.float64  # their result is float64 whatever comes in
    outputs, leaves = torch_forward(torch, entry, sample, dtype)
    values, gradients = run(entry, sample, in_dtype(dtype))
    for i, (value, want) in enumerate(zip(values, outputs, strict=True)):
        assert_same(value, want.detach().numpy(force=True), TOLERANCE[dtype], f"value {i}")
        assert str(value.dtype) == str(want.dtype).removeprefix("torch.")
    if not entry.differentiable:
        return
    live = [o for o in outputs if o.requires_grad]
    ups = [torch.tensor(u, dtype=o.dtype) for u, o in zip(upstream(live), live, strict=True)]
    wants = torch.autograd.grad(live, leaves, ups)
    for i, (value, want) in enumerate(zip(gradients, wants, strict=True)):
        assert_same(value, want.numpy(force=True), TOLERANCE[dtype], f"gradient {i}")


@pytest.mark.parametrize(**named(TWICE_WITH_TORCH))
def test_second_order(torch, entry: Entry, sample: Sample):
    outputs, leaves = torch_forward(torch, entry, sample)
    outputs = [o for o in outputs if o.requires_grad]
    ups = [torch.tensor(u, requires_grad=True) for u in upstream(outputs)]
    first = torch.autograd.grad(outputs, leaves, ups, create_graph=True)
    live = [g for g in first if g.requires_grad]
    vs = [torch.tensor(v) for v in upstream(live, seed=8)]
    wants = torch.autograd.grad(live, [*leaves, *ups], vs, allow_unused=True)
    ours = run_second_order(entry, sample)
    for i, (value, want) in enumerate(zip(ours, wants, strict=True)):
        # "Takes no part" and "gradient of zeros" are the same statement.
        if want is None or value is None:
            for side in (value, None if want is None else want.numpy(force=True)):
                assert side is None or not np.any(side), f"second-order gradient {i}"
        else:
            assert_same(value, want.numpy(force=True), 1e-9, f"second-order gradient {i}")
