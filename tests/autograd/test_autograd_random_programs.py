"""Random programs of tensors, built step by step, against forward-mode scalars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scalar_engine
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from op_samples import as_tensor

import minigan as mg
from minigan import ops
from minigan.autograd import grad
from minigan.tensor import Tensor

UNARY = {
    "tanh": ops.tanh, "sigmoid": ops.sigmoid, "sin": ops.sin,
    "leaky_relu": lambda t: ops.leaky_relu(t, 0.2), "__neg__": lambda t: -t,
}  # fmt: skip
BINARY = ["__add__", "__sub__", "__mul__", "__truediv__"]


class Programs(RuleBasedStateMachine):
    """A growing list of variables; each is a tensor and an array of scalars of the oracle.

    Two vectors of length 3 are the leaves. Slices, reversals, sums and broadcasts mix elements,
    detach and no_grad cut the graph (the oracle's number then starts anew, without slope).
    """

    @initialize(seed=st.integers(0, 2**16))
    def start(self, seed: int) -> None:
        values = np.random.default_rng(seed).uniform(0.3, 1.5, 6)
        self.leaves = [as_tensor(values[:3].copy(), True), as_tensor(values[3:].copy(), True)]
        numbers = scalar_engine.inputs(values)
        self.tensors: list[Tensor] = list(self.leaves)
        self.oracles: list[list[Any]] = [numbers[:3], numbers[3:]]

    def pick(self, data: st.DataObject) -> int:
        return data.draw(st.integers(0, len(self.tensors) - 1))

    def push(self, tensor: Tensor, oracle: list[Any]) -> None:
        assume(
            all(abs(number.value) < 50 and np.abs(number.slope).max() < 1e3 for number in oracle)
        )
        self.tensors.append(tensor)
        self.oracles.append(oracle)

    @rule(data=st.data(), name=st.sampled_from(sorted(UNARY)))
    def unary(self, data: st.DataObject, name: str) -> None:
        i = self.pick(data)
        assume(name != "leaky_relu" or all(abs(n.value) > 1e-3 for n in self.oracles[i]))
        self.push(UNARY[name](self.tensors[i]), [getattr(n, name)() for n in self.oracles[i]])

    @rule(data=st.data(), name=st.sampled_from(BINARY))
    def binary(self, data: st.DataObject, name: str) -> None:
        i, j = self.pick(data), self.pick(data)
        assume(name != "__truediv__" or all(abs(n.value) > 0.2 for n in self.oracles[j]))
        pairs = zip(self.oracles[i], self.oracles[j], strict=True)
        self.push(
            getattr(self.tensors[i], name)(self.tensors[j]),
            [getattr(a, name)(b) for a, b in pairs],
        )

    @rule(data=st.data())
    def total_times_each(self, data: st.DataObject) -> None:
        i, j = self.pick(data), self.pick(data)
        total = self.oracles[i][0] + self.oracles[i][1] + self.oracles[i][2]
        self.push(self.tensors[i].sum() * self.tensors[j], [total * n for n in self.oracles[j]])

    @rule(data=st.data(), shift=st.integers(1, 2))
    def rotate(self, data: st.DataObject, shift: int) -> None:
        i = self.pick(data)
        t, o = self.tensors[i], self.oracles[i]
        self.push(ops.cat([t[shift:], t[:shift]]), o[shift:] + o[:shift])

    @rule(data=st.data())
    def repeat_an_element(self, data: st.DataObject) -> None:
        i = self.pick(data)
        o = self.oracles[i]
        self.push(self.tensors[i][[2, 2, 0]], [o[2], o[2], o[0]])

    @rule(data=st.data())
    def outer_product_summed(self, data: st.DataObject) -> None:
        i, j = self.pick(data), self.pick(data)
        a, b = self.tensors[i].reshape(3, 1), self.tensors[j].expand(3, 3)
        total = self.oracles[j][0] + self.oracles[j][1] + self.oracles[j][2]
        self.push((a * b).sum(1), [n * total for n in self.oracles[i]])

    @rule(data=st.data(), how=st.sampled_from(["detach", "no_grad"]))
    def cut(self, data: st.DataObject, how: str) -> None:
        i = self.pick(data)
        if how == "detach":
            tensor = self.tensors[i].detach()
        else:
            with mg.no_grad():
                tensor = self.tensors[i] * 1.0
        cut = [n.apply(n.value, 0.0, 0.0) for n in self.oracles[i]]
        self.push(tensor, cut)

    @rule(data=st.data())
    def check_gradients(self, data: st.DataObject) -> None:
        """First and second order of a random combination of the variables, by the leaves."""
        i, j = self.pick(data), self.pick(data)
        u, v = (np.random.default_rng(k).standard_normal(3) for k in (1, 2))
        loss = (self.tensors[i] * as_tensor(u, False)).sum()
        loss = loss + (self.tensors[j] * as_tensor(v, False)).sum()
        slope, curvature = np.zeros(6), np.zeros((6, 6))
        for k in range(3):
            for weight, number in ((u[k], self.oracles[i][k]), (v[k], self.oracles[j][k])):
                slope += weight * number.slope
                curvature += weight * number.curvature
        if not loss.requires_grad:
            assert not slope.any()
            return
        first = self.gradient(loss, create_graph=True)
        np.testing.assert_allclose(first._array, slope, rtol=1e-9, atol=1e-9)
        direction = np.random.default_rng(3).standard_normal(6)
        along = (first * as_tensor(direction, False)).sum()
        second = self.gradient(along)._array if along.requires_grad else np.zeros(6)
        np.testing.assert_allclose(second, curvature @ direction, rtol=1e-8, atol=1e-8)

    @rule(data=st.data())
    def check_backward(self, data: st.DataObject) -> None:
        """`backward` adds to .grad what `grad` returns."""
        i = self.pick(data)
        if not self.tensors[i].requires_grad:
            return
        loss = (self.tensors[i] * self.tensors[i]).sum()
        want = self.gradient(loss, retain_graph=True)._array
        loss.backward(retain_graph=True)
        got = [np.zeros(3) if t.grad is None else t.grad.numpy() for t in self.leaves]
        for t in self.leaves:
            t.grad = None
        np.testing.assert_array_equal(np.concatenate(got), want)

    def gradient(self, loss: Tensor, **options: bool) -> Tensor:
        options = {"retain_graph": True, **options}
        found = grad(loss, self.leaves, allow_unused=True, **options)
        return ops.cat([mg.zeros(3, dtype="float64") if g is None else g for g in found])

    @invariant()
    def values_agree(self) -> None:
        if not hasattr(self, "tensors"):
            return
        want = [number.value for number in self.oracles[-1]]
        np.testing.assert_allclose(self.tensors[-1]._array, want, rtol=1e-10, atol=1e-10)


TestPrograms = Programs.TestCase
TestPrograms.settings = settings(stateful_step_count=25)


def test_the_oracle_against_finite_differences():
    """Its own slope and curvature, at one program that uses every operation."""

    def program(values: np.ndarray) -> Any:
        a, b = scalar_engine.inputs(values)
        return ((a * b).tanh() + (a / b).sin() - b.sigmoid()) * (-a).leaky_relu()

    at, step = np.array([0.7, 1.3]), 1e-5
    centre = program(at)
    for i in range(2):
        plus, minus = (program(at + sign * step * np.eye(2)[i]) for sign in (1, -1))
        assert (plus.value - minus.value) / (2 * step) == pytest.approx(centre.slope[i], rel=1e-8)
        bend = (plus.slope - minus.slope) / (2 * step)
        np.testing.assert_allclose(bend, centre.curvature[i], rtol=1e-7)
