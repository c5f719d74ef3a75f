"""One loop for runs of any length: resumable, interruptible, watched on held-out data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import tqdm

from pyro_rm.checks import check_counts
from pyro_rm.training import processes
from pyro_rm.training.batches import Batch, as_batches
from pyro_rm.training.checkpoints import check_writable
from pyro_rm.training.interruption import interruption
from pyro_rm.training.moving_average import MovingAverage
from pyro_rm.training.run import TrainingRun, parameters_of

Stop = Literal["num_steps", "patience", "interrupt"]


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a run; the trained parameters stay where they are.

    :param num_steps: Steps taken, over all resumptions.
    :param stopped_by: ``"num_steps"``, ``"patience"`` or ``"interrupt"`` (Ctrl-C).
    :param losses: Pairs of a step and the mean loss since the pair before.
    :param held_out: Pairs of a step and the held-out objective after it.
    :param best_step: The step whose parameters were restored; None without ``held_out``.

    Example:

        >>> TrainingResult(20, "num_steps", [(20, 1.5)], [], None).stopped_by
        'num_steps'
    """

    num_steps: int
    stopped_by: Stop
    losses: list[tuple[int, float]]
    held_out: list[tuple[int, float]]
    best_step: int | None


def train(
    loss: Callable[..., Tensor],
    optimizer: Optimizer,
    data: Batch | Iterable[Any] | Callable[[int], Batch],
    *,
    num_steps: int,
    batch_size: int | None = None,
    schedule: LRScheduler | None = None,
    clip_norm: float | None = None,
    average: float | None = None,
    held_out: Callable[[], Tensor | float] | None = None,
    evaluate_every: int = 100,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
    stateful: Sequence[Any] = (),
    log: Any = None,
    log_every: int = 50,
    progress: bool = True,
) -> TrainingResult:
    """Minimize a loss; Ctrl-C stops it cleanly, and the same call continues where it stopped.

    Several processes stop together, when the loss is next read.

    :param loss: A module or function of a batch with a differentiable number, such as
        ``RatioMatchingLoss()(model, guide)`` or ``lambda x: estimate(energy, x).mean()``.
    :param optimizer: Its parameters are trained, in place.
    :param data: A tensor or a tuple of tensors, a :class:`torch.utils.data.DataLoader` or another
        iterable of batches (epoch after epoch), or a function ``batch(step)``; a batch that is a
        tuple or a list is passed as several arguments.
    :param num_steps: Steps of the whole run, over all resumptions.
    :param batch_size: Data a step, shuffled anew in each epoch. None: all data.
    :param schedule: Learning rates, stepped once a step; see :func:`warmup_cosine`.
    :param clip_norm: Bound on the norm of the gradient.
    :param average: Decay of a moving average of the parameters, which is what is evaluated
        and returned.
    :param held_out: An objective to minimize, called without gradients and each time with
        the same random numbers. The parameters where it was lowest are restored.
    :param evaluate_every: Steps between evaluations of ``held_out``.
    :param patience: Evaluations without improvement after which to stop.
    :param checkpoint: A file to resume from where it exists, and to write.
    :param checkpoint_every: Steps between checkpoints; one more is written at the end.
    :param stateful: What else changes and is to be saved, by its ``state_dict`` and
        ``load_state_dict``: an energy with buffers, a stream, chains.
    :param log: A function of a name, a value and the step, or an object with such an
        ``add_scalar`` (TensorBoard's ``SummaryWriter``).
    :param log_every: Steps between readings of the loss, each of which waits for the device.
    :param progress: Whether to show a progress bar.
    :returns: The outcome of the run.
    :raises OSError: If the checkpoint cannot be written, before the first step.
    :raises ValueError: If the loss is not finite, the checkpoint is of another run, or an
        option is out of range.
    :raises TypeError: If ``data`` or ``log`` is of an unsupported type.

    Example:

        >>> import torch
        >>> weight = torch.zeros(3, requires_grad=True)
        >>> result = train(
        ...     lambda x: (x - weight).square().mean(), torch.optim.SGD([weight], lr=0.5),
        ...     torch.ones(8, 3), num_steps=100, batch_size=4, progress=False,
        ... )
        >>> result.losses[-1][1] < 1e-6
        True

    .. note:: A resumed run equals an uninterrupted one to the last bit where torch's
        operations are deterministic. For a Pyro program whose parameters are in the
        param store, run it once and give the optimizer
        ``[value.unconstrained() for value in pyro.get_param_store().values()]``.
    """
    check_counts(evaluate_every=evaluate_every, log_every=log_every)
    check_counts(checkpoint_every=checkpoint_every)
    _check_options(num_steps, batch_size, patience, clip_norm, held_out)
    batches, write = as_batches(data, batch_size), _as_log(log)
    averaged = None if average is None else MovingAverage(parameters_of(optimizer), average)
    saved = [*stateful, *([batches] if hasattr(batches, "load_state_dict") else [])]
    run = TrainingRun(optimizer, schedule, averaged, saved)
    if checkpoint is not None:
        if processes.rank() == 0:
            check_writable(checkpoint)
        if Path(checkpoint).exists():
            run.load(checkpoint)

    def due(every: int) -> bool:
        return run.step % every == 0 or run.step == num_steps

    def exhausted() -> bool:
        return patience is not None and run.since_best >= patience

    hidden = not progress or processes.rank() > 0
    bar = tqdm(total=num_steps, initial=run.step, desc="train", disable=hidden)
    stopping = False
    with bar, interruption() as interrupted:
        while run.step < num_steps and not exhausted() and not stopping:
            run.advance(loss, batches(run.step), clip_norm)
            bar.update()
            if due(log_every):
                value = run.record()
                write("loss", value, run.step)
                write("learning_rate", optimizer.param_groups[0]["lr"], run.step)
                bar.set_postfix(loss=f"{value:.4g}", refresh=False)
            if held_out is not None and due(evaluate_every):
                write("held_out", run.evaluate(held_out), run.step)
            if checkpoint is not None and due(checkpoint_every):
                run.save(checkpoint)
            if due(log_every) or not processes.is_distributed():  # several stop at the same step
                stopping = any(processes.gather(interrupted.is_set()))
        if checkpoint is not None and not due(checkpoint_every):
            run.save(checkpoint)
    run.restore_best()
    early: Stop = "patience" if exhausted() else "interrupt"
    stopped_by: Stop = "num_steps" if run.step >= num_steps else early
    return TrainingResult(run.step, stopped_by, run.losses, run.held_out, run.best_step)


def _check_options(
    num_steps: int,
    batch_size: int | None,
    patience: int | None,
    clip_norm: float | None,
    held_out: Any,
) -> None:
    """Refuse options that are out of range."""
    check_counts(0, num_steps=num_steps)
    given = {"batch_size": batch_size, "patience": patience}
    check_counts(**{name: count for name, count in given.items() if count is not None})
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"Expected clip_norm to be positive, but got {clip_norm}.")
    if patience is not None and held_out is None:
        raise ValueError(f"Expected held_out beside patience={patience}, but got None.")


def _as_log(log: Any) -> Callable[[str, float, int], Any]:
    log = getattr(log, "add_scalar", log)
    if log is None or processes.rank() > 0:
        return lambda name, value, step: None
    if not callable(log):
        raise TypeError(
            f"Expected log to be a function of a name, a value and a step, or to have "
            f"add_scalar, but got {type(log).__name__}."
        )
    return log
