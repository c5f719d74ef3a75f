"""Transition matrices of the shipped steps, by running every branch of their randomness."""

from itertools import permutations

import pytest
import torch

from pyro_rm.markov_steps import randomness


class Branches:
    """Stands in for the random decisions: replays a script of branches, and counts them.

    All chains of the batch take the same branch at once, each with its own probability.
    Decisions of one chain (sites redrawn in parallel, replicas) are enumerated jointly.
    """

    def __init__(self, num_chains, chain_dim):
        self.num_chains, self.chain_dim = num_chains, chain_dim
        self.script, self.counts = [], []

    def start(self):
        self.position, self.counts = 0, self.counts[: len(self.script)]
        self.probability = torch.ones(self.num_chains)

    def advance(self):
        """Move on to the next script, like an odometer; False at the end."""
        while self.script:
            self.script[-1] += 1
            if self.script[-1] < self.counts[len(self.script) - 1]:
                return True
            self.script.pop()
        return False

    def branch(self, count):
        if self.position == len(self.script):
            self.script.append(0)
            self.counts = [*self.counts[: self.position], count]
        self.position += 1
        return self.script[self.position - 1]

    def choose(self, logits):
        shape, options = logits.shape[:-1], logits.shape[-1]
        assert shape[self.chain_dim] == self.num_chains
        joint = [1 if d == self.chain_dim else n for d, n in enumerate(shape)]
        elements = torch.Size(joint).numel()
        number = torch.tensor(self.branch(options**elements))
        digits = number // options ** torch.arange(elements) % options
        chosen = digits.view(joint).expand(shape)
        p = logits.softmax(-1).gather(-1, chosen[..., None])[..., 0]
        p = p.movedim(self.chain_dim, 0).reshape(self.num_chains, -1).prod(1)
        self.probability = torch.where(self.probability > 0, self.probability * p, 0.0)
        return chosen

    def flip_coins(self, probabilities):
        p = torch.stack([1 - probabilities, probabilities], -1)
        return self.choose(p.log()) == 1

    def shuffle(self, count):
        orders = list(permutations(range(count)))
        number = self.branch(len(orders))
        self.probability = self.probability / len(orders)
        return list(orders[number])


@pytest.fixture
def transition_matrix(monkeypatch):
    """The matrix of a step, by running it from all chains through every branch.

    ``run`` maps encoded chains to encoded chains, ``number`` to the numbers of their states.
    """

    def matrix(run, chains, number, size, chain_dim=0):
        start = number(chains)
        branches = Branches(len(start), chain_dim)
        with monkeypatch.context() as patch:
            for name in ("choose", "flip_coins", "shuffle"):
                patch.setattr(randomness, name, getattr(branches, name))
            result = torch.zeros(size, size)
            while True:
                branches.start()
                after, possible = number(run(chains)), branches.probability > 0
                result[start[possible], after[possible]] += branches.probability[possible]
                if not branches.advance():
                    break
        torch.testing.assert_close(result[start].sum(1), torch.ones(len(start)))
        return result

    return matrix
