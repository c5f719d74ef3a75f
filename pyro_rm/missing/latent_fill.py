"""Latent energy-based sites: drawn from their posterior by Markov steps, then taken for data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import torch
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace, condition, replay, trace
from pyro.poutine.messenger import Messenger, block_messengers
from pyro.poutine.subsample_messenger import _Subsample
from pyro.poutine.trace_messenger import TraceMessenger
from torch import Tensor, nn

from pyro_rm.distributions import EnergyModel
from pyro_rm.energy_checks import check_layers
from pyro_rm.markov_steps import MarkovStep
from pyro_rm.markov_steps.chains import starting_data
from pyro_rm.missing.fill import Fill
from pyro_rm.poutine.messenger import RatioMatchingMessenger, unwrap
from pyro_rm.target import Target


class LatentFill(nn.Module):
    r"""A program whose latent energy-based site is redrawn given the data, and then observed.

    With a prior :math:`p(z) \propto e^{-E(z)}` and a likelihood :math:`p(y \mid z)` the
    posterior of :math:`z` is an energy-based model too, of energy
    :math:`E(z) - \log p(y \mid z)`. Each run moves chains by Markov steps on it, at the current
    parameters, and takes their states as data: :class:`~pyro_rm.RatioMatchingLoss` then
    trains energy and likelihood together, by a Monte Carlo EM algorithm [1]. At the true
    parameters :math:`z` and :math:`y` are a draw of the model, so that the gradient has mean
    zero for every consistent objective. Draws are noisy: average the last iterations.

    The likelihood is that of all sites in the plates of :math:`z`; their further dimensions
    belong in ``to_event``. Refused where the same parameters must give the same score
    (NUTS, :func:`~pyro_rm.infer.calibrate`).

    :param model: A Pyro program or module.
    :param site: Name of the latent energy-based site.
    :param num_steps: Steps from a random start. Data that come again as the same tensors go on
        from their last draw, by one step.
    :param step: The Markov step; a Gibbs sweep if None.
    :raises ValueError: If ``num_steps`` is not positive; at a run, if the site is not a
        latent energy-based one, or its likelihood is not one of each datum.

    Example:

        >>> import pyro.distributions as dist
        >>> from pyro_rm.energies import IsingEnergy
        >>> energy = IsingEnergy(num_sites=3)
        >>> def model(y):
        ...     pyro.module("energy", energy)
        ...     with pyro.plate("data", len(y)):
        ...         z = pyro.sample("z", EnergyModel(energy))
        ...         pyro.sample("y", dist.Normal(9 * z, 1.0).to_event(1), obs=y)
        >>> filled = LatentFill(model, "z")
        >>> trace(filled).get_trace(torch.tensor([[9.0, 0.0, 9.0]])).nodes["z"]["value"]
        tensor([[1., 0., 1.]])

    .. note:: Costs one more run of the program, and the steps: a Gibbs sweep runs the program
        ``D`` times, on all values of a site at once.

    **References**

    [1] Greg Wei, Martin Tanner (1990) "A Monte Carlo implementation of the EM algorithm and
        the poor man's data augmentation algorithms", Journal of the American Statistical
        Association 85(411).
    """

    def __init__(
        self, model: Any, site: str, *, num_steps: int = 10, step: MarkovStep | None = None
    ) -> None:
        super().__init__()
        self.model, self.site = model, site
        self._fill = Fill(num_steps, step)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Redraw the latent site, and run the program with it observed."""
        for messenger in pyro.poutine.runtime._PYRO_STACK:
            if isinstance(messenger, RatioMatchingMessenger) and not messenger.stochastic:
                raise ValueError(
                    f"Expected a program that scores the same at the same parameters, but the "
                    f"latent site {self.site!r} is redrawn at each run: that silently breaks NUTS "
                    "and calibration. Use SVI with RatioMatchingLoss."
                )
        start = _Start(self.site)
        with block_messengers(_looks_on), start:
            before = trace(self.model).get_trace(*args, **kwargs)
        if start.model is None:
            raise ValueError(
                f"Expected a latent energy-based site {self.site!r}, but the program has none "
                "of that name."
            )

        latents = before.copy()
        for name in before.observation_nodes:
            latents.remove_node(name)

        def run(value: Tensor) -> Any:
            same = replay(condition(self.model, {self.site: value}), trace=latents)
            return same(*args, **kwargs)

        return run(self._drawn(_PosteriorEnergy(self.site, before, run), start.model))

    @torch.no_grad()
    def _drawn(self, energy: _PosteriorEnergy, model: EnergyModel) -> Tensor:
        """The chains after some steps."""
        check_layers(model.energy)
        target = Target(energy, model.state_space, active=model.active)
        value = energy.before.nodes[self.site]["value"]
        return self._fill.draw(target, value, energy.data)


