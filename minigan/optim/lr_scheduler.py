"""Learning rate schedules: each sets a group's rate to a function of the steps taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minigan.errors import ConfigError
from minigan.optim.optimizer import Optimizer

Factor = Callable[[int], float]


class LRScheduler:
    """Sets lr = initial lr * factor(last_epoch), now and after each step()."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = 0
        self._apply()

    def factor(self, epoch: int, group: int) -> float:
        raise TypeError(f"{type(self).__name__} defines no factor()")

    def step(self) -> None:
        """Move on by one epoch (or whatever unit the schedule counts)."""
        self.last_epoch += 1
        self._apply()

    def get_last_lr(self) -> list[float]:
        """The rates in force, one a group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def _apply(self) -> None:
        for i, (group, base) in enumerate(
            zip(self.optimizer.param_groups, self.base_lrs, strict=True)
        ):
            group["lr"] = base * self.factor(self.last_epoch, i)

    def state_dict(self) -> dict[str, Any]:
        """Where the schedule stands; its functions are not part of it."""
        return {"last_epoch": self.last_epoch, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state_dict(), setting the rates that belong there."""
        self.last_epoch, self.base_lrs = int(state["last_epoch"]), list(state["base_lrs"])
        self._apply()


class LambdaLR(LRScheduler):
    """factor(epoch) is a function of yours, or one for each parameter group."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Factor | list[Factor]) -> None:
        groups = len(optimizer.param_groups)
        self.lr_lambdas = lr_lambda if isinstance(lr_lambda, list) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ConfigError(
                f"{groups} parameter groups need {groups} functions, not {len(self.lr_lambdas)}"
            )
        super().__init__(optimizer)

    def factor(self, epoch: int, group: int) -> float:
        return self.lr_lambdas[group](epoch)


class LinearLR(LRScheduler):
    """From start_factor to end_factor in a straight line over total_iters, then constant."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ConfigError(
                f"start_factor {start_factor} must lie in (0, 1], end_factor {end_factor} in [0, 1]"
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer)

    def factor(self, epoch: int, group: int) -> float:
        done = min(epoch / self.total_iters, 1.0)
        return self.start_factor + (self.end_factor - self.start_factor) * done


class StepLR(LRScheduler):
    """Times gamma after every step_size epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ConfigError(f"step_size is {step_size}: it must be at least 1")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, epoch: int, group: int) -> float:
        return self.gamma ** (epoch // self.step_size)
