"""Batches of data as a function of the step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pyro_rm.training import processes

Batch = Tensor | tuple[Tensor, ...]


class ShuffledBatches:
    """Batches in a random order, anew in each epoch: a pure function of seed and step.

    What is left of an epoch after the last whole batch is skipped. With several
    processes each gets its share of every batch.

    :param data: Tensors that share their leading dimension.
    :param batch_size: Data a step, over all processes. None: all data, in order.
    :raises ValueError: If the sizes do not fit.

    Example:

        >>> batches = ShuffledBatches(torch.arange(6), 3)
        >>> sorted(torch.cat([batches(0), batches(1)]).tolist())
        [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, data: Batch, batch_size: int | None) -> None:
        self.data = data
        self.tensors = (data,) if isinstance(data, Tensor) else tuple(data)
        sizes = {len(tensor) if tensor.dim() else 0 for tensor in self.tensors}
        if len(sizes) != 1 or 0 in sizes:
            shapes = [tuple(tensor.shape) for tensor in self.tensors]
            raise ValueError(f"Expected tensors of one leading size, at least 1, but got {shapes}.")
        (self.num_data,) = sizes
        self.batch_size = batch_size
        each_step = batch_size or self.num_data
        if not 1 <= each_step <= self.num_data or each_step % processes.num_processes():
            raise ValueError(
                f"Expected batch_size from 1 to {self.num_data}, a multiple of the "
                f"{processes.num_processes()} processes, but got {each_step}."
            )
        self.seed: int = processes.from_first(int(torch.randint(2**62, ())))
        self._order = -1, torch.arange(self.num_data, device=self.tensors[0].device)

    def __call__(self, step: int) -> Batch:
        """The batch of a step, from 0."""
        epoch, start = divmod(step, self.num_data // (self.batch_size or self.num_data))
        known, order = self._order  # both at once, for a thread that loads ahead
        if self.batch_size is not None and epoch != known:
            generator = torch.Generator().manual_seed(self.seed + epoch)
            order = torch.randperm(self.num_data, generator=generator)
            order = order.to(self.tensors[0].device)
            self._order = epoch, order
        each_step = self.batch_size or self.num_data
        index = order[start * each_step : (start + 1) * each_step]
        index = index[processes.rank() :: processes.num_processes()]
        batch = tuple(tensor[index] for tensor in self.tensors)
        return batch[0] if isinstance(self.data, Tensor) else batch

    def state_dict(self) -> dict[str, int]:
        """What the order rests on."""
        return {"seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue in the order of another run."""
        self.seed, self._order = state["seed"], (-1, self._order[1])


def as_batches(
    data: Batch | Callable[[int], Batch], batch_size: int | None
) -> Callable[[int], Batch]:
    """Tensors as shuffled batches; functions of the step pass through.

    :param data: A tensor, a tuple of tensors, or ``batch(step)``.
    :param batch_size: Data a step, for tensors.
    :returns: The batch of a step.
    :raises TypeError: If it is none of them.
    :raises ValueError: If a function comes with a batch size.
    """
    if isinstance(data, Tensor) or (
        isinstance(data, tuple) and all(isinstance(tensor, Tensor) for tensor in data)
    ):
        return ShuffledBatches(data, batch_size)
    if not callable(data):
        raise TypeError(
            f"Expected a tensor, a tuple of tensors or a function batch(step), but got "
            f"{type(data).__name__}. An iterator it becomes a function by "
            "lambda step: next(it), which cannot be resumed exactly."
        )
    if batch_size is not None:
        raise ValueError(
            f"Expected no batch_size beside a function batch(step), but got {batch_size}."
        )
    return data