def _looks_on(messenger: Messenger) -> bool:
    """Whether a handler keeps what it sees, and so must not see the runs in between."""
    return isinstance(messenger, (TraceMessenger, RatioMatchingMessenger))


class _Start(Messenger):
    """Gives the latent site a random value, and remembers its model."""

    def __init__(self, site: str) -> None:
        super().__init__()
        self.site = site
        self.model: EnergyModel | None = None

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] != self.site:
            return
        model = unwrap(msg["fn"])
        if msg["is_observed"] or not isinstance(model, EnergyModel):
            raise ValueError(
                f"Expected a latent energy-based site {self.site!r}, but it is observed or not an "
                "EnergyModel. Observed sites need no fill; Pyro's guides are for others."
            )
        self.model = model
        shape = msg["fn"].batch_shape
        msg["value"] = starting_data(model.target_at(shape), shape)
        msg["is_observed"] = True


class _PosteriorEnergy:
    """The energy of a latent site given all other sites, by running the program."""

    def __init__(self, site: str, before: Trace, run: Callable[[Tensor], Any]) -> None:
        self.site, self.before, self.run = site, before, run
        latent = before.nodes[site]
        shape = latent["value"].shape[:-1]
        for frame in latent["cond_indep_stack"]:
            if frame.vectorized and shape[frame.dim :][:1] != (frame.size,):
                raise ValueError(
                    f"Expected all plates of {site!r} inside the program, but {frame.name!r} is "
                    "around it. Use particles that are not vectorized."
                )
        self.children = []
        for name, node in _other_sites(before, site):
            if _plates(node) == _plates(latent):
                self.children.append(name)
            elif _plates(node) > _plates(latent):
                raise ValueError(
                    f"Expected {name!r} in the plates of {site!r}, but it is in more: "
                    f"{sorted(name for name, _ in _plates(node))}. Use to_event for dimensions "
                    "of a datum, and a latent site for each datum."
                )
        self.data = [
            before.nodes[name]["value"]
            for name in self.children
            if before.nodes[name]["is_observed"]
        ]
        if not self.data:
            raise ValueError(
                f"Expected observed sites in the plates of {site!r}, but found none. Put its "
                "likelihood there."
            )

    def __call__(self, encoded: Tensor) -> Tensor:
        """Energies, ``batch_shape``."""
        space = unwrap(self.before.nodes[self.site]["fn"]).state_space
        value = space.decode(encoded).to(encoded.dtype)
        with block_messengers(_looks_on):
            after = trace(self.run).get_trace(value)
        model = unwrap(after.nodes[self.site]["fn"])
        result = model.energy(encoded, *model.wide_context(value.shape[:-1]))
        for name, node in _other_sites(after, self.site):
            if name in self.children:
                log_prob = node["fn"].log_prob(node["value"])
                result = result - scale_and_mask(log_prob, mask=node["mask"])
            elif node["fn"].batch_shape != self.before.nodes[name]["fn"].batch_shape:
                raise ValueError(
                    f"Expected the likelihood of {self.site!r} in its plates, but {name!r}, "
                    "which is not, depends on it. Move it there."
                )
        return result


def _other_sites(run: Trace, site: str) -> list[tuple[str, Any]]:
    """Sample sites of a run, without plates' choices of rows."""
    return [
        (name, node)
        for name, node in run.nodes.items()
        if node["type"] == "sample" and name != site and not isinstance(node["fn"], _Subsample)
    ]


def _plates(node: Any) -> frozenset[tuple[str, int]]:
    """Names of a site's plates, and where in sequential ones it is."""
    return frozenset((frame.name, frame.counter) for frame in node["cond_indep_stack"])
