"""Transition matrices of Markov steps, by running every branch of their randomness."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from unittest.mock import patch

import torch
from torch import Tensor

from pyro_rm.markov_steps import randomness
from pyro_rm.testing.branches import Branches
from pyro_rm.testing.expectations import expect


class ChainBranches(Branches):
    """Stands in for the random decisions of a step.

    All chains of the batch take the same branch at once, each with its own probability.
    Decisions of one chain (sites redrawn in parallel, replicas) are enumerated jointly.

    :param num_chains: How many chains there are.
    :param chain_dim: Which dimension of the chains numbers them.
    """

    def __init__(self, num_chains: int, chain_dim: int) -> None:
        super().__init__()
        self.num_chains, self.chain_dim = num_chains, chain_dim

    def start(self) -> None:
        """Begin a run."""
        super().start()
        self.probability = torch.ones(self.num_chains, dtype=torch.float64)

    def choose(self, logits: Tensor) -> Tensor:
        """In place of :func:`pyro_rm.markov_steps.randomness.choose`."""
        shape, options = logits.shape[:-1], logits.shape[-1]
        expect(
            len(shape) > self.chain_dim and shape[self.chain_dim] == self.num_chains,
            f"Expected a decision for each of {self.num_chains} chains, but got one for "
            f"{tuple(shape)}: each chain draws by its own randomness.",
        )
        joint = [1 if d == self.chain_dim else n for d, n in enumerate(shape)]
        elements = torch.Size(joint).numel()
        number = torch.tensor(self.branch(options**elements))
        digits = number // options ** torch.arange(elements) % options
        chosen = digits.view(joint).expand(shape)
        p = logits.double().softmax(-1).gather(-1, chosen[..., None])[..., 0]
        p = p.movedim(self.chain_dim, 0).reshape(self.num_chains, -1).prod(1)
        self.probability = torch.where(self.probability > 0, self.probability * p, 0.0)
        return chosen

    def flip_coins(self, probabilities: Tensor) -> Tensor:
        """In place of :func:`pyro_rm.markov_steps.randomness.flip_coins`."""
        p = torch.stack([1 - probabilities, probabilities], -1)
        return self.choose(p.log()) == 1

    def shuffle(self, count: int) -> list[int]:
        """In place of :func:`pyro_rm.markov_steps.randomness.shuffle`."""
        orders = list(permutations(range(count)))
        number = self.branch(len(orders))
        self.probability = self.probability / len(orders)
        return list(orders[number])


def transition_matrix(
    run: Callable[[Tensor], Tensor],
    chains: Tensor,
    number: Callable[[Tensor], Tensor],
    size: int,
    *,
    chain_dim: int = 0,
    strict: bool = False,
) -> Tensor:
    """The matrix of one move, by making it from all chains through every branch.

    :param run: Maps chains to chains.
    :param chains: A chain at each state.
    :param number: Maps chains to the numbers of their states; -1 if they are none.
    :param size: How many states are numbered.
    :param chain_dim: Which dimension numbers the chains.
    :param strict: Whether to refuse moves that draw elsewhere than by
        :mod:`pyro_rm.markov_steps.randomness`.
    :returns: Probabilities in double precision, ``(size, size)``; rows of states at which no
        chain starts are 0.
    :raises AssertionError: If chains share their randomness, or it is not enumerated.
    :raises ValueError: If there are too many branches.

    Example:

        >>> def coin(x):
        ...     return randomness.flip_coins(torch.full(x.shape, 0.25)).float()
        >>> transition_matrix(coin, torch.tensor([0.0, 1.0]), Tensor.long, 2)
        tensor([[0.7500, 0.2500],
                [0.7500, 0.2500]], dtype=torch.float64)
    """
    start = number(chains)
    branches = ChainBranches(len(start), chain_dim)
    result = torch.zeros(size, size, dtype=torch.float64)
    names = ("choose", "flip_coins", "shuffle")
    with patch.multiple(randomness, **{name: getattr(branches, name) for name in names}):
        while True:
            branches.start()
            after, possible = number(run(chains)), branches.probability > 0
            expect(
                not (strict and branches.drew_elsewhere()),
                "Expected a step that draws by pyro_rm.markov_steps.randomness alone, but it "
                "drew random numbers of torch elsewhere. Call randomness.choose, "
                "randomness.flip_coins and randomness.shuffle, under these names.",
            )
            expect(
                (after[possible] >= 0).all(),
                "Expected states of the space after a step, but got other values.",
            )
            index = (start[possible], after[possible])
            result.index_put_(index, branches.probability[possible], accumulate=True)
            if not branches.advance():
                break
    total = result[start].sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))
    return result
