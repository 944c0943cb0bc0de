"""Learning rates as functions of the number of scheduler steps (epochs, in most programs).

Call `step()` after the optimiser's steps of an epoch. A scheduler writes `lr` into the optimiser's
groups; the rates at the start are kept there as `initial_lr`, so both survive in the optimiser's
state_dict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minigan.errors import CheckpointError, ConfigError
from minigan.optim.optimizer import Optimizer


class LRScheduler:
    """Base of all schedulers; subclasses say in `get_lr` what the rates are at `last_epoch`."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer, self.last_epoch = optimizer, last_epoch
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ConfigError(
                    f"{type(self).__name__}: last_epoch={last_epoch} resumes a schedule, but "
                    f"parameter group {i} has no 'initial_lr': load the optimiser's state first"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.step()

    def get_lr(self) -> list[float]:
        """The rate of each group at `last_epoch`."""
        raise NotImplementedError(f"{type(self).__name__} defines no get_lr(): add one")

    def get_last_lr(self) -> list[float]:
        """The rate of each group that the last `step` set."""
        return list(self._last_lr)

    def step(self) -> None:
        """Advance by one epoch and set the rates."""
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = self._current()

    def _current(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Numbers and lists only: neither the optimiser nor functions."""
        return {
            key: list(value) if isinstance(value, list) else value
            for key, value in self.__dict__.items()
            if key not in ("optimizer", "lr_lambdas")
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue a saved schedule; load the optimiser's state too, which holds the rates."""
        missing = [key for key in self.state_dict() if key not in state_dict]
        if missing:
            raise CheckpointError(f"{type(self).__name__}: the state lacks {', '.join(missing)}")
        self.__dict__.update({key: state_dict[key] for key in self.state_dict()})


class LambdaLR(LRScheduler):
    """initial lr * lr_lambda(epoch); one function, or one for each group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups)
        lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(lambdas) != groups:
            raise ConfigError(f"LambdaLR: {len(lambdas)} functions for {groups} parameter groups")
        self.lr_lambdas = lambdas
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * factor(self.last_epoch)
                for base, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)]  # fmt: skip


class StepLR(LRScheduler):
    """lr *= gamma every `step_size` epochs."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if step_size < 1:
            raise ConfigError(f"StepLR: step_size must be 1 or more, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if due else lr for lr in self._current()]


class LinearLR(LRScheduler):
    """initial lr times a factor that goes from start_factor to end_factor in total_iters epochs."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1 or total_iters < 1:
            raise ConfigError(
                "LinearLR: start_factor must lie in (0, 1], end_factor in [0, 1] and total_iters "
                f"be 1 or more; got {start_factor}, {end_factor}, {total_iters}"
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        return self.start_factor + (self.end_factor - self.start_factor) * epoch / self.total_iters

    def get_lr(self) -> list[float]:
        # Relative to the current rates, so that schedulers can be chained.
        if self.last_epoch > self.total_iters:
            return self._current()
        before = self._factor(self.last_epoch - 1) if self.last_epoch else 1.0
        return [lr * self._factor(self.last_epoch) / before for lr in self._current()]
