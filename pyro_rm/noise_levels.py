r"""Levels of noise: data more and less corrupted, from the data themselves to a known background.

Objectives that look at single flips know nothing of the mass of modes that are far apart. The
remedy, for any energy and any of them, is to make the noise level one more categorical site: draw
a level :math:`l`, corrupt :math:`x` at it, and score the pair :math:`(x, l)`, the sites as ever and
the level by :math:`-\log p(l \mid x)`, a softmax over the energies of all levels::

    levels = NoiseLevels.fit(x, space, background=IndependentSites.fit(x, space))
    energy = MLPEnergy(num_sites, num_levels=len(levels))
    loss = estimate(energy, x, levels=levels).mean()

or ``pyro.sample("x", EnergyModel(energy, levels=levels), obs=x)`` in a Pyro program. The pairs'
model is fitted as consistently as any; its conditionals at the level tie the levels together, so
that masses of far modes travel through the noise, and since the shares of the levels are known, all
levels have the same partition function. That of the top one, where the distribution is the
background, is read off: see :func:`~pyro_rm.evaluation.read_off`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from pyro_rm.checks import check_real
from pyro_rm.energy_checks import is_validating
from pyro_rm.state_space import StateSpace

__all__ = ["NoiseLevels"]


@dataclass(frozen=True)
class NoiseLevels:
    r"""At level :math:`l` each site is redrawn with probability :math:`p_l`, independently.

    The discrete counterpart of the noise scales of [1]: what is learned at level :math:`l` is
    :math:`p_l(x) = \sum_{x_0} p_\text{data}(x_0)\, c_l(x \mid x_0)`. That the level itself is
    learned, too, is how [2, 3] read densities off continuous models; [4] analyzes why levels help
    where modes are far apart, and [5] combines differences in state and level.

    :param probabilities: :math:`p_l` in [0, 1], increasing. Start with 0 if the model of
        the data themselves is wanted, and end with 1 if it is normalized or sampled from noise.
    :param background: What redrawn sites are drawn from: a normalized density with ``sample(n)``
        whose call gives :math:`-\log p`, such as an
        :class:`~pyro_rm.evaluation.IndependentSites` of the data. None: uniform.
    :param shares: Share of the data at each level; equal if None.
    :param noise_weight: None: pairs of noisy data and level are all that is scored. A number: the
        data themselves are scored as without levels, and pairs have this weight beside them and a
        third of the neighbors. Noise regularizes, which few data need; where data are plenty, a
        weight of 0.3 learns them about as fast as without levels.
    :raises ValueError: If there is no level, or they are out of range or order, or the shares or
        the weight are not positive, or the shares of another number.

    Example:

        >>> levels = NoiseLevels((0.0, 0.5))
        >>> levels.corrupt(StateSpace(3), torch.ones(2, 3), torch.zeros(2, dtype=torch.long))
        tensor([[1., 1., 1.],
                [1., 1., 1.]])

    .. note:: Costs no energy evaluation. Consistent at each level if the objective is, for
        an energy that is free to differ between levels; shared parameters regularize.

    **References**

    [1] Yang Song, Stefano Ermon (2019) "Generative modeling by estimating gradients of the
        data distribution", NeurIPS.
    [2] Shahar Yadin, Noam Elata, Tomer Michaeli (2024) "Classification diffusion models:
        revitalizing density ratio estimation", arXiv:2402.10095.
    [3] Florentin Guth, Zahra Kadkhodaie, Eero Simoncelli (2025) "Learning normalized image
        densities via dual score matching", arXiv:2506.05310.
    [4] Yilong Qin, Andrej Risteski (2023) "Fit like you sample: sample-efficient generalized score
        matching from fast mixing diffusions", arXiv:2306.09332.
    [5] Hanlin Yu, RuiKang OuYang, Partha Kaushik, Arto Klami, Michael Gutmann, Omar Chehab (2026)
        "Learning energy-based models from stochastic interpolants using spatiotemporal
        differences", arXiv:2605.26850.
    """

    probabilities: tuple[float, ...]
    background: Any = None
    shares: tuple[float, ...] | None = None
    noise_weight: float | None = None

    def __post_init__(self) -> None:
        values = tuple(float(p) for p in self.probabilities)
        increasing = all(a < b for a, b in pairwise((-1.0, *values)))
        if not values or not increasing or values[0] < 0 or values[-1] > 1:
            raise ValueError(
                f"Expected increasing probabilities in [0, 1], but got {self.probabilities}."
            )
        object.__setattr__(self, "probabilities", values)
        if self.noise_weight is not None and not self.noise_weight > 0:
            raise ValueError(f"Expected a positive noise_weight, but got {self.noise_weight}.")
        if self.shares is not None:
            shares = tuple(float(s) for s in self.shares)
            if len(shares) != len(values) or min(shares) <= 0:
                raise ValueError(
                    f"Expected {len(values)} positive shares, one a level, but got {self.shares}."
                )
            object.__setattr__(self, "shares", tuple(s / sum(shares) for s in shares))

    @classmethod
    def fit(
        cls,
        data: Tensor,
        state_space: StateSpace,
        *,
        background: Any = None,
        spacing: float = 1.0,
        shares: tuple[float, ...] | None = None,
        noise_weight: float | None = None,
    ) -> NoiseLevels:
        r"""Levels between which data can hardly be told apart, from none to all noise.

        At :math:`p_l` a redraw changes each site with probability :math:`c p_l`, where :math:`c`
        is what a redraw of the background changes. The changes of :math:`D` sites are told apart
        by :math:`\arcsin \sqrt{c p_l}`, with standard deviation :math:`1 / (2 \sqrt D)`
        everywhere; levels are ``spacing`` of them apart.

        :param data: Data, ``(N, D)``.
        :param state_space: Their space.
        :param background: As of the class.
        :param spacing: How far neighboring levels are apart; smaller is more levels.
        :param shares: As of the class.
        :param noise_weight: As of the class.
        :returns: Levels from 0 to 1.
        :raises ValueError: If the spacing or the weight is not positive.

        Example:

            >>> levels = NoiseLevels.fit(torch.zeros(4, 16), StateSpace(16))
            >>> [round(p, 2) for p in levels.probabilities]
            [0.0, 0.03, 0.1, 0.22, 0.38, 0.57, 0.78, 1.0]
        """
        if not spacing > 0:
            raise ValueError(f"Expected a positive spacing, but got {spacing}.")
        state_space.validate(data)
        some = data[torch.linspace(0, len(data) - 1, min(len(data), 1000)).long()]
        drawn = draw_background(state_space, some, background)
        change = (drawn != some).double().mean().item()
        if background is None:
            change = sum(1 - 1 / k for k in state_space.categories) / state_space.num_sites
        last = math.asin(min(change, 1.0) ** 0.5)
        count = max(1, math.ceil(last * 2 * state_space.num_sites**0.5 / spacing))
        inner = (math.sin(last * k / count) ** 2 / change for k in range(1, count))
        return cls((0.0, *inner, 1.0), background, shares, noise_weight)

    def __len__(self) -> int:
        return len(self.probabilities)

    def first(self, count: int) -> NoiseLevels:
        """The lowest levels only, by their shares among them."""
        shares = None if self.shares is None else self.shares[:count]
        return replace(self, probabilities=self.probabilities[:count], shares=shares)

    def log_shares(self, like: Tensor) -> Tensor:
        """Logarithms of the shares, ``(L,)``, in the type and on the device of a tensor."""
        shares = self.shares or (1 / len(self),) * len(self)
        return torch.tensor(shares, dtype=like.dtype, device=like.device).log()

    def draw(
        self, batch_shape: torch.Size | tuple[int, ...], device: torch.device | None = None
    ) -> Tensor:
        """A level for each datum by the shares, each as often as its share to within one datum.

        :param batch_shape: Shape of the data.
        :param device: Where to put them.
        :returns: Integers, ``batch_shape``; each alone has the distribution of the shares.
        """
        count = math.prod(batch_shape)
        # one point a stratum, the strata in random order
        order = torch.randperm(count, device=device)
        points = (order + torch.rand((), device=device)) / max(count, 1)
        ends = self.log_shares(points).exp().cumsum(0)[:-1]
        return torch.bucketize(points, ends, right=True).view(tuple(batch_shape))

    def corrupt(
        self,
        space: StateSpace,
        value: Tensor,
        level: Tensor,
        *,
        background: Tensor | None = None,
        active: Tensor | None = None,
    ) -> Tensor:
        """Redraw sites from the background.

        :param space: The state space.
        :param value: Data, ``batch_shape + (D,)``.
        :param level: Levels that broadcast to ``batch_shape``.
        :param background: In place of that of the levels, where it differs by datum:
            probabilities of the second state (binary; broadcasts to ``value``), or of all
            categories (``... + (D, K_max)``).
        :param active: Booleans that broadcast to ``value``; other sites are left alone.
        :returns: Corrupted data, of the shape of ``value``.
        :raises TypeError: If the data are not a tensor of real numbers.
        :raises ValueError: If their shape or an active value is not of the space.
        """
        if is_validating():
            space.validate(value, active)
        space.validate_shape(value)
        return self.redrawn(space, value, level, background, active)

    def redrawn(
        self,
        space: StateSpace,
        value: Tensor,
        level: Tensor,
        background: Tensor | None = None,
        active: Tensor | None = None,
    ) -> Tensor:
        """What :meth:`corrupt` gives, for data that were checked before."""
        chances = torch.tensor(self.probabilities, device=value.device)
        probability = chances[level.to(value.device)][..., None]
        redrawn = torch.rand(value.shape, device=value.device) < probability
        if active is not None:
            redrawn = redrawn & active
        drawn = self.background if background is None else background
        return torch.where(redrawn, draw_background(space, value, drawn), value)


def draw_background(space: StateSpace, like: Tensor, background: Any = None) -> Tensor:
    """Draws of all sites: data at full noise, from which chains start.

    :param space: The state space.
    :param like: Data, for the shape and the type.
    :param background: A density that can ``sample``, or a table of probabilities, as for
        :meth:`NoiseLevels.corrupt`; uniform if None.
    :returns: Of the shape of ``like``.
    :raises TypeError: If ``like`` is not a tensor of real numbers.
    :raises ValueError: If its shape is not of the space.

    Example:

        >>> draw_background(StateSpace(2), torch.zeros(2), torch.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """
    check_real(like)
    space.validate_shape(like)
    if hasattr(background, "sample"):
        if background.state_space != space:
            raise ValueError(
                f"Expected a background on {space}, but got one on {background.state_space}."
            )
        return background.sample(like.shape[:-1].numel()).to(like).view(like.shape)
    if space.is_binary:
        low, high = space.states
        half = torch.full((), 0.5, device=like.device)
        chance = half if background is None else background
        on = torch.rand(like.shape, device=like.device) < chance
        return torch.where(on, high, low).to(like.dtype)
    if background is None:
        background = space.category_mask(like.device).to(torch.get_default_dtype())
    table = background.expand((*like.shape, space.max_categories))
    drawn = torch.multinomial(table.reshape(-1, space.max_categories), 1)
    return drawn.view(like.shape).to(like.dtype)
