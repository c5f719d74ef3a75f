"""Fitted networks as draws of their parameters, and as programs of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import PairwiseFunction, PottsEnergy
from pyro_rm.networks.network import Network


@dataclass(frozen=True, eq=False)
class NetworkDraws:
    """Couplings and fields that are normal about a network's estimates.

    Couplings are a number an edge, or tables of two columns' categories if those of some edge
    are; fields are a number a column, or one a category.

    :param network: A fitted network.

    Example:

        >>> from pyro_rm.networks import IsingNetwork
        >>> x = torch.bernoulli(torch.full((200, 4), 0.4))
        >>> draws = NetworkDraws(IsingNetwork(selection=None).fit(x)).draw(10)
        >>> draws["couplings"].shape, draws["fields"].shape
        (torch.Size([1, 10, 6]), torch.Size([1, 10, 4]))
    """

    network: Network

    @property
    def _is_scalar(self) -> bool:
        """Whether the coupling of each edge is a number."""
        return bool((self.network._model.paired.flatten(1).sum(1) == 1).all())

    def draw(self, num_draws: int) -> dict[str, Tensor]:
        """One chain of independent draws, by the sandwich covariance.

        :raises ValueError: If the network has no standard errors.
        """
        network, model = self.network, self.network._model
        covariance = network.joint_covariance_
        errors = np.concatenate([network.standard_errors_, network.field_standard_errors_.ravel()])
        if covariance is None or np.isnan(errors).any():
            raise ValueError(
                "Expected a network with standard errors, but some are missing. Where couplings "
                f"are separated, fit it with a ridge, {type(network).__name__}(ridge=1.0); or fit "
                "fewer pairs."
            )
        exists, couples = model.exists.cpu(), model.couples.cpu()
        basis = model.basis.double().cpu().expand(len(exists), -1, -1)
        fields = model.energy.fields.double().cpu()
        if isinstance(model.energy, PottsEnergy):
            fields = torch.einsum("ikf,ik->if", basis, torch.as_tensor(network.fields_).double())
        couplings = (model.coordinates().double() * model.paired).cpu()
        center = torch.cat([couplings.flatten(), (fields * exists.view_as(fields)).flatten()])
        values, vectors = torch.linalg.eigh(torch.as_tensor(covariance).double())
        generator = torch.Generator().manual_seed(network._fixed_state)
        noise = torch.randn(num_draws, len(center), generator=generator, dtype=torch.double)
        theta = center + noise @ (vectors * values.clamp(min=0).sqrt()).mT
        pairs = theta[:, : couplings.numel()].unflatten(1, couplings.shape)
        fields = theta[:, couplings.numel() :].unflatten(1, fields.shape)
        if self._is_scalar:
            pairs = pairs.flatten(2).sum(2)
        else:
            scores = basis[..., : couplings.shape[1]] * couples[:, None]
            first, second = torch.as_tensor(network.edges_).unbind(1)
            pairs = scores[first] @ pairs @ scores[second].mT
        if not model.space.is_binary:
            fields = torch.einsum("ikf,nif->nik", basis, fields)
        return {"couplings": pairs[None], "fields": fields[None]}

    def names(self) -> dict[str, Any]:
        """What ArviZ calls the entries of couplings and fields."""
        columns = [str(name) for name in self.network.feature_names_in_]
        pairs = [f"{columns[a]} - {columns[b]}" for a, b in self.network.edges_]
        categories = [] if self.network._model.space.is_binary else ["category"]
        tables = [] if self._is_scalar else ["source_category", "target_category"]
        return {
            "coords": {"pair": pairs, "column": columns},
            "dims": {"couplings": ["pair", *tables], "fields": ["column", *categories]},
        }

    def read(self, data: Any) -> Tensor:
        """A table as the program takes it."""
        return self.network._read_like(data).double()

    def program(self, x: Tensor) -> None:
        """The network as a program of its couplings and fields, to be conditioned on them."""
        model = self.network._model
        space, (first, second) = model.space, model.edges.cpu().unbind(1)
        tables, sites = () if self._is_scalar else (space.max_categories,) * 2, space.encoded_shape
        couplings = _latent("couplings", (len(first), *tables))
        fields = _latent("fields", sites)
        if space.is_binary:
            upper = couplings.new_zeros(len(fields), len(fields))
            upper = upper.index_put((first, second), couplings)
            function = PairwiseFunction(upper + upper.mT, fields, space)
        else:
            if self._is_scalar:
                scores = model.basis[..., 0].double().cpu()
                couplings = couplings[:, None, None] * scores[first, :, None] * scores[second, None]
            upper = couplings.new_zeros(len(fields), len(fields), *couplings.shape[1:])
            upper = upper.index_put((first, second), couplings)
            upper = (upper + upper.permute(1, 0, 3, 2)).transpose(1, 2)
            function = PairwiseFunction(upper, fields, space)
        known = ~x.isnan()
        with pyro.plate("data", len(x)):
            energy_model = EnergyModel(function, active=None if known.all() else known)
            pyro.sample("x", energy_model, obs=x)


def _latent(name: str, shape: tuple[int, ...]) -> Tensor:
    """A latent site whose values are given."""
    value: Tensor = pyro.sample(name, dist.Normal(0, 1).expand(shape).to_event(len(shape)))
    return value
