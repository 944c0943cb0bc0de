"""Learning rate schedules against PyTorch's, alone and chained, saved and resumed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

import minigan as mg
from minigan.errors import CheckpointError, ConfigError
from minigan.optim import lr_scheduler
from minigan.optim.lr_scheduler import LambdaLR, LinearLR, StepLR

EPOCHS = 25


def decay_from(epoch: int) -> float:
    """The rule of CycleGAN: constant, then a straight line to 0."""
    return 1.0 - max(0, epoch - 10) / 15


CASES = {
    "lambda": lambda s, o: s.LambdaLR(o, lr_lambda=decay_from),
    "lambdas": lambda s, o: s.LambdaLR(o, [decay_from, lambda epoch: 0.9**epoch]),
    "linear": lambda s, o: s.LinearLR(o),
    "linear down": lambda s, o: s.LinearLR(o, 1.0, 0.1, 10),
    "linear to 0": lambda s, o: s.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=20),
    "step": lambda s, o: s.StepLR(o, 4),
    "step half": lambda s, o: s.StepLR(o, step_size=1, gamma=0.5),
}
every_case = pytest.mark.parametrize("build", CASES.values(), ids=CASES.keys())


def ours() -> mg.optim.Optimizer:
    params = [mg.zeros(1, requires_grad=True) for _ in range(2)]
    return mg.optim.SGD([{"params": params[0]}, {"params": params[1], "lr": 0.02}], lr=0.5)


def theirs(torch: Any) -> Any:
    params = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    return torch.optim.SGD([{"params": params[0]}, {"params": params[1], "lr": 0.02}], lr=0.5)


def rates(optimizer: Any, schedulers: list[Any], epochs: int = EPOCHS) -> list[list[float]]:
    """The rates of the groups at each epoch."""
    seen = []
    for _ in range(epochs):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()  # PyTorch warns of a schedule that runs ahead of its optimiser
        for scheduler in schedulers:
            scheduler.step()
        assert schedulers[-1].get_last_lr() == [g["lr"] for g in optimizer.param_groups]
    return seen


def assert_rates(mine: list[list[float]], other: list[list[float]]) -> None:
    assert len(mine) == len(other)
    for value, want in zip(mine, other, strict=True):
        assert value == pytest.approx(want, rel=1e-12, abs=1e-15)


@every_case
def test_rates_of_every_group(torch, build):
    mine, other = ours(), theirs(torch)
    assert_rates(
        rates(mine, [build(lr_scheduler, mine)]),
        rates(other, [build(torch.optim.lr_scheduler, other)]),
    )


def test_chained(torch):
    """A warm-up and a decay on one optimiser."""
    mine, other = ours(), theirs(torch)
    chains = []
    for schedulers, optimizer in ((lr_scheduler, mine), (torch.optim.lr_scheduler, other)):
        chain = [schedulers.LinearLR(optimizer, 0.1, 1.0, 5), schedulers.StepLR(optimizer, 7, 0.5)]
        chains.append(rates(optimizer, chain))
    assert_rates(*chains)


@every_case
def test_resumed(build):
    """State of optimiser and schedule, through JSON as a checkpoint keeps the latter."""
    whole = ours()
    expected = rates(whole, [build(lr_scheduler, whole)])
    first = ours()
    scheduler = build(lr_scheduler, first)
    begun = rates(first, [scheduler], 12)
    saved = json.loads(json.dumps(scheduler.state_dict()))
    second = ours()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    resumed = build(lr_scheduler, second)
    second.load_state_dict(copy.deepcopy(first.state_dict()))  # building took a step
    resumed.load_state_dict(saved)
    assert begun + rates(second, [resumed], EPOCHS - 12) == expected


def test_a_loaded_state_is_a_copy():
    optimizer = ours()
    scheduler = StepLR(optimizer, 2)
    saved = scheduler.state_dict()
    scheduler.step()
    assert saved["last_epoch"] == 0
    saved["base_lrs"][0] = 99
    assert scheduler.base_lrs == [0.5, 0.02]


@pytest.mark.parametrize("name", ["LambdaLR", "StepLR", "LinearLR"])
def test_last_epoch_resumes(torch, name: str):
    """As in PyTorch, from the initial_lr that the optimiser's groups keep."""
    extra = {"LambdaLR": (decay_from,), "StepLR": (4,), "LinearLR": ()}[name]
    results = []
    for schedulers, optimizer in (
        (lr_scheduler, ours()),
        (torch.optim.lr_scheduler, theirs(torch)),
    ):
        build = getattr(schedulers, name)
        rates(optimizer, [build(optimizer, *extra)], 6)
        results.append(rates(optimizer, [build(optimizer, *extra, last_epoch=6)], 5))
    assert_rates(*results)


def test_rates_reach_the_update():
    param = mg.zeros(1, requires_grad=True)
    optimizer = mg.optim.SGD([param], lr=1.0)
    scheduler = StepLR(optimizer, 1, 0.5)
    steps = []
    for _ in range(3):
        before = param.item()
        param.grad = mg.ones(1)
        optimizer.step()
        scheduler.step()
        steps.append(before - param.item())
    assert steps == [1, 0.5, 0.25]


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda o: StepLR(o, 0), "step_size"),
        (lambda o: LinearLR(o, start_factor=0.0), "start_factor"),
        (lambda o: LinearLR(o, start_factor=1.5), "start_factor"),
        (lambda o: LinearLR(o, end_factor=-0.1), "end_factor"),
        (lambda o: LinearLR(o, total_iters=0), "total_iters"),
        (lambda o: LambdaLR(o, [decay_from]), "1 functions for 2 parameter groups"),
        (lambda o: StepLR(o, 3, last_epoch=4), "'initial_lr'"),
    ],
)
def test_bad_arguments_are_said_in_one_line(run, says):
    optimizer = ours()
    with pytest.raises(ConfigError, match=says) as caught:
        run(optimizer)
    assert "\n" not in str(caught.value)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.02]


def test_a_state_of_another_schedule():
    with pytest.raises(CheckpointError, match="total_iters"):
        LinearLR(ours()).load_state_dict(StepLR(ours(), 3).state_dict())
