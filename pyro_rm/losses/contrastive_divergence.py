"""Contrastive divergence, from the data or by persistent chains, as a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pyro.infer import ELBO
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.joint_levels import drawn_noise
from pyro_rm.losses.surrogate_loss import NONLINEAR, SurrogateLoss
from pyro_rm.markov_steps import Chains, MarkovStep, SimulatedTempering
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target


class ContrastiveDivergence(SurrogateLoss):
    r"""Contrastive divergence as a loss for :class:`pyro.infer.SVI`.

    The gradient of the log-likelihood is :math:`-\nabla E` at the data plus the model's mean
    of :math:`\nabla E`, which is estimated at the ends of short chains: CD-k [1] starts one
    at each datum, persistent CD [2] goes on from where the last step left its chains. Each step
    moves as many of them as there are data, drawn from a pool that may be larger: chains of a large
    pool rest while others move, and differ more from each other at the same cost. Models with
    levels of noise are scored on pairs of data and level, and their chains move through the levels.
    As a polish of what a local objective has fitted, persistent CD removes probability that is
    where no datum is. Only the gradient means something: the value of the loss is a difference of
    energies, no bound on anything, and hovers about zero at the optimum.

    :param num_steps: Markov steps of each chain in a training step.
    :param step: The Markov step; that of the energy if None, such as block Gibbs for RBMs.
    :param persistent: Whether chains persist. They are ``chains``, part of
        :meth:`state_dict`, and advance in training only.
    :param num_chains: Persistent chains, the pool; as many as the first batch has data if None.
    :param restart_share: Share of the moved chains that restart from data of the batch.
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
        restart_share: float = 0.0,
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
        if not 0 <= restart_share < 1:
            raise ValueError(f"Expected restart_share in [0, 1), but got {restart_share}.")
        self.num_steps, self.step, self.restart_share = num_steps, step, restart_share
        self.persistent, self.num_chains = persistent, num_chains
        self.chains: dict[str, Tensor] = {}
        self._spaces: dict[str, StateSpace] = {}  # of chains that were checked

    def state_dict(self) -> dict[str, Any]:
        """The persistent chains by site, encoded, and the number of training steps."""
        chains = {site: chain.clone() for site, chain in self.chains.items()}
        return {"chains": chains, "steps_taken": self.steps_taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.chains = {site: chain.clone() for site, chain in state["chains"].items()}
        self._spaces = {}
        self.steps_taken = state["steps_taken"]

    def _loss_at(self, site: str) -> _Contrast:
        return _Contrast(self, site)


@dataclass(frozen=True)
class _Contrast:
    """Energies of data minus those of chains at one site, whose gradient is what counts."""

    loss: ContrastiveDivergence
    site: str

    def is_deterministic(self, target: Target) -> bool:
        """Never: chains are random."""
        return False

    def __call__(self, target: Target, value: Tensor) -> Tensor:
        """Differences for each datum, ``batch_shape``."""
        encoded, step, at_data = target.bind(value), self.loss.step, target
        if target.levels is not None:  # pairs of noisy data and a level, for chains too
            level, encoded = drawn_noise(target, encoded)
            at_data = target.on(level)
            if step is not None and not step.redraws_levels:
                step = SimulatedTempering(step)
        if not self.loss.persistent:
            chains = Chains(target, encoded, step).run(self.loss.num_steps)
            return at_data(encoded) - _energy_at(target, chains)
        if target.context or target.active is not None:
            raise ValueError(
                f"Expected a model without context and inactive sites at site {self.site!r}, as "
                "persistent chains belong to no datum. Use persistent=False."
            )
        rows = encoded.reshape(-1, *target.space.encoded_shape)
        pool, dim = self._pool(target, rows)
        moving = torch.randperm(pool.shape[dim], device=pool.device)[: len(rows)]
        start = pool.index_select(dim, moving)
        restarts = int(self.loss.restart_share * len(moving))
        if restarts:
            start.narrow(dim, 0, restarts).copy_(rows[_some(rows, (restarts, *target.batch_shape))])
        chains = Chains.resumed(target, start, step).run(self.loss.num_steps)
        if torch.is_grad_enabled():  # evaluation leaves the chains alone
            self.loss.chains[self.site] = pool.index_copy_(dim, moving, chains.state.encoded)
        return at_data(encoded) - _energy_at(target, chains).mean(0)

    def _pool(self, target: Target, rows: Tensor) -> tuple[Tensor, int]:
        """The chains so far, at first random data, and which of their dimensions numbers them."""
        step = self.loss.step
        replicas = None if step is None else step.num_replicas
        dim = 0 if replicas is None else 1
        kept = self.loss.chains.get(self.site)
        if kept is not None:
            if self.loss._spaces.get(self.site) is not target.space:
                self._check_chains(target, kept)
            return kept.to(rows), dim
        start = rows[_some(rows, (self.loss.num_chains or len(rows), *target.batch_shape))]
        return start if replicas is None else start.expand(replicas, *start.shape).clone(), dim

    def _check_chains(self, target: Target, kept: Tensor) -> None:
        """Refuse chains that were left by a model on another space."""
        try:
            target.space.validate_encoded(kept)
        except ValueError as error:
            raise ValueError(
                f"Expected the chains of site {self.site!r} on {target.space}, but this loss holds "
                "those of a model on another space. Make a new loss, or load other chains."
            ) from error
        self.loss._spaces[self.site] = target.space


def _some(rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Numbers of random rows."""
    return torch.randint(len(rows), shape, device=rows.device)


def _energy_at(target: Target, chains: Chains) -> Tensor:
    """Energies of chains, each at the level of noise at which it moved last."""
    level = chains.state.known if chains.step.redraws_levels else None
    return (target if level is None else target.on(level))(chains.encoded)
