"""Every operation's gradient, first and second order, against finite differences in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from op_runner import DIFFERENTIABLE, SMOOTH, assert_same, forward, listed, named, run, upstream
from op_samples import Entry, Sample, as_tensor, converted

from minigan.autograd import grad, gradcheck, gradgradcheck
from minigan.tensor import Tensor

# With a step of 1e-5, central differences of these functions are right to about 1e-9.
TOLERANCE: dict[str, Any] = {"eps": 1e-5, "atol": 1e-8, "rtol": 1e-6, "directions": 2}


def as_function(entry: Entry, sample: Sample) -> tuple[Any, list[Tensor]]:
    """The sample as a function of its differentiable inputs."""
    args, kwargs = converted(sample, as_tensor)
    keys = [*range(len(args)), *kwargs]
    flat = {**dict(enumerate(args)), **kwargs}
    wanted = [k for k in keys if isinstance(flat[k], Tensor) and flat[k].requires_grad]

    def call(*values: Tensor) -> list[Tensor]:
        given = {**flat, **dict(zip(wanted, values, strict=True))}
        return listed(entry.fn(*(given[i] for i in range(len(args))),
                               **{k: given[k] for k in kwargs}))  # fmt: skip

    return call, [flat[k] for k in wanted]


def inputs_of(entry: Entry, sample: Sample) -> tuple[Any, ...]:
    """The inputs of the operation that computed the (first) output."""
    node = forward(entry, sample)[0][0].grad_fn
    return () if node is None else node.edges


@pytest.mark.parametrize(**named(SMOOTH))
def test_first_order(entry: Entry, sample: Sample):
    assert gradcheck(*as_function(entry, sample), **TOLERANCE)


def twins(entry: Entry, sample: Sample) -> list[int]:
    """The first two differentiable inputs that have one shape, by number; or nothing."""
    values = [np.shape(tensor) for tensor in as_function(entry, sample)[1]]
    pairs = [(i, j) for j in range(len(values)) for i in range(j) if values[i] == values[j]]
    return list(pairs[0]) if pairs else []


@pytest.mark.parametrize(**named([c for c in SMOOTH if twins(*c[1:])]))
def test_one_tensor_in_two_places_has_the_sum_of_both_gradients(entry: Entry, sample: Sample):
    """Some rules hand on one array for both, which is no sum that is there already."""
    call, inputs = as_function(entry, sample)
    first, second = twins(entry, sample)
    apart = [*inputs]
    apart[second] = Tensor._wrap(inputs[first]._array.copy()).requires_grad_()
    together = [*inputs]
    together[second] = inputs[first]
    with np.errstate(all="ignore"):
        outputs = call(*apart)
        seeds = [Tensor._wrap(array) for array in upstream(outputs)]
        a, b = grad(outputs, [apart[first], apart[second]], seeds, retain_graph=True)
        (both,) = grad(call(*together), [inputs[first]], seeds)
    np.testing.assert_allclose(both.numpy(), (a + b).numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(**named(SMOOTH))
def test_second_order(entry: Entry, sample: Sample):
    assert gradgradcheck(*as_function(entry, sample), **TOLERANCE)


@pytest.mark.parametrize(**named([c for c in DIFFERENTIABLE if len(inputs_of(*c[1:])) > 1]))
def test_a_rule_computes_only_what_is_needed(entry: Entry, sample: Sample):
    """The last operation's rules, fused and composite, asked for one input at a time."""
    output = forward(entry, sample)[0][0]
    node = output.grad_fn
    (upstream_array,) = upstream([output])
    for wanted in range(len(node.edges)):
        node.needs = tuple(i == wanted for i in range(len(node.edges)))
        results = [listed(node.backward(as_tensor(upstream_array, False)))]
        if node.backward_arrays is not None:
            results.append(listed(node.backward_arrays(upstream_array)))
        for result in results:
            assert [g is not None for g in result] == list(node.needs), node.name


@pytest.mark.parametrize(**named(DIFFERENTIABLE))
def test_a_rule_that_makes_new_gradients_keeps_none_of_them(entry: Entry, sample: Sample):
    """The engine adds to these arrays in place: they must be new, or part of the gradient."""
    outputs, inputs = forward(entry, sample)
    node = outputs[0].grad_fn
    if node is None or not (node.makes_new or node.backward_arrays):
        return
    (upstream_array,) = upstream([outputs[0]])
    node.needs = (True,) * len(node.edges)
    kept = [tensor._array for tensor in (*inputs, outputs[0])]
    kept += [value for value in vars(node).values() if isinstance(value, np.ndarray)]
    if node.backward_arrays:
        results = listed(node.backward_arrays(upstream_array))
    else:
        made = listed(node.backward(as_tensor(upstream_array, False)))
        results = [None if g is None else g._array for g in made]
    for result in results:
        if result is not None and not np.shares_memory(result, upstream_array):
            assert not any(np.shares_memory(result, array) for array in kept), node.name


@pytest.mark.parametrize(**named(DIFFERENTIABLE))
def test_fused_backward_equals_composite(entry: Entry, sample: Sample):
    """Without create_graph the fused rules run, with it the composite ones."""
    values, fused = run(entry, sample, create_graph=False)
    _, composite = run(entry, sample, create_graph=True)
    assert fused, "the sample has no gradient to compare"
    for i, (a, b) in enumerate(zip(fused, composite, strict=True)):
        assert a.dtype == b.dtype == np.float64
        assert_same(a, b, 1e-12, f"gradient {i}")
