"""Markov steps as kernels of :class:`pyro.infer.MCMC`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyro
import torch
from pyro.infer.mcmc.mcmc_kernel import MCMCKernel
from torch import Tensor

from pyro_rm.checks import check_counts
from pyro_rm.distributions.energy_model import EnergyModel
from pyro_rm.markov_steps import Chains, MarkovStep
from pyro_rm.markov_steps.chains import starting_data


class MarkovKernel(MCMCKernel):
    """Any Markov step on an energy-based model, in :class:`pyro.infer.MCMC`.

    Parallel chains live in the batch shape, ``sample_shape + model.batch_shape``, and cost
    little more than one; ``num_chains`` of MCMC runs processes on top. Draws are floats,
    for categories too, as summaries need them. Contexts and inactive sites are the model's.

    An interrupted run loses nothing: :meth:`kept_samples` returns what was drawn (of the
    current chain; processes of ``num_chains`` take theirs with them).

    :param model: The model.
    :param step: The Markov step, that of the energy if None; replicas of parallel tempering stay
        inside.
    :param sample_shape: Parallel chains.
    :param initial: Where chains start, data that broadcast to ``sample_shape + batch_shape +
        (D,)``; they also hold the values of clamped sites. NaN, or None, starts at random.
    :param steps_per_sample: Steps from one draw to the next.
    :param name: What the draws are called.
    :raises TypeError: If ``model`` is not an :class:`~pyro_rm.distributions.EnergyModel`.

    Example:

        >>> from pyro.infer import MCMC
        >>> from pyro_rm.energies import IsingEnergy
        >>> kernel = MarkovKernel(EnergyModel(IsingEnergy(num_sites=4)), sample_shape=(8,))
        >>> mcmc = MCMC(kernel, num_samples=10, warmup_steps=5, disable_progbar=True)
        >>> mcmc.run()
        >>> mcmc.get_samples()["x"].shape
        torch.Size([10, 8, 4])
        >>> mcmc.diagnostics()["acceptance rate"]
        {'chain 0': 1.0}

    .. note:: A draw costs ``steps_per_sample`` steps.
    """

    def __init__(
        self,
        model: EnergyModel,
        step: MarkovStep | None = None,
        *,
        sample_shape: tuple[int, ...] = (),
        initial: Tensor | None = None,
        steps_per_sample: int = 1,
        name: str = "x",
    ) -> None:
        if not isinstance(model, EnergyModel):
            raise TypeError(
                f"Expected an EnergyModel, but got {type(model).__name__}. Wrap an energy as "
                "EnergyModel(energy); for latent variables of a program use NUTS."
            )
        check_counts(steps_per_sample=steps_per_sample)
        self.ebm, self.step, self.name = model, step, name
        self.batch_shape = torch.Size(sample_shape) + model.batch_shape
        self.steps_per_sample = steps_per_sample
        self.transforms: dict[str, Any] = {}
        self._initial = initial
        self._last: Tensor | None = None
        self._reset()

    def _reset(self) -> None:
        self._kept: list[Tensor] = []
        self._acceptance, self._num_steps, self._warmup_left = 0.0, 0, 0

    def setup(self, warmup_steps: int, *args: Any, **kwargs: Any) -> None:
        """Begin a run; arguments of ``MCMC.run`` are not used."""
        self._reset()
        self._warmup_left = warmup_steps

    @property
    def initial_params(self) -> dict[str, Tensor]:
        """Where chains start, ``{name: batch_shape + (D,)}``; drawn at each run if random."""
        target = self.ebm.target_at(self.batch_shape)
        return {self.name: starting_data(target, self.batch_shape, self._initial)}

    @initial_params.setter
    def initial_params(self, params: dict[str, Tensor]) -> None:
        self._initial = params[self.name]

    def sample(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        """The next draw."""
        value = params[self.name]
        if value is not self._last:
            self._chains = self._start(value)
        self._chains.run(self.steps_per_sample, observe=self._count)
        encoded = self._chains.encoded
        self._last = self.ebm.state_space.decode(encoded).to(encoded.dtype)
        if self._warmup_left > 0:
            self._warmup_left -= 1
            if self._warmup_left == 0:
                self._acceptance, self._num_steps = 0.0, 0
        else:
            self._kept.append(self._last)
        return {self.name: self._last}

    def _start(self, value: Tensor) -> Chains:
        target = replace(self.ebm.target_at(self.batch_shape), levels=None)  # data without noise
        with torch.no_grad(), pyro.validation_enabled():  # MCMC runs without, too late to see
            chains = Chains(target, target.encode(value), self.step)
            target(chains.encoded)
        return chains

    def _count(self, number: int) -> None:
        acceptance = self._chains.acceptance
        self._acceptance += 0.0 if acceptance is None else float(acceptance.mean())
        self._num_steps += 1

    def _acceptance_rate(self) -> float:
        return self._acceptance / max(1, self._num_steps)

    def logging(self) -> dict[str, str]:
        """What the progress bar shows."""
        return {"acceptance rate": f"{self._acceptance_rate():.3f}"}

    def diagnostics(self) -> dict[str, float]:
        """The mean acceptance probability after warm-up."""
        return {"acceptance rate": self._acceptance_rate()}

    def cleanup(self) -> None:
        """Let go of the draws: MCMC has them."""
        self._kept = []

    def kept_samples(self) -> dict[str, Tensor]:
        """What an interrupted run had drawn, as ``MCMC.get_samples`` of one chain would give it.

        :returns: ``{name: (draws,) + batch_shape + (D,)}``; no draws once a run is complete.

        Example:

            >>> from pyro.infer import MCMC
            >>> from pyro_rm.energies import IsingEnergy
            >>> kernel = MarkovKernel(EnergyModel(IsingEnergy(num_sites=4)))
            >>> def interrupt(kernel, params, stage, i):
            ...     if stage == "Sample" and i == 2:
            ...         raise KeyboardInterrupt
            >>> mcmc = MCMC(kernel, 10, warmup_steps=5, hook_fn=interrupt, disable_progbar=True)
            >>> try:
            ...     mcmc.run()
            ... except KeyboardInterrupt:
            ...     samples = kernel.kept_samples()
            >>> samples["x"].shape
            torch.Size([3, 4])
        """
        if not self._kept:
            empty = self.initial_params[self.name]
            return {self.name: empty.new_empty((0, *empty.shape))}
        return {self.name: torch.stack(self._kept)}
