"""The check of proposals: sizes that are what they say, and estimates that stay unbiased."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from pyro_rm.designs import WithReplacement
from pyro_rm.drawn_gaps import unit_gaps
from pyro_rm.energies import MLPEnergy
from pyro_rm.enumeration import states_at
from pyro_rm.estimators import estimate
from pyro_rm.neighborhoods import candidates
from pyro_rm.objectives import Objective, Pseudolikelihood, RatioMatching
from pyro_rm.proposals import Proposal
from pyro_rm.state_space import StateSpace
from pyro_rm.systematic_sampling import inclusion_probabilities, systematic_draw
from pyro_rm.target import Target
from pyro_rm.testing.expectations import expect, expect_equal, name_of, seeded

_SPACES = (StateSpace(4), StateSpace(3, states=(-1, 1)), StateSpace(3, 3), StateSpace(3, (2, 3, 4)))


def check_proposal(proposal: Proposal, energy: Any = None) -> None:
    """Check what a proposal declares, and that estimates by it are unbiased in every draw's mean.

    Sizes must be normalized, positive where there are candidates and zero elsewhere, detached,
    at least as even as ``uniform_share`` says, and the same for all energies where
    ``depends_on_energy`` is false. The mean of the estimate and of its gradient is summed over
    every draw with replacement, and over every offset of a systematic one.

    :param proposal: The proposal, of this library or your own.
    :param energy: A differentiable module or a :class:`~pyro_rm.Target` of one, for proposals of
        one space only; networks on small binary and categorical spaces if None.
    :raises AssertionError: If something is wrong, saying what.

    Example:

        >>> from pyro_rm.proposals import GradientGuided
        >>> check_proposal(GradientGuided())

    .. note:: Takes about a second; in double precision, and without a tolerance for chance.
    """
    name = name_of(proposal)
    with seeded():
        targets = [Target.of(energy)] if energy is not None else [_network(s) for s in _SPACES]
        for target in targets:
            for objective in (RatioMatching(), Pseudolikelihood()):
                _check_on(proposal, target, objective, name)


def _network(space: StateSpace) -> Target:
    energy = MLPEnergy(
        space.num_sites, (5,), num_categories=space.num_categories, states=space.states
    )
    return Target.of(energy.double())


def _check_on(proposal: Proposal, target: Target, objective: Objective, name: str) -> None:
    space = target.space
    numbers = torch.randint(min(space.num_states, 2**40), (6,))
    x = target.encode(states_at(space, numbers))
    half = torch.arange(space.num_sites) % 2 == 0
    for active in (None, half, torch.stack([half] * 5 + [torch.zeros_like(half)])):
        mask = candidates(space, x, active, sites=objective.sampling_unit == "site")
        sizes = proposal.sizes(target, x, objective, mask)
        what = f"sizes of {name} for {type(objective).__name__} on {space}"
        _check_sizes(proposal, sizes, x, mask, objective, what)
    mask = candidates(space, x, None, sites=objective.sampling_unit == "site")
    sizes = proposal.sizes(target, x, objective, mask)
    if not proposal.depends_on_energy:
        _check_independence(proposal, target, x, objective, mask, sizes, name)
    _check_mean(target, x[:1], objective, mask if mask is None else mask[:1], sizes[0], name)


def _check_sizes(
    proposal: Proposal,
    sizes: Tensor,
    x: Tensor,
    mask: Tensor | None,
    objective: Objective,
    what: str,
) -> None:
    sites = objective.sampling_unit == "site" and x.dim() == 3
    units = x.shape[1] if sites else x[0].numel()
    there = (
        torch.ones(len(x), units, dtype=torch.bool) if mask is None else mask.reshape(len(x), -1)
    )
    expect(
        sizes.shape == there.shape,
        f"Expected {what} of shape {tuple(there.shape)}, one a candidate, but got "
        f"{tuple(sizes.shape)}.",
    )
    expect(not sizes.requires_grad, f"Expected {what} to be detached, but they have a gradient.")
    expect((sizes[~there] == 0).all(), f"Expected {what} to be 0 where nothing may be visited.")
    expect(
        (sizes[there] > 0).all(),
        f"Expected {what} to be positive at every candidate, but got {sizes.tolist()}: what has "
        "size 0 is never visited, and its contribution is lost.",
    )
    expect_equal(
        sizes.sum(-1),
        there.any(-1).to(sizes.dtype),
        f"the sum of {what}",
        tolerance=1e-5 if sizes.dtype == torch.float32 else 1e-9,
    )
    evenly = proposal.uniform_share / there.sum(-1, keepdim=True).clamp(min=1)
    expect(
        ((sizes >= evenly * (1 - 1e-5)) | ~there).all(),
        f"Expected {what} to mix in a uniform share of {proposal.uniform_share}, but got "
        f"{sizes.tolist()}.",
    )


class _Unknown(nn.Module):
    """An energy that may not be asked."""

    def __init__(self, state_space: StateSpace) -> None:
        super().__init__()
        self.state_space, self.dtype = state_space, torch.float64

    def forward(self, encoded: Tensor, *context: Tensor) -> Tensor:
        raise AssertionError("the energy was evaluated")


def _check_independence(
    proposal: Proposal,
    target: Target,
    x: Tensor,
    objective: Objective,
    mask: Tensor | None,
    sizes: Tensor,
    name: str,
) -> None:
    """Whether sizes are the same without the energy."""
    says = f"Expected {name}, which says depends_on_energy = False,"
    try:
        other = proposal.sizes(Target.of(_Unknown(target.space)), x, objective, mask)
    except (AssertionError, AttributeError) as error:
        raise AssertionError(f"{says} not to ask the energy, but {error}.") from error
    expect(
        torch.equal(other, sizes),
        f"{says} to give all energies the same sizes, but they differ.",
    )


def _check_mean(
    target: Target,
    x: Tensor,
    objective: Objective,
    mask: Tensor | None,
    sizes: Tensor,
    name: str,
) -> None:
    """The mean of value and gradient over every draw is the exact sum."""
    table = unit_gaps(target.space, x, target.gap_table(x), objective)
    terms = objective(table)
    terms = (terms if mask is None else torch.where(mask, terms, 0.0)).flatten()
    parameters = [p for p in getattr(target.energy, "parameters", list)() if p.requires_grad]

    def value_and_gradient(total: Tensor) -> Tensor:
        gradients = torch.autograd.grad(
            total, parameters, retain_graph=True, materialize_grads=True
        )
        return torch.cat([total.reshape(1), *(g.flatten() for g in gradients)]).detach()

    value = target.decode(x)
    exact = estimate(target, value, objective=objective, num_neighbors="all")[0]
    expected = value_and_gradient(exact)
    sizes = sizes.to(terms.dtype)
    index = torch.arange(len(sizes))
    weights = WithReplacement().weights(sizes.expand(len(sizes), -1), index[:, None])[:, 0]
    means = {"draws with replacement": (sizes / sizes.sum() * weights * terms).sum()}
    inclusion, order = inclusion_probabilities(sizes, 2), torch.randperm(len(sizes))
    breaks = torch.cat([inclusion[order].cumsum(0) % 1, sizes.new_tensor([0.0, 1.0])])
    total = terms.new_zeros(())
    for low, high in pairwise(breaks.sort().values.tolist()):
        if high - low > 1e-13:
            offset = terms.new_tensor((low + high) / 2)
            drawn, weight = systematic_draw(inclusion, order, offset, 2)
            total = total + (high - low) * (weight * terms[drawn]).sum()
    means["systematic draws"] = total
    for what, mean in means.items():
        expect_equal(
            value_and_gradient(mean),
            expected,
            f"the mean over all {what} by {name} of an estimate and its gradient on {target.space}",
            tolerance=1e-8,
        )
