"""The pseudolikelihood of scores: a multinomial regression of each site on its neighbors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_rm.energies import OrdinalEnergy
from pyro_rm.networks.observations import Observations
from pyro_rm.networks.pairwise_models import PairwiseModel
from pyro_rm.objectives import Objective, Pseudolikelihood


class _Site(NamedTuple):
    """A regression.

    :param number: Of the site.
    :param inputs: Which coordinates of which sites are its inputs, numbers, ``(q,)``.
    :param weights: Numbers of its parameters, for each of its coordinates that couple, ``(m, q)``.
    :param fields: Numbers of its fields, ``(f,)``.
    :param basis: Coordinates of its categories, ``(K, f)``; the first :math:`m` of them couple.
    """

    number: int
    inputs: Tensor
    weights: Tensor
    fields: Tensor
    basis: Tensor


class SiteRegressions:
    """Mean pseudolikelihood of an ordinal model and its derivatives, a site after the other.

    :param model: The model, of an :class:`~pyro_rm.energies.OrdinalEnergy`.
    :param observations: The data.

    .. note:: Everything costs a product of each site's inputs, and the Hessian one of these with
        themselves. What is temporary is of one site, without padding.
    """

    def __init__(self, model: PairwiseModel, observations: Observations) -> None:
        assert isinstance(model.energy, OrdinalEnergy)
        self.energy, self.model = model.energy, model
        x = model.coordinates_of(observations.encoded)[..., : model.couples.shape[1]]
        self.x = (x * model.couples).flatten(1).mT.contiguous()  # (D m, R)
        self.own = observations.encoded.permute(1, 2, 0).contiguous()  # (D, K, R)
        self.active = observations.active
        self.reweigh(observations.weights)
        self.sites = self._sites()

    def reweigh(self, weights: Tensor) -> None:
        """Give rows other weights, ``(R,)``."""
        active = self.active
        self.weights = weights.expand(len(self.own), -1) if active is None else weights * active.mT

    @classmethod
    def known(cls, model: PairwiseModel, objective: Objective) -> bool:
        """Whether it is of use for a model and an objective."""
        return isinstance(model.energy, OrdinalEnergy) and isinstance(objective, Pseudolikelihood)

    def _sites(self) -> list[_Site]:
        edges, paired, couples = self.model.edges, self.model.paired, self.model.couples
        of_edges = torch.arange(paired.numel(), device=edges.device).view_as(paired)
        exists, basis, width = self.model.exists, self.model.basis, couples.shape[1]
        of_fields = paired.numel() + torch.arange(exists.numel(), device=edges.device)
        of_fields = of_fields.view_as(exists)
        sites = []
        for number, kinds in enumerate(self.model.space.categories):
            as_first, as_second = (edges == number).unbind(1)
            others = torch.cat([edges[as_first, 1], edges[as_second, 0]])
            index = torch.cat([of_edges[as_first], of_edges[as_second].mT]).movedim(1, 0)
            there, own = couples[others].flatten(), couples[number]
            inputs = others[:, None] * width + torch.arange(width, device=edges.device)
            sites.append(_Site(
                number, inputs.flatten()[there], index.flatten(1)[own][:, there],
                of_fields[number, exists[number]], basis[number, :kinds][:, exists[number]],
            ))  # fmt: skip
        return sites

    def parameters(self) -> Tensor:
        """Couplings, then fields, ``(E m m + D f,)``."""
        return torch.cat([self.energy.weight.flatten(), self.energy.fields.flatten()]).detach()

    def _logits(self, site: _Site, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Log odds of the categories, ``(K, R)``, and inputs, ``(q, R)``."""
        inputs = self.x[site.inputs]
        felt = theta[site.weights] @ inputs
        own = site.basis @ theta[site.fields]
        return torch.addmm(own[:, None], site.basis[:, : len(felt)], felt), inputs

    def look(self) -> tuple[float, Tensor]:
        """The mean, and its gradient, ``(E m m + D f,)``."""
        theta, value = self.parameters(), 0.0
        slope = torch.zeros_like(theta)
        for site in self.sites:
            logits, inputs = self._logits(site, theta)
            own, weights = self.own[site.number, : len(logits)], self.weights[site.number]
            logits -= logits.amax(0)
            odds = logits.exp()
            total = odds.sum(0)
            value += float(weights @ (total.log() - (own * logits).sum(0)))
            residual = (odds / total - own) * weights
            slope[site.fields] = site.basis.mT @ residual.sum(1)
            slope[site.weights] += site.basis[:, : len(site.weights)].mT @ residual @ inputs.mT
        return value, slope

    def slopes(self) -> Tensor:
        """Derivatives in the coordinates of what each site of each row feels, ``(R, D, f)``."""
        theta, (sites, width) = self.parameters(), self.model.exists.shape
        result = theta.new_zeros(self.x.shape[1], sites, width)
        for site in self.sites:
            chances = self._logits(site, theta)[0].softmax(0)
            residual = (chances - self.own[site.number, : len(chances)]).mT @ site.basis
            result[:, site.number, : residual.shape[1]] = residual
        return result

    def hessian(self) -> Tensor:
        """Curvature, ``(E m m + D f,) * 2``; 1 on the diagonal where there is no parameter."""
        theta = self.parameters()
        result = theta.new_zeros(len(theta), len(theta))
        for site in self.sites:
            logits, inputs = self._logits(site, theta)
            chances, basis, fields = logits.softmax(0), site.basis, site.fields
            counted = chances * self.weights[site.number]
            spread = torch.diag(counted.sum(1)) - counted @ chances.mT
            result[fields[:, None], fields] = basis.mT @ spread @ basis
            for own, column in zip(site.weights, basis.mT, strict=False):
                moved = counted * (column[:, None] - column @ chances)
                block = inputs @ (moved.mT @ basis)
                result[own[:, None], fields] = block
                result[fields[:, None], own] = block.mT
                for other, score in zip(site.weights, basis.mT, strict=False):
                    result[own[:, None], other] += (inputs * (score @ moved)) @ inputs.mT
        absent = ~torch.cat([self.model.paired.flatten(), self.model.exists.flatten()])
        result.diagonal()[absent] = 1.0
        return result


