"""What all optimisers share: groups, skipped parameters, closures, versions, saving, errors."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minigan as mg
from minigan.errors import CheckpointError, ConfigError, DTypeError, GradError, MiniganError
from minigan.optim import SGD, Adam, AdamW, Optimizer, RMSprop

EVERY: list[Any] = [SGD, Adam, AdamW, RMSprop]
every = pytest.mark.parametrize("optimizer_type", EVERY)


def parameter(*values: float) -> mg.Tensor:
    return mg.tensor(list(values), requires_grad=True)


@every
def test_parameters_without_a_gradient_are_skipped(optimizer_type):
    used, unused = parameter(1.0, 2.0), parameter(3.0)
    optimizer = optimizer_type([used, unused], lr=0.1)
    used.grad = mg.ones(2)
    optimizer.step()
    assert unused.tolist() == [3]
    assert used.tolist() != [1, 2]
    assert list(optimizer.state_dict()["state"]) in ([0], [])
    # Its own count of steps starts with its first gradient.
    unused.grad = mg.ones(1)
    optimizer.step()
    assert unused.tolist() != [3]


@every
def test_a_gradient_of_zero_is_not_a_missing_one(optimizer_type):
    param = parameter(1.0)
    optimizer = optimizer_type([param], lr=0.1, weight_decay=0.5)
    param.grad = mg.zeros(1)
    optimizer.step()
    assert param.item() < 1


@every
def test_a_step_changes_values_in_place_and_leaves_gradients_alone(optimizer_type):
    param = parameter(1.0, 2.0)
    memory, seen = param.detach().numpy(), param.detach()
    optimizer = optimizer_type([param], lr=0.1)
    param.grad = mg.tensor([0.5, -1.0])
    optimizer.step()
    assert memory.tolist() == seen.tolist() == param.tolist() != [1, 2]
    assert param.grad.tolist() == [0.5, -1]
    assert param.is_leaf and param.requires_grad


@every
def test_a_step_makes_a_saved_tensor_stale(optimizer_type):
    param = parameter(1.0, 2.0)
    optimizer = optimizer_type([param], lr=0.1)
    loss = (param * param).sum()
    param.grad = mg.ones(2)
    optimizer.step()
    with pytest.raises(GradError, match="changed in place") as caught:
        loss.backward()
    assert "\n" not in str(caught.value)


@every
def test_minimises_a_parabola(optimizer_type):
    param, target = (mg.tensor(v, dtype="float64") for v in ([3.0, -2.0], [1.0, 0.5]))
    param.requires_grad_()
    optimizer = optimizer_type([param], lr=0.05, weight_decay=0.0)
    for _ in range(300):
        optimizer.zero_grad()
        ((param - target) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(param.detach().numpy(), target.numpy(), atol=0.03)


def test_zero_grad():
    first, second = parameter(1.0), parameter(2.0)
    optimizer = SGD([first, second], lr=0.1)
    first.grad = mg.ones(1)
    optimizer.zero_grad(set_to_none=False)
    assert first.grad.tolist() == [0] and second.grad is None
    optimizer.zero_grad()
    assert first.grad is None


def test_closure_runs_once_with_gradients_on_and_its_loss_is_returned():
    param = parameter(2.0)
    optimizer, calls = SGD([param], lr=0.1), []

    def closure() -> mg.Tensor:
        calls.append(mg.is_grad_enabled())
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    with mg.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss.item() == 4 and param.item() == pytest.approx(1.6)
    assert optimizer.step() is None


@every
def test_learning_rate_can_be_changed_between_steps(optimizer_type):
    param = parameter(1.0)
    optimizer = optimizer_type([param], lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.0
    param.grad = mg.ones(1)
    optimizer.step()
    assert param.item() == 1


def test_replayed_steps_are_counted_for_the_parameters_of_the_last_step():
    moved, unused = parameter(1.0), parameter(2.0)
    optimizer = Adam([moved, unused], lr=0.1)
    moved.grad = mg.ones(1)
    optimizer.step()
    loss, before = (moved * moved).sum(), moved.item()
    (clock,) = optimizer._clocks.values()
    clock.array[1] += 4  # what the graph's kernels did, had they been here
    optimizer.replayed(4)
    optimizer.refresh()
    assert optimizer.state_dict()["state"][0]["step"] == 5 and moved.item() == before
    assert unused not in optimizer.state
    with pytest.raises(GradError, match="changed in place"):
        loss.backward()
    # The next step is Adam's sixth: its correction is that of 6 steps.
    other = Adam([param := parameter(before)], lr=0.1)
    other.load_state_dict({**other.state_dict(), "state": {0: optimizer.state_dict()["state"][0]}})
    param.grad = mg.ones(1)
    optimizer.step()
    other.step()
    assert param.item() == moved.item()


def test_groups_keep_the_order_of_the_parameters():
    params = [parameter(float(i)) for i in range(20)]
    optimizer = Adam(p for p in params)
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in params]
    assert optimizer.state_dict()["param_groups"][0]["params"] == list(range(20))


def test_a_single_tensor_is_a_group_of_one():
    param = parameter(1.0)
    assert SGD([{"params": param}], lr=0.1).param_groups[0]["params"][0] is param


# --- saving ---------------------------------------------------------------------------------------
def trained(optimizer_type: Any = Adam, shape: Any = (2, 3)) -> tuple[mg.Tensor, Optimizer]:
    param = mg.ones(shape, requires_grad=True)
    optimizer = optimizer_type([param], lr=0.1)
    param.grad = mg.randn(shape)
    optimizer.step()
    return param, optimizer


@pytest.mark.parametrize("shape", [(2, 3), (1,), ()])
@every
def test_loading_copies(optimizer_type, shape):
    """The two optimisers share no memory afterwards; a 0-d parameter has 0-d moments."""
    _, first = trained(optimizer_type, shape)
    param, second = trained(optimizer_type, shape)
    saved = first.state_dict()
    before = copy.deepcopy(saved["state"])
    second.load_state_dict(saved)
    param.grad = mg.randn(shape)
    second.step()
    for index, values in before.items():
        for key, value in values.items():
            now = first.state_dict()["state"][index][key]
            np.testing.assert_array_equal(np.asarray(value), np.asarray(now))


def test_loading_converts_to_the_parameters_dtype():
    _, first = trained()
    param = mg.ones(2, 3, dtype="float64", requires_grad=True)
    second = Adam([param])
    second.load_state_dict(first.state_dict())
    assert second.state[param]["exp_avg"].dtype == mg.float64
    assert second.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    "break_it",
    [
        lambda s: s["param_groups"].pop(),
        lambda s: s["param_groups"][0]["params"].append(1),
        lambda s: s["state"].update({5: s["state"][0]}),
        lambda s: s["state"][0].update(exp_avg=mg.zeros(3, 2)),
        lambda s: s["state"][0].update(exp_avg=np.array(["a"] * 6).reshape(2, 3)),
        lambda s: s.pop("state"),
        lambda s: s.pop("param_groups"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(break_it):
    _, optimizer = trained()
    before = copy.deepcopy(optimizer.state_dict())
    bad = copy.deepcopy(before)
    bad["param_groups"][0]["lr"] = 99
    break_it(bad)
    with pytest.raises(CheckpointError) as caught:
        optimizer.load_state_dict(bad)
    assert "\n" not in str(caught.value)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for key, value in before["state"][0].items():
        np.testing.assert_array_equal(np.asarray(after["state"][0][key]), np.asarray(value))


# --- errors ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda p: SGD([p], lr=-0.1), "SGD: lr must not be negative, got -0.1"),
        (lambda p: SGD([p], lr=float("nan")), "lr"),
        (lambda p: SGD([p], momentum=-0.1), "momentum"),
        (lambda p: SGD([p], weight_decay=-1), "weight_decay"),
        (lambda p: SGD([p], nesterov=True), "nesterov needs momentum > 0"),
        (lambda p: Adam([p], lr=-1), "lr"),
        (lambda p: Adam([p], eps=-1e-8), "eps"),
        (lambda p: Adam([p], betas=(1.0, 0.9)), "betas"),
        (lambda p: Adam([]), "empty"),
        (lambda p: Adam([p * 2]), "leaf"),
        (lambda p: Adam([1.0]), "a float is no parameter"),
        (lambda p: SGD([p], nesterov=True, momentum=0.9, dampening=0.1), "nesterov"),
        (lambda p: Adam([p], betas=(0.5, -0.1)), "betas"),
        (lambda p: Adam([p], betas=(0.5,)), "betas"),
        (lambda p: AdamW([p], weight_decay=-0.1), "weight_decay"),
        (lambda p: RMSprop([p], alpha=-0.1), "alpha"),
        (lambda p: RMSprop([p], momentum=-0.1), "momentum"),
        (lambda p: Adam([{"params": [p], "lr": -1}]), "lr"),
        (lambda p: Adam([p, p]), "more than once"),
        (lambda p: Adam([{"params": [p]}, {"params": [p]}]), "more than once"),
        (lambda p: Adam({p}), "set"),
        (lambda p: Adam([{"params": {p}}]), "set"),
        (lambda p: Adam([{"lr": 0.1}]), "'params'"),
    ],
)
def test_bad_arguments_are_said_in_one_line(run, says):
    with pytest.raises(ConfigError, match=says) as caught:
        run(parameter(1.0))
    assert isinstance(caught.value, MiniganError)
    assert "\n" not in str(caught.value)


def test_a_failed_group_is_not_added():
    optimizer = Adam([parameter(1.0)])
    with pytest.raises(ConfigError):
        optimizer.add_param_group({"params": [parameter(2.0)], "lr": -1})
    assert len(optimizer.param_groups) == 1


@every
def test_a_gradient_of_another_dtype(optimizer_type):
    param = parameter(1.0)
    optimizer = optimizer_type([param], lr=0.1)
    param.grad = mg.ones(1, dtype="float64")
    with pytest.raises(DTypeError, match="float32.*float64"):
        optimizer.step()
