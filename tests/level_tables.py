"""Energies that are tables over states and levels of noise, and the exact joint to compare with."""

import torch
from torch import nn

from pyro_rm.enumeration import index_of, states_at


class LevelTable(nn.Module):
    """One energy for each state at each level, ``(L, num_states)``."""

    def __init__(self, space, values):
        super().__init__()
        self.state_space, self.num_levels = space, len(values)
        self.values = nn.Parameter(values.clone())

    def forward(self, x, level=None):
        level = 0 if level is None else level
        return self.values[level, index_of(self.state_space, self.state_space.decode(x))]


def every_state(space):
    """All data, ``(num_states, D)``."""
    return states_at(space, torch.arange(space.num_states))


def every_pair(space, num_levels):
    """All data at all levels: ``(L * num_states, D)`` and ``(L * num_states,)``."""
    x = every_state(space)
    level = torch.arange(num_levels).repeat_interleave(len(x))
    return x.repeat(num_levels, 1), level


def background_table(space, background=None):
    """Probabilities of categories, ``(D, K_max)``, of an IndependentSites or uniform."""
    table = torch.zeros(space.num_sites, space.max_categories, dtype=torch.float64)
    for site, k in enumerate(space.categories):
        if background is None:
            table[site, :k] = 1 / k
        elif space.is_binary:
            on = background.logits[site].double().sigmoid()
            table[site] = torch.stack([1 - on, on])
        else:
            table[site, :k] = background.logits[site, :k].double().softmax(0)
    return table


def channel(space, p, table):
    """Probabilities of noisy data given clean ones, ``(clean, noisy)``, site by site."""
    codes = every_state(space)
    if space.is_binary:
        codes = codes == space.states[1]
    codes = codes.long()
    result = torch.ones(len(codes), len(codes), dtype=torch.float64)
    for site in range(space.num_sites):
        clean, noisy = codes[:, None, site], codes[None, :, site]
        result *= (1 - p) * (clean == noisy) + p * table[site][noisy]
    return result


def level_marginals(levels, space, data):
    """The distribution of noisy data at each level, ``(L, num_states)``, in double precision."""
    table = background_table(space, levels.background)
    rows = [data.double() @ channel(space, p, table) for p in levels.probabilities]
    return torch.stack(rows)


def shares_of(levels):
    """The shares of levels, in double precision."""
    return levels.log_shares(torch.zeros(1, dtype=torch.float64)).exp()
