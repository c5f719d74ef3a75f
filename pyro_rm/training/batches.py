"""Batches of data as a function of the step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from pyro_rm.training import processes

Batch = Tensor | tuple[Tensor, ...]


class ShuffledBatches:
    """Batches in a random order, a new one in each epoch: a pure function of seed and step.

    Data left over after the last whole batch of an epoch are skipped. Of several processes, each
    gets its share of every batch.

    :param data: Tensors that share their leading dimension.
    :param batch_size: Data a step, over all processes. None: all data, in order.
    :raises ValueError: If leading sizes differ, or the batch size is out of range.

    Example:

        >>> batches = ShuffledBatches(torch.arange(6), 3)
        >>> sorted(torch.cat([batches(0), batches(1)]).tolist())
        [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, data: Batch, batch_size: int | None) -> None:
        self.data, self.shuffle = data, batch_size is not None
        self.tensors = (data,) if isinstance(data, Tensor) else tuple(data)
        sizes = {len(tensor) if tensor.dim() else 0 for tensor in self.tensors}
        if len(sizes) != 1 or 0 in sizes:
            shapes = [tuple(tensor.shape) for tensor in self.tensors]
            raise ValueError(f"Expected tensors of one leading size, at least 1, but got {shapes}.")
        (self.num_data,) = sizes
        self.size = batch_size or self.num_data
        if not 1 <= self.size <= self.num_data or self.size % processes.num_processes():
            raise ValueError(
                f"Expected batch_size from 1 to {self.num_data}, a multiple of the "
                f"{processes.num_processes()} processes, but got {self.size}."
            )
        self.seed: int = processes.gather(int(torch.randint(2**62, ())))[0]
        self._order = -1, torch.arange(self.num_data, device=self.tensors[0].device)

    def __call__(self, step: int) -> Batch:
        """The batch of a step, from 0."""
        epoch, place = divmod(step, self.num_data // self.size)
        known, order = self._order  # both at once, for a thread that loads ahead
        if self.shuffle and epoch != known:
            generator = torch.Generator().manual_seed(self.seed + epoch)
            order = torch.randperm(self.num_data, generator=generator).to(order.device)
            self._order = epoch, order
        start = place * self.size
        index = order[start + processes.rank() : start + self.size : processes.num_processes()]
        batch = tuple(tensor[index] for tensor in self.tensors)
        return batch[0] if isinstance(self.data, Tensor) else batch

    def state_dict(self) -> dict[str, int]:
        """The seed, which determines the order."""
        return {"seed": self.seed}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue in the order of another run."""
        self.seed, self._order = state["seed"], (-1, self._order[1])


class LoadedBatches:
    """Batches of a :class:`torch.utils.data.DataLoader` or another iterable, epoch after epoch.

    A resumed run begins an epoch, so that it does not repeat an uninterrupted one to the last bit.

    :param loader: What yields a tensor, or a list or tuple of tensors, for each batch.

    Example:

        >>> batches = LoadedBatches([torch.zeros(2), torch.ones(2)])
        >>> [batches(step).tolist() for step in range(3)]
        [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader
        self._epoch: Iterator[Any] = iter(())

    def __call__(self, step: int) -> Batch:
        """The next batch."""
        batch = next(self._epoch, None)
        if batch is None:
            self._epoch = iter(self.loader)
            batch = next(self._epoch, None)
        if batch is None:
            raise ValueError(
                f"Expected at least one batch, but {type(self.loader).__name__} yields none. With "
                "drop_last=True it needs batch_size data; an iterator can be used once only."
            )
        batch = tuple(batch) if isinstance(batch, list) else batch
        parts = batch if isinstance(batch, tuple) else (batch,)
        if not parts or not all(isinstance(part, Tensor) for part in parts):
            raise TypeError(
                f"Expected batches that are tensors or tuples of them, but got {batch!r:.60}. Pass "
                "data as one tensor, torch.as_tensor(data)."
            )
        return batch


def as_batches(
    data: Batch | Iterable[Any] | Callable[[int], Batch], batch_size: int | None
) -> Callable[[int], Batch]:
    """Tensors as shuffled batches; functions of the step are returned as they are.

    :param data: A tensor, a tuple of tensors, a data loader, or ``batch(step)``.
    :param batch_size: Data a step, for tensors.
    :returns: The batch of a step.
    :raises TypeError: If the data are none of these.
    :raises ValueError: If a batch size is given beside a loader or a function.
    """
    if isinstance(data, Tensor) or (
        isinstance(data, tuple) and all(isinstance(tensor, Tensor) for tensor in data)
    ):
        return ShuffledBatches(data, batch_size)
    if hasattr(data, "__array__") or not (callable(data) or isinstance(data, Iterable)):
        raise TypeError(
            f"Expected a tensor, a tuple of tensors, a DataLoader or a function batch(step), but "
            f"got {type(data).__name__}. Make tensors of arrays by torch.as_tensor(data), and of "
            "data frames by torch.as_tensor(frame.to_numpy())."
        )
    if batch_size is not None:
        raise ValueError(
            f"Expected no batch_size beside a DataLoader or a function batch(step), but got "
            f"{batch_size}."
        )
    return data if callable(data) else LoadedBatches(data)
