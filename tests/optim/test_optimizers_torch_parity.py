"""Every optimiser against torch.optim: a hundred steps, groups, states of the other library."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan import backends
from minigan.optim import SGD, Adam, AdamW, RMSprop

OPTIONS = {
    "SGD": [
        {},
        {"lr": 0.05, "weight_decay": 0.1},
        {"lr": 0.02, "momentum": 0.9},
        {"lr": 0.02, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01},
        {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    ],
    "Adam": [
        {},
        {"lr": 0.02, "betas": (0.5, 0.999)},
        {"lr": 0.02, "betas": (0.0, 0.9), "eps": 1e-3, "weight_decay": 0.1},
    ],
    "AdamW": [{}, {"lr": 0.02, "betas": (0.5, 0.9), "weight_decay": 0.3}],
    "RMSprop": [
        {},
        {"lr": 5e-3, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1},
        {"lr": 5e-3, "momentum": 0.9},
        {"lr": 5e-3, "centered": True},
        {"lr": 5e-3, "momentum": 0.5, "centered": True, "alpha": 0.95, "weight_decay": 0.01},
    ],
}
CASES = [
    pytest.param(name, options, id="-".join([name, *options]))
    for name, cases in OPTIONS.items()
    for options in cases
]
OURS: dict[str, Any] = {"SGD": SGD, "Adam": Adam, "AdamW": AdamW, "RMSprop": RMSprop}
SHAPES = [(5, 3), (7,), ()]
STEPS = 100
TOLERANCE = {"float64": 1e-11, "float32": 2e-4}

both_backends = pytest.mark.parametrize("backend", ["reference", "cpu"])


def starts(dtype: str = "float64") -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES]


def gradients(step: int, values: list[np.ndarray]) -> list[np.ndarray]:
    """Noisy gradients of a quadratic: they depend on the parameters, so that errors grow."""
    rng = np.random.default_rng(1000 + step)
    return [np.asarray(0.5 * v + rng.standard_normal(v.shape), v.dtype) for v in values]


class Ours:
    """An optimiser of ours over SHAPES; the dtype is that of the arrays."""

    def __init__(self, name: str, options: dict[str, Any], values: list[np.ndarray]) -> None:
        self.params = [mg.tensor(v, requires_grad=True) for v in values]
        self.optimizer = OURS[name](self.params, **options)

    def values(self) -> list[np.ndarray]:
        return [p.detach().numpy().copy() for p in self.params]

    def run(self, steps: range) -> list[np.ndarray]:
        for step in steps:
            for p, g in zip(self.params, gradients(step, self.values()), strict=True):
                p.grad = mg.tensor(g)
            self.optimizer.step()
        return self.values()


class Theirs(Ours):
    """The same in PyTorch."""

    def __init__(
        self, torch: Any, name: str, options: dict[str, Any], values: list[np.ndarray]
    ) -> None:
        self.torch = torch
        self.params = [torch.tensor(v, requires_grad=True) for v in values]
        self.optimizer = getattr(torch.optim, name)(self.params, **options)

    def run(self, steps: range) -> list[np.ndarray]:
        for step in steps:
            for p, g in zip(self.params, gradients(step, self.values()), strict=True):
                p.grad = self.torch.tensor(g)
            self.optimizer.step()
        return self.values()


def assert_all_close(ours: Any, theirs: Any, tolerance: float) -> None:
    for value, want in zip(ours, theirs, strict=True):
        assert value.dtype == want.dtype and value.shape == want.shape
        np.testing.assert_allclose(value, want, rtol=tolerance, atol=tolerance)


@both_backends
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_hundred_steps(torch, name: str, options: dict[str, Any], dtype: str, backend: str):
    with backends.use_backend(backend):
        ours = Ours(name, options, starts(dtype))
        values = ours.run(range(STEPS))
    assert_all_close(values, Theirs(torch, name, options, starts(dtype)).run(range(STEPS)),
                     TOLERANCE[dtype])  # fmt: skip
    moved = [np.abs(v - s).max() for v, s in zip(values, starts(dtype), strict=True)]
    assert min(moved) > 100 * TOLERANCE[dtype]  # else agreement means nothing


@pytest.mark.parametrize(("name", "options"), CASES)
def test_state_and_groups_look_like_torchs(torch, name: str, options: dict[str, Any]):
    ours, theirs = Ours(name, options, starts()), Theirs(torch, name, options, starts())
    ours.run(range(3))
    theirs.run(range(3))
    mine, other = ours.optimizer.state_dict(), theirs.optimizer.state_dict()
    stateless = name == "SGD" and "momentum" not in options  # PyTorch may note its absence
    assert list(mine["state"]) == ([] if stateless else list(other["state"]))
    for index, values in mine["state"].items():
        wants = {k: v for k, v in other["state"][index].items() if v is not None}
        assert set(values) == set(wants)
        for key, want in wants.items():
            assert_all_close([np.asarray(values[key], float)], [np.asarray(want, float)], 1e-12)
    for group, want_group in zip(mine["param_groups"], other["param_groups"], strict=True):
        assert group["params"] == want_group["params"]
        for option, value in group.items():
            assert value == want_group[option], option


@pytest.mark.parametrize("source", ["ours", "torch", "arrays"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_saved_state_continues(torch, name: str, options: dict[str, Any], source: str):
    """Saved after 5 steps, loaded into a fresh optimiser with other options, run for 5 more.

    Bit for bit from our own state, also as arrays: so a checkpoint file brings it back.
    """
    if source == "torch":
        whole: Ours = Theirs(torch, name, options, starts())
    else:
        whole = Ours(name, options, starts())
    halfway = whole.run(range(5))
    saved = copy.deepcopy(whole.optimizer.state_dict())
    if source == "arrays":
        saved["state"] = {
            i: {k: v.numpy() if isinstance(v, mg.Tensor) else v for k, v in values.items()}
            for i, values in saved["state"].items()
        }
    resumed = Ours(name, {"lr": 0.5}, halfway)
    resumed.optimizer.load_state_dict(saved)
    assert "foreach" not in resumed.optimizer.param_groups[0]  # an option of PyTorch's alone
    values, expected = resumed.run(range(5, 10)), whole.run(range(5, 10))
    if source == "torch":
        assert_all_close(values, expected, 1e-12)
    else:
        for value, want in zip(values, expected, strict=True):
            np.testing.assert_array_equal(value, want)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_torch_loads_our_state(torch, name: str, options: dict[str, Any]):
    ours = Ours(name, options, starts())
    halfway = ours.run(range(5))
    theirs = Theirs(torch, name, options, halfway)
    saved = ours.optimizer.state_dict()
    template = theirs.optimizer.state_dict()["param_groups"]
    saved["state"] = {
        i: {k: torch.tensor(v.numpy() if isinstance(v, mg.Tensor) else float(v))
            for k, v in values.items()}
        for i, values in saved["state"].items()
    }  # fmt: skip
    saved["param_groups"] = [
        {**more, **group} for more, group in zip(template, saved["param_groups"], strict=True)
    ]
    theirs.optimizer.load_state_dict(saved)
    assert_all_close(ours.run(range(5, 10)), theirs.run(range(5, 10)), 1e-11)


@pytest.mark.parametrize("name", OURS)
def test_parameter_groups(torch, name: str):
    """Options of a group, defaults for what it leaves out, a group added later."""

    def build(optimizer: Any, tensor: Any) -> tuple[list[Any], Any]:
        params = [tensor(v, requires_grad=True) for v in starts()]
        groups = [{"params": params[:1], "lr": 0.03}, {"params": iter(params[1:2])}]
        built = optimizer(groups, lr=0.01, weight_decay=0.02)
        built.add_param_group({"params": params[2], "weight_decay": 0.5})
        return params, built

    ours, our_optimizer = build(OURS[name], mg.tensor)
    theirs, their_optimizer = build(getattr(torch.optim, name), torch.tensor)
    for step in range(20):
        for params, tensor, optimizer in (
            (ours, mg.tensor, our_optimizer),
            (theirs, torch.tensor, their_optimizer),
        ):
            values = [p.detach().numpy() for p in params]
            for i, (p, g) in enumerate(zip(params, gradients(step, values), strict=True)):
                p.grad = None if i == 1 and step % 3 == 0 else tensor(g)
            optimizer.step()
    values, wants = ([p.detach().numpy() for p in params] for params in (ours, theirs))
    assert_all_close(values, wants, 1e-11)
    assert [g["lr"] for g in our_optimizer.param_groups] == [0.03, 0.01, 0.01]
    assert [g["weight_decay"] for g in our_optimizer.param_groups] == [0.02, 0.02, 0.5]
    assert "lr: 0.03" in repr(our_optimizer)


@both_backends
@pytest.mark.parametrize("layout", ["transposed", "strided", "large"])
@pytest.mark.parametrize("name", OURS)
def test_any_memory_layout(torch, name: str, layout: str, backend: str):
    """Parameters and gradients that are views, and more elements than one thread takes."""
    rng = np.random.default_rng(3)
    shape = (300, 400) if layout == "large" else (6, 8)
    start, grad = rng.standard_normal((2, *shape)).astype("float32")
    view = {
        "transposed": np.asfortranarray,
        "strided": lambda a: a.repeat(2, 1)[:, ::2],
        "large": lambda a: a,
    }[layout]
    param = mg.from_numpy(view(start.copy())).requires_grad_()
    other = torch.tensor(start, requires_grad=True)
    with backends.use_backend(backend):
        optimizer = OURS[name]([param], lr=0.01)
        other_optimizer = getattr(torch.optim, name)([other], lr=0.01)
        for _ in range(3):
            param.grad, other.grad = mg.from_numpy(view(grad.copy())), torch.tensor(grad)
            optimizer.step()
            other_optimizer.step()
    np.testing.assert_allclose(param.detach().numpy(), other.detach().numpy(), rtol=1e-5, atol=1e-6)


@both_backends
def test_adams_first_step_is_the_learning_rate(backend: str):
    """Bias correction: m^ / sqrt(v^) is the gradient's sign at step 1, whatever its size."""
    grad = np.array([1e-3, -2.0, 50.0], "float32")
    for name in ("Adam", "AdamW"):
        param = mg.zeros(3, requires_grad=True)
        with backends.use_backend(backend):
            optimizer = OURS[name]([param], lr=0.1, weight_decay=0.0)
            param.grad = mg.tensor(grad)
            optimizer.step()
        np.testing.assert_allclose(param.detach().numpy(), [-0.1, 0.1, -0.1], rtol=1e-4)
