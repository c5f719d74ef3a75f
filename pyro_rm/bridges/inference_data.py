"""Posteriors and networks as ArviZ takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pyro.infer import MCMC
from torch import Tensor

from pyro_rm.bridges.network_draws import NetworkDraws
from pyro_rm.bridges.packages import required
from pyro_rm.bridges.pointwise import ExactLoss, PseudoLoss, pointwise
from pyro_rm.checks import check_counts
from pyro_rm.infer import CalibratedPosterior
from pyro_rm.networks.network import Network
from pyro_rm.poutine.handlers import unhandled


def to_inference_data(
    fit: Any,
    model: Any = None,
    model_args: tuple[Any, ...] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    *,
    data: Any = None,
    likelihood: bool = True,
    max_states: int = 2**20,
    num_draws: int = 1000,
) -> Any:
    r"""Draws of parameters for ArviZ [1], with log likelihoods of each datum.

    The group ``log_likelihood``, which ``arviz.loo`` and ``arviz.compare`` read, has the exact log
    probability of each datum, normalized over all states or by what is read off levels of noise;
    blanks are summed out. The group ``log_pseudolikelihood`` has the sum of its sites'
    conditionals, which is none: do not compare the two. Weights of data (``poutine.scale``) are in
    neither.

    Leaving a datum out by its importance, as ``loo`` does, presumes draws whose spread is that of
    a posterior: take calibrated ones, or those of NUTS on an exact likelihood, rather than draws of
    a surrogate of weight 1.

    :param fit: What :func:`~pyro_rm.infer.calibrate` returned; a :class:`pyro.infer.MCMC` after
        ``run``; or a fitted network of any kind, of which draws are made that are normal about its
        couplings and fields, with their sandwich covariance. Couplings of Potts networks, and of
        nominal columns, are tables of the two columns' categories.
    :param model: The Pyro program of calibrated draws, without which there are only these. That of
        MCMC, and what it was called with, are known.
    :param model_args: The program's arguments.
    :param model_kwargs: Its keyword arguments.
    :param data: The table that a network was fitted to, or another one; None: only draws.
    :param likelihood: Whether to normalize; False where states are too many.
    :param max_states: Refuse larger sums.
    :param num_draws: Draws about a network.
    :returns: An ``arviz.InferenceData``, or an ``xarray.DataTree`` from ArviZ 1.0 on. Groups:
        ``posterior``, ``sample_stats`` (divergences of NUTS), ``log_likelihood``,
        ``log_pseudolikelihood``, ``observed_data``.
    :raises ImportError: If ArviZ is not installed.
    :raises TypeError: If ``fit`` is something else.
    :raises TooManyStatesError: If a sum would run over more than ``max_states``.
    :raises ValueError: If a network has no standard errors, as that of a separated coupling.

    Example:

        >>> import arviz
        >>> from pyro_rm.networks import IsingNetwork
        >>> x = torch.bernoulli(torch.full((200, 4), 0.4))
        >>> network = IsingNetwork(selection=None).fit(x)
        >>> draws = to_inference_data(network, data=x)
        >>> draws.log_likelihood["x"].shape
        (1, 1000, 200)
        >>> int(arviz.loo(draws).n_data_points)
        200

    .. note:: Costs two runs of the program a draw, and one energy a state a draw.

    **References**

    [1] Ravin Kumar, Colin Carroll, Ari Hartikainen, Osvaldo Martin (2019) "ArviZ a unified library
        for exploratory analysis of Bayesian models in Python", Journal of Open Source Software 4.
    """
    check_counts(max_states=max_states)
    check_counts(2, num_draws=num_draws)
    groups: dict[str, Any] = {}
    names: dict[str, Any] = {}
    if isinstance(fit, CalibratedPosterior):
        draws = {name: draw[None] for name, draw in fit.draws.items()}
    elif isinstance(fit, MCMC):
        draws = fit.get_samples(group_by_chain=True)
        model = unhandled(getattr(fit.kernel, "model", None))
        model_args, model_kwargs = fit._args, fit._kwargs
        groups["sample_stats"] = _divergences(fit, draws)
    elif isinstance(fit, Network):
        fit._check_fitted()
        network = NetworkDraws(fit)
        draws, names = network.draw(num_draws), network.names()
        model = None if data is None else network.program
        model_args, model_kwargs = () if data is None else (network.read(data),), {}
    else:
        raise TypeError(
            f"Expected calibrated draws, an MCMC run or a network, but got {type(fit).__name__}."
        )
    groups["posterior"] = draws
    if model is not None:
        losses: dict[str, ExactLoss | PseudoLoss] = {"log_pseudolikelihood": PseudoLoss(max_states)}
        if likelihood:
            losses["log_likelihood"] = ExactLoss(max_states)
        chains, length = next(iter(draws.values())).shape[:2]
        flat = {name: draw.flatten(0, 1) for name, draw in draws.items()}
        for group, loss in losses.items():
            rows, observed = pointwise(model, flat, model_args, model_kwargs or {}, loss)
            groups[group] = {k: row.unflatten(0, (chains, length)) for k, row in rows.items()}
            groups.setdefault("observed_data", {}).update(observed)
    return _collected({name: group for name, group in groups.items() if group}, **names)


def _divergences(mcmc: MCMC, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Which draws of NUTS diverged, ``(chains, draws)``."""
    found = mcmc.diagnostics().get("divergences")
    if found is None:
        return {}
    diverging = torch.zeros(next(iter(draws.values())).shape[:2], dtype=torch.bool)
    for chain, numbers in enumerate(found.values()):
        diverging[chain, numbers] = True
    return {"diverging": diverging}


def _collected(groups: Mapping[str, Mapping[str, Tensor]], **names: Any) -> Any:
    """Groups as ArviZ keeps them, in either of its versions."""
    arviz = required("arviz")
    arrays = {
        group: {name: value.detach().cpu().numpy() for name, value in values.items()}
        for group, values in groups.items()
    }
    if int(arviz.__version__.partition(".")[0]) >= 1:
        return arviz.from_dict(arrays, **names)
    own = arrays.pop("log_pseudolikelihood", None)
    result = arviz.from_dict(**arrays, **names)
    if own is not None:
        group = arviz.convert_to_dataset(own)
        result.add_groups({"log_pseudolikelihood": group}, warn_on_custom_groups=False)
    return result
