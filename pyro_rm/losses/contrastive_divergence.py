"""Contrastive divergence, from the data or by persistent chains, as a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pyro.infer import ELBO
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.energy_protocol import (
    Context,
    Energy,
    check_energy,
    energy_dtype,
    evaluate_energy,
    is_validating,
)
from pyro_rm.losses.surrogate_loss import NONLINEAR, SurrogateLoss
from pyro_rm.markov_steps import GibbsSweep, MarkovStep, add_replicas, first_replica, move
from pyro_rm.state_space import StateSpace


class ContrastiveDivergence(SurrogateLoss):
    r"""Contrastive divergence as a loss for :class:`pyro.infer.SVI`.

    The gradient of the log-likelihood is :math:`-\nabla E` at the data plus the model's mean
    of :math:`\nabla E`, which is estimated at the ends of short chains: CD-k [1] starts one
    at each datum, persistent CD [2] goes on from where the last step left its chains.
    Only the gradient means something: the value of the loss is a difference of energies, no
    bound on anything, and hovers about zero at the optimum.

    :param num_steps: Markov steps of each chain in a training step.
    :param step: The Markov step, :class:`~pyro_rm.markov_steps.GibbsSweep` if None; for RBMs
        :class:`~pyro_rm.markov_steps.BlockGibbs` is much cheaper.
    :param persistent: Whether chains persist. They are ``chains``, part of
        :meth:`state_dict`, and advance in training only.
    :param num_chains: Persistent chains; as many as the first batch has data if None.
    :param weight: Learning rate of the generalized posterior.
    :param elbo: The inner ELBO, :class:`pyro.infer.Trace_ELBO` by default.
    :raises ValueError: If an option is out of range, or the ELBO is a Jit one or not linear in
        log probabilities.

    Example:

        >>> import pyro
        >>> from pyro.infer import SVI
        >>> from pyro_rm.distributions import EnergyModel
        >>> from pyro_rm.energies import RBMEnergy
        >>> from pyro_rm.markov_steps import BlockGibbs
        >>> energy = RBMEnergy(num_sites=3, num_hidden=2)
        >>> def model(x):
        ...     pyro.module("energy", energy)
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("x", EnergyModel(energy), obs=x)
        >>> def guide(x):
        ...     pass
        >>> loss = ContrastiveDivergence(step=BlockGibbs(), persistent=True, num_chains=20)
        >>> svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), loss=loss)
        >>> _ = svi.step(torch.ones(8, 3))
        >>> loss.chains["x"].shape
        torch.Size([20, 3])

    .. note:: Costs two energies and ``num_steps`` Markov steps a datum or chain. Biased: CD-k
        by its short chains, persistent CD as far as chains lag behind the model.

    **References**

    [1] Geoffrey Hinton (2002) "Training products of experts by minimizing contrastive
        divergence", Neural Computation 14(8).

    [2] Tijmen Tieleman (2008) "Training restricted Boltzmann machines using approximations
        to the likelihood gradient", ICML.
    """

    def __init__(
        self,
        num_steps: int = 1,
        *,
        step: MarkovStep | None = None,
        persistent: bool = False,
        num_chains: int | None = None,
        weight: float = 1.0,
        elbo: ELBO | None = None,
    ) -> None:
        super().__init__(weight, elbo)
        if isinstance(elbo, NONLINEAR):
            raise ValueError(
                f"Expected an ELBO that is linear in log probabilities, but got "
                f"{type(elbo).__name__}: contrastive divergence has a gradient only."
            )
        check_counts(num_steps=num_steps)
        if num_chains is not None:
            check_counts(num_chains=num_chains)
            if not persistent:
                raise ValueError(
                    f"Expected persistent=True beside num_chains={num_chains}, but got False."
                )
        self.chain_steps, self.step = num_steps, step or GibbsSweep()
        self.persistent, self.num_chains = persistent, num_chains
        self.chains: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """The persistent chains by site, encoded, and the number of training steps."""
        chains = {site: chain.clone() for site, chain in self.chains.items()}
        return {"chains": chains, "num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.chains = {site: chain.clone() for site, chain in state["chains"].items()}
        self.num_steps = state["num_steps"]

    def _estimator_at(self, site: str) -> _Contrast:
        return _Contrast(self, site)


@dataclass(frozen=True)
class _Contrast:
    """Energies of data minus those of chains at one site, whose gradient is what counts."""

    loss: ContrastiveDivergence
    site: str

    def is_deterministic(
        self, energy: Energy, space: StateSpace, active: Tensor | None = None
    ) -> bool:
        """Never: chains are random."""
        return False

    def __call__(
        self,
        energy: Energy,
        space: StateSpace,
        value: Tensor,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Tensor:
        """Differences for each datum, ``batch_shape``."""
        if is_validating():
            space.validate(value, active)
            check_energy(energy, space)
        if active is not None:
            value = torch.where(active | space.contains(value), value, float(space.states[0]))
        encoded = space.encode(value, energy_dtype(energy, value))
        positive = evaluate_energy(energy, space, encoded, context)
        if not self.loss.persistent:
            chains = add_replicas(self.loss.step, encoded)
            chains = self._advanced(energy, space, chains, context, active)
            negative = first_replica(self.loss.step, chains)
            return positive - evaluate_energy(energy, space, negative, context)
        if context or active is not None:
            raise ValueError(
                f"Expected a model without context and inactive sites at site {self.site!r}, as "
                "persistent chains belong to no datum. Use persistent=False."
            )
        chains = self._advanced(energy, space, self._kept(energy, space, encoded))
        if torch.is_grad_enabled():  # evaluation leaves the chains alone
            self.loss.chains[self.site] = chains
        negative = first_replica(self.loss.step, chains)
        return positive - evaluate_energy(energy, space, negative).mean(0)

    def _advanced(
        self,
        energy: Energy,
        space: StateSpace,
        chains: Tensor,
        context: Context = (),
        active: Tensor | None = None,
    ) -> Tensor:
        for _ in range(self.loss.chain_steps):
            chains = move(self.loss.step, energy, space, chains, context, active).encoded
        return chains

    def _kept(self, energy: Energy, space: StateSpace, encoded: Tensor) -> Tensor:
        """The chains so far; at first, random data, for each of the energy's own batch."""
        if self.site in self.loss.chains:
            return self.loss.chains[self.site].to(encoded)
        rows = encoded.reshape(-1, *space.encoded_shape)
        shape = (self.loss.num_chains or len(rows), *getattr(energy, "batch_shape", ()))
        chosen = torch.randint(len(rows), shape, device=encoded.device)
        return add_replicas(self.loss.step, rows[chosen])
