"""The table is complete: every operation, method and Function has samples."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest
from op_runner import SMOOTH, forward, listed, named, run
from op_samples import CASES, TABLE, Entry, Sample, as_tensor, converted

from minigan import ops
from minigan.autograd import Function
from minigan.ops.methods import _METHODS
from minigan.ops.operands import ToDevice

NAMES = {entry.name for entry in TABLE}

# No gradient and no arithmetic of their own; each named test file covers them.
TESTED_ELSEWHERE = {
    "test_op_inplace.py": "__setitem__ copy_ fill_ zero_ clamp_ normal_ uniform_ add_ sub_ mul_ "
                          "div_",
    "test_op_comparisons.py": "__eq__ __ne__ __lt__ __le__ __gt__ __ge__ eq ne lt le gt ge "
                              "__invert__",
    "test_op_dtypes.py": "float long int bool",
    "test_op_errors.py": "cuda",
}  # fmt: skip


def all_functions() -> list[type[Function]]:
    """Every Function subclass defined under minigan.ops."""
    for module in pkgutil.iter_modules(ops.__path__):
        importlib.import_module(f"minigan.ops.{module.name}")
    found: list[type[Function]] = []
    stack = [Function]
    while stack:
        for child in stack.pop().__subclasses__():
            stack.append(child)
            if child.__module__.startswith("minigan.ops."):
                found.append(child)
    return found


def classes_in_graph(outputs: list) -> set[type]:
    stack = [o.grad_fn for o in outputs]
    nodes: dict[int, Function] = {}
    while stack:
        node = stack.pop()
        if isinstance(node, Function) and id(node) not in nodes:
            nodes[id(node)] = node
            stack.extend(node.edges)
    return {type(node) for node in nodes.values()}


def test_every_public_operation_has_an_entry():
    missing = sorted(set(ops.__all__) - NAMES)
    assert not missing, f"no samples for {missing}: add them to tests/op_samples.py"


def test_every_tensor_method_has_an_entry():
    elsewhere = {name for names in TESTED_ELSEWHERE.values() for name in names.split()}
    missing = [
        name
        for name, method in _METHODS.items()
        if f"Tensor.{name}" not in NAMES
        and name not in elsewhere
        and getattr(ops, name, None) is not method
    ]
    assert not missing, f"no samples for the Tensor methods {missing}"


def test_every_function_is_checked_by_samples():
    """In a forward graph, so that its rule is checked at order 1, and differentiated at order 2."""
    seen: set[type] = set()
    for _, entry, sample in SMOOTH:
        seen |= classes_in_graph(forward(entry, sample)[0])
    seen |= classes_in_graph([float32_cast()])
    seen.add(ToDevice)  # needs two devices: tests/cuda_on_cpu/test_device.py
    missing = sorted(f.__name__ for f in all_functions() if f not in seen)
    assert not missing, f"Functions in no sample's graph: {missing}"


def float32_cast():
    """Cast has no float64 sample: its order 1 and 2 are in test_op_dtypes.py."""
    return as_tensor(np.ones(2), True).to(np.float32)


def test_every_entry_has_a_counterpart_or_says_why_not():
    silent = [entry.name for entry in TABLE if entry.torch is None and not entry.why_no_torch]
    assert not silent


def test_what_claims_no_derivative_has_none():
    for entry in TABLE:
        if not entry.differentiable:
            for sample in entry.samples:
                outputs, _ = forward(entry, sample)
                assert not any(o.requires_grad for o in outputs), entry.name


@pytest.mark.parametrize(**named([case for case in CASES if case[1].reference is not None]))
def test_value_equals_numpy(entry: Entry, sample: Sample):
    args, kwargs = converted(sample, lambda array, _: array)
    values, _ = run(entry, sample)
    expected = listed(entry.reference(*args, **kwargs))  # type: ignore[misc]
    for value, want in zip(values, expected, strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-12, atol=1e-12, strict=False)
        assert value.shape == np.shape(want)
