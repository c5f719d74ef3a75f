"""Batches from data loaders, and the refusal of what is not a batch."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from pyro_rm.infer import train

DATA = torch.arange(10.0)
NO_BATCH = DataLoader(TensorDataset(DATA), 99, drop_last=True)


def seen_by(data, num_steps, **options):
    seen, weight = [], torch.zeros((), requires_grad=True)

    def loss(*batch):
        seen.append([part.tolist() for part in batch])
        return weight.square()

    optimizer = torch.optim.SGD([weight], lr=0.1)
    train(loss, optimizer, data, num_steps=num_steps, progress=False, **options)
    return seen


def test_a_loader_is_read_epoch_after_epoch():
    seen = seen_by(DataLoader(TensorDataset(DATA), batch_size=4), 7)
    assert [batch for (batch,) in seen[:3]] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert seen[3:] == seen[:4]


def test_batches_of_several_tensors_are_several_arguments():
    loader = DataLoader(TensorDataset(DATA, -DATA), batch_size=5, shuffle=True)
    for first, second in seen_by(loader, 4):
        assert [-value for value in first] == second


def test_lists_of_batches_are_loaders_too():
    assert seen_by([DATA[:2], DATA[2:]], 3) == [[[0, 1]], [[2, 3, 4, 5, 6, 7, 8, 9]], [[0, 1]]]


@pytest.mark.parametrize("empty", [NO_BATCH, []], ids=["loader", "list"])
def test_loaders_without_batches_are_refused(empty):
    with pytest.raises(ValueError, match="at least one batch"):
        seen_by(empty, 1)


def test_iterators_end_with_a_reason():
    with pytest.raises(ValueError, match="an iterator can be used once only"):
        seen_by(iter([DATA]), 2)


@pytest.mark.parametrize("data", [DATA.numpy(), pd.DataFrame({"a": [0, 1]}), np.float64(2), 3])
def test_arrays_are_not_batches(data):
    with pytest.raises(TypeError, match=r"torch\.as_tensor"):
        seen_by(data, 1)


def test_a_batch_size_beside_a_loader_is_refused():
    with pytest.raises(ValueError, match="no batch_size"):
        seen_by(DataLoader(TensorDataset(DATA)), 1, batch_size=2)