def redrawn(model: PairwiseModel, encoded: Tensor, blank: Tensor, num_steps: int) -> Tensor:
    """Gibbs sweeps over blanks, which touch nothing else.

    :param model: The model, of an :class:`~pyro_rm.energies.OrdinalEnergy`.
    :param encoded: Data, ``(R, D, K)``.
    :param blank: Which cells, booleans, ``(R, D)``.
    :param num_steps: Sweeps.
    :returns: New encoded data.
    """
    energy = model.energy
    assert isinstance(energy, OrdinalEnergy)
    function, width = energy.scored(), model.couples.shape[1]
    scores, couplings = function.scores, function.couplings.flatten(2).flatten(0, 1)
    fields = (function.basis * function.fields[:, None]).sum(-1)
    x, codes = (model.coordinates_of(encoded)[..., :width] * model.couples), encoded.argmax(-1)
    flat = x.flatten(1)
    cells = [(site, rows.nonzero()[:, 0]) for site, rows in enumerate(blank.mT) if rows.any()]
    for _ in range(num_steps):
        for site, rows in cells:
            kinds, own = model.space.categories[site], slice(site * width, (site + 1) * width)
            felt = flat[rows] @ couplings[:, own]
            logits = torch.addmm(fields[site, :kinds], felt, scores[site, :kinds].mT)
            new = (logits - torch.empty_like(logits).exponential_().log()).argmax(1)
            flat[rows, own], codes[rows, site] = scores[site, new], new
    return model.space.encode(codes, encoded.dtype)
