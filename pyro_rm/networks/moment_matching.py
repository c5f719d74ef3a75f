"""Networks that are right as a whole: moments of chains that persist, matched to the data's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from pyro_rm.energies import PairwiseFunction, PottsEnergy
from pyro_rm.evaluation import IndependentSites
from pyro_rm.markov_steps import Chains
from pyro_rm.markov_steps.chains import SECONDS_BEFORE_A_BAR
from pyro_rm.networks.fitter import NetworkFit
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import sweep_of

_SWEEPS_TO_ARRIVE = 100  # of each chain, before agreement is looked at


class Moments(NamedTuple):
    """Frequencies at one site and at two.

    :param single: Means, ``(M,)``, of ``M`` entries.
    :param double: Means of products, ``(M, M)``.
    """

    single: Tensor
    double: Tensor

    @classmethod
    def of(cls, flat: Tensor, weights: Tensor | None = None) -> Moments:
        """Means over rows, ``(N, M)``, equally weighted unless told."""
        if weights is None:
            weights = flat.new_full((len(flat),), 1 / len(flat))
        return cls(weights @ flat, flat.mT @ (weights[:, None] * flat))

    def toward(self, other: Moments, share: float) -> Moments:
        """Moments on the way to others."""
        return Moments(
            torch.lerp(self.single, other.single, share),
            torch.lerp(self.double, other.double, share),
        )

    def connected(self, pairs: Tensor) -> Tensor:
        """Connected correlations where booleans, ``(M, M)``, say so."""
        return (self.double - self.single[:, None] * self.single)[pairs]


@dataclass(frozen=True)
class MomentMatching:
    r"""Maximum likelihood by persistent chains [1], from a local fit.

    The gradient of the log-likelihood is the moments of the data less those of the model, which
    are those of chains: a pool, some of which move by Gibbs sweeps at each step. They start half
    at the data and half at noise, as a local fit may have probability where no datum is near.
    Steps are in centered coordinates, where couplings do not drag fields along [2]. In the
    last part they shrink to nothing.

    :param agreement: Pearson's correlation of the connected correlations of pairs, of chains and
        of data, at which the last part begins.
    :param max_steps: Bound on the number of steps.
    :param num_chains: The pool.
    :param num_moving: Chains that a step moves.
    :param num_sweeps: How often.
    :param learning_rate: Length of a step, where states are 0 and 1.
    :param progress: Whether to show a bar, if it takes longer than two seconds.

    .. note:: A step costs ``num_sweeps`` sweeps of ``num_moving`` chains, and a product of them
        with themselves.

    **References**

    [1] Tijmen Tieleman (2008) "Training restricted Boltzmann machines using approximations to the
        likelihood gradient", ICML.

    [2] Kyunghyun Cho, Tapani Raiko, Alexander Ilin (2013) "Enhanced gradient for training
        restricted Boltzmann machines", Neural Computation 25(3).
    """

    agreement: float = 0.95
    max_steps: int = 3000
    num_chains: int = 8000
    num_moving: int = 1000
    num_sweeps: int = 5
    learning_rate: float = 0.5
    progress: bool = True

    @torch.no_grad()
    def __call__(
        self, fit: NetworkFit, observations: Observations, field_ridge: float
    ) -> tuple[NetworkFit, float]:
        """Go on from a local fit.

        :param fit: The fit; its energy goes on in place.
        :param observations: What it was fitted to.
        :param field_ridge: Penalty on squared fields; that on couplings is the fit's.
        :returns: The fit, without the standard errors of the local one, and the agreement at the
            end; NaN where there are too few pairs for one.
        """
        ascent = _Ascent(fit, observations, field_ridge, self.learning_rate)
        sweep, pool = sweep_of(fit.model), _starts(observations, self.num_chains)
        share = min(1.0, self.num_moving / len(pool))
        least = round(_SWEEPS_TO_ARRIVE / (share * self.num_sweeps))
        last, end = self.max_steps // 2, self.max_steps
        seen, agreement = ascent.data, float("nan")
        with tqdm(
            total=self.max_steps, desc="match moments", disable=not self.progress,
            delay=SECONDS_BEFORE_A_BAR, leave=False,
        ) as bar:  # fmt: skip
            for number in range(self.max_steps):
                if number == end:
                    break
                moving = torch.randperm(len(pool), device=pool.device)[: self.num_moving]
                chains = Chains.resumed(ascent.function, pool[moving], sweep)
                pool[moving] = chains.run(self.num_sweeps).encoded
                drawn = ascent.moments(chains.encoded)
                seen = seen.toward(drawn, max(share, 1 / (number + 1)))
                ascent.step(chains.encoded, drawn, min(1.0, (end - number) / (end - last)))
                if number % 10 == 0:
                    agreement = ascent.agreement(seen)
                    bar.set_postfix(agreement=f"{agreement:.3f}")
                    if least <= number < last and not agreement < self.agreement:
                        last, end = number, min(end, 3 * number)
                        bar.total = end
                bar.update()
        ascent.publish(fit)
        return replace(fit, sandwich=None), ascent.agreement(seen)


class _Ascent:
    """Couplings and fields that climb the penalized likelihood, for flat encoded data."""

    def __init__(
        self, fit: NetworkFit, observations: Observations, field_ridge: float, rate: float
    ) -> None:
        self.space, size = observations.space, observations.effective_size
        local = fit.model.energy.pairwise()
        self.couplings, self.fields = local.couplings.clone(), local.fields.clone()
        self.centers = observations.encoded_mean().flatten()
        self.data = self.moments(observations.encoded, observations.weights)
        ridge = fit.ridge if isinstance(fit.ridge, Tensor) else self.centers.new_tensor(fit.ridge)
        self.ridge = 2 / size * self._spread(fit.edges, ridge)
        self.field_ridge = 2 / size * field_ridge
        self.fitted = self._spread(fit.edges, torch.ones_like(ridge))
        sites = torch.ones(self.space.num_sites, self.space.num_sites, device=ridge.device)
        self.pairs = self._spread(sites.triu(1).nonzero(), torch.ones_like(ridge)).triu() > 0
        self.known = self.data.connected(self.pairs)
        self.rate, self.scale = rate, (self.space.states[1] - self.space.states[0]) ** 2

    @property
    def function(self) -> PairwiseFunction:
        """The energy now."""
        return PairwiseFunction(self.couplings, self.fields, self.space)

    def moments(self, encoded: Tensor, weights: Tensor | None = None) -> Moments:
        """Moments about the centers."""
        return Moments.of(encoded.flatten(1) - self.centers, weights)

    def agreement(self, seen: Moments) -> float:
        """Pearson's correlation of connected correlations with those of the data."""
        if len(self.known) < 2:
            return float("nan")
        return float(torch.corrcoef(torch.stack([seen.connected(self.pairs), self.known]))[0, 1])

    def step(self, chains: Tensor, drawn: Moments, share: float) -> None:
        """Climb by a share of the learning rate, or half of the way to where it turns downhill.

        In centered coordinates the log-likelihood turns where its slope is its curvature, the
        variance of the change of energy over chains, times the length of the step.
        """
        couplings, fields = self.couplings.view_as(self.ridge), self.fields.view(-1)
        decay = self.field_ridge * fields
        shift = self.centers[:, None] * decay
        force = (self.data.single - drawn.single - decay) / self.scale
        pull = self.data.double - drawn.double - self.ridge * couplings + shift + shift.mT
        pull = self.fitted * pull / self.scale**2
        flat = chains.flatten(1) - self.centers
        change = (flat * (0.5 * flat @ pull + force)).sum(1)
        slope = 0.5 * self.scale**2 * pull.square().sum() + self.scale * force.square().sum()
        length = (0.5 * slope / change.var().clamp(min=1e-30)).clamp(max=self.rate) * share
        couplings += length * pull
        fields += length * (force - pull @ self.centers)

    def publish(self, fit: NetworkFit) -> None:
        """Give the energy of a fit these parameters."""
        energy = fit.energy
        if isinstance(energy, PottsEnergy):
            energy.weight.copy_(self.couplings.view_as(energy.weight))
        else:
            energy.weight.copy_(self.couplings[tuple(fit.edges.T)])
        energy.fields.copy_(self.fields)

    def _spread(self, edges: Tensor, numbers: Tensor) -> Tensor:
        """A number of each edge, or one for all, at the couplings of both its directions."""
        size, width = self.space.num_sites, len(self.centers) // self.space.num_sites
        matrix = numbers.new_zeros(size, size)
        matrix[edges[:, 0], edges[:, 1]] = matrix[edges[:, 1], edges[:, 0]] = numbers
        return matrix.repeat_interleave(width, 0).repeat_interleave(width, 1)


def _starts(observations: Observations, num_chains: int) -> Tensor:
    """Chains of which half are data and half are noise, encoded."""
    space, encoded = observations.space, observations.encoded
    half = num_chains // 2
    some = encoded[torch.multinomial(observations.weights, num_chains - half, replacement=True)]
    noise = IndependentSites.uniform(space).sample(half)
    return torch.cat([some, space.encode(noise.to(some), some.dtype)])
