"""Everything in a training run that changes from step to step, and its checkpoint."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pyro_rm.training import processes
from pyro_rm.training.batches import Batch
from pyro_rm.training.checkpoints import (
    load_checkpoint,
    random_state,
    save_checkpoint,
    set_random_state,
)
from pyro_rm.training.moving_average import MovingAverage, assign, assigned, copies


@dataclass
class TrainingRun:
    """The state of a run.

    :param optimizer: Its parameters are trained.
    :param schedule: Learning rates, or None.
    :param average: Average of the parameters, or None.
    :param stateful: What else has ``state_dict`` and ``load_state_dict``.
    """

    optimizer: Optimizer
    schedule: LRScheduler | None
    average: MovingAverage | None
    stateful: list[Any]
    step: int = 0
    total: Tensor = field(default_factory=lambda: torch.zeros(()))  # loss since the last record
    losses: list[tuple[int, float]] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)
    best: list[Tensor] | None = None

    @property
    def parameters(self) -> list[Tensor]:
        """The trained tensors."""
        return parameters_of(self.optimizer)

    @property
    def since_best(self) -> int:
        """Evaluations since the best one."""
        values = [value for _, value in self.held_out]
        return len(values) - 1 - values.index(min(values)) if values else 0

    @property
    def best_step(self) -> int | None:
        """The step of the best evaluation."""
        return self.held_out[-1 - self.since_best][0] if self.held_out else None

    def advance(self, loss: Callable[..., Tensor], batch: Batch, clip_norm: float | None) -> None:
        """Take a step, without waiting for the device."""
        arguments = (batch,) if isinstance(batch, Tensor) else batch

        def closure() -> Any:
            self.optimizer.zero_grad()
            value = loss(*arguments)
            if value.dim() > 0:
                raise ValueError(
                    f"Expected a loss of shape (), but got {tuple(value.shape)}. Take its mean."
                )
            value.backward()
            if clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(self.parameters, clip_norm)
            return value

        value: Any = self.optimizer.step(closure)
        if self.schedule is not None:
            self.schedule.step()
        self.step += 1
        if self.average is not None:
            self.average.update(self.step)
        self.total = self.total.to(value.device) + value.detach()

    def record(self) -> float:
        """The mean loss since the last record."""
        since = self.losses[-1][0] if self.losses else 0
        value = self.total.item() / (self.step - since)
        if not math.isfinite(value):
            raise ValueError(_not_finite("loss", value, self.step))
        self.losses.append((self.step, value))
        self.total = torch.zeros_like(self.total)
        return value

    def evaluate(self, held_out: Callable[[], Tensor | float]) -> float:
        """The held-out objective; keeps the parameters where it is the lowest so far."""
        values = self.parameters if self.average is None else self.average.values
        with torch.no_grad(), assigned(self.parameters, values), _same_noise():
            value = statistics.fmean(processes.gather(float(held_out())))
        if math.isnan(value):
            raise ValueError(_not_finite("held-out objective", value, self.step))
        self.held_out.append((self.step, value))
        if self.since_best == 0:
            self.best = copies(values)
        return value

    def restore_best(self) -> None:
        """Leave the best parameters, else their average, else the last ones."""
        average = None if self.average is None else self.average.values
        assign(self.parameters, self.best or average or self.parameters)

    @property
    def kinds(self) -> list[str]:
        """What the run consists of, which a checkpoint must share."""
        items = [self.optimizer, self.schedule, self.average, *self.stateful]
        shapes = [str(tuple(tensor.shape)) for tensor in self.parameters]
        return [*(type(item).__name__ for item in items), *shapes]

    def save(self, path: str | Path) -> None:
        """Write a checkpoint, once for all processes."""
        random_states = processes.gather(random_state())
        if processes.rank() > 0:
            return
        for value in [self.total, *self.parameters]:
            if not value.isfinite().all():
                raise ValueError(_not_finite("run", float(value.sum()), self.step))
        save_checkpoint(self._state(random_states), path)

    def _state(self, random_states: list[dict[str, Tensor]]) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "kinds": self.kinds,
            "step": self.step,
            "total": self.total,
            "losses": self.losses,
            "held_out": self.held_out,
            "best": self.best,
            "parameters": copies(self.parameters),
            "spaces": [vars(tensor).get("_state_space") for tensor in self.parameters],
            "average": None if self.average is None else self.average.values,
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "stateful": [item.state_dict() for item in self.stateful],
            "random_states": random_states,
        }

    def load(self, path: str | Path) -> None:
        """Continue from a checkpoint, with any number of processes."""
        state = load_checkpoint(path)
        if state.get("kinds") != self.kinds:
            raise ValueError(
                f"Expected a checkpoint of this run, with {_brief(self.kinds)}, but {path} is of "
                f"one with {_brief(state.get('kinds'))}: other parameters or options. Give "
                "another path, or delete the file."
            )
        try:
            self._restore(state)
        except Exception as error:  # torch's and users' load_state_dict raise many kinds
            raise ValueError(
                f"Expected the state of this run in {path}, but it does not fit: {error!r}. Give "
                "another path, or delete the file."
            ) from error

    def _restore(self, state: dict[str, Any]) -> None:
        """Set what :meth:`save` wrote; the parameters last, once everything else fits."""
        expected = self._state([]).keys()
        if state.keys() != expected:
            raise ValueError(f"it has {sorted(state)}, not {sorted(expected)}")
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            assign(self.average.values, state["average"])
        for item, values in zip(self.stateful, state["stateful"], strict=True):
            item.load_state_dict(values)
        self.step, self.total = int(state["step"]), state["total"].clone()
        self.losses = [(int(step), float(value)) for step, value in state["losses"]]
        self.held_out = [(int(step), float(value)) for step, value in state["held_out"]]
        self.best = None if state["best"] is None else copies(state["best"])
        if processes.rank() < len(state["random_states"]):
            set_random_state(state["random_states"][processes.rank()])
        assign(self.parameters, state["parameters"])
        for tensor, space in zip(self.parameters, state["spaces"], strict=True):
            if space is not None:  # which the energy then compares with its own
                vars(tensor)["_state_space"] = space


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """The tensors that an optimizer trains."""
    return [tensor for group in optimizer.param_groups for tensor in group["params"]]


def _brief(kinds: Any) -> str:
    """What a run consists of, without most of its shapes."""
    return f"{', '.join(kinds[:6])} ..." if isinstance(kinds, list) else repr(kinds)


def _not_finite(what: str, value: float, step: int) -> str:
    return (
        f"Expected a finite {what}, but got {value} at step {step}. Lower the learning rate, or "
        "bound the gradient by clip_norm; the last checkpoint holds a finite state."
    )


@contextmanager
def _same_noise() -> Iterator[None]:
    """The same random numbers in each of these blocks; those outside are left alone."""
    before = random_state()
    torch.manual_seed(0)
    try:
        yield
    finally:
        set_random_state(before)
