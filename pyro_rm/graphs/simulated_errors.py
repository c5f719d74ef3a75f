"""Standard errors of pseudolikelihood estimates, from networks that the model simulates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pyro_rm.graphs.nodes import Array
from pyro_rm.graphs.pseudolikelihood import ChangeTable, maximum_pseudolikelihood


def godambe_covariance(
    tables: Iterable[ChangeTable], coefficients: Array, information: Array
) -> Array:
    r"""The covariance :math:`H^{-1} J H^{-1}` of a maximum pseudolikelihood estimate [1, 2].

    One network has no replicates whose scores vary. The variance :math:`J` of the score is
    therefore that over networks simulated from the model at the estimate; :math:`H` is the
    information of the pseudolikelihood, which the naive covariance :math:`H^{-1}` takes for
    both.

    :param tables: Change statistics of simulated networks, each used once.
    :param coefficients: The estimate, ``(K,)``.
    :param information: :math:`H` of the observed network, ``(K, K)``.
    :returns: Shape ``(K, K)``.

    .. note:: Costs the change statistics of all pairs for each network.

    **References**

    [1] V. P. Godambe (1960) "An optimum property of regular maximum likelihood estimation",
        The Annals of Mathematical Statistics 31(4).
    [2] Christian Schmid, David Hunter (2023) "Computing pseudolikelihood estimators for
        exponential-family random graph models", Journal of Data Science 21(2).
    """
    scores = np.stack([table.derivatives(coefficients).gradient for table in tables])
    inverse = np.linalg.pinv(information, hermitian=True)
    covariance: Array = inverse @ np.atleast_2d(np.cov(scores.T)) @ inverse
    return covariance


def bootstrap_covariance(
    tables: Iterable[ChangeTable], coefficients: Array, labels: Sequence[str]
) -> tuple[Array, int]:
    """The covariance of estimates from simulated networks: the parametric bootstrap.

    :param tables: Change statistics of simulated networks, each used once.
    :param coefficients: The estimate, where fits start.
    :param labels: What coefficients are called.
    :returns: Shape ``(K, K)``; and how many networks have no finite estimate and do not count.

    .. note:: Costs a fit for each network.
    """
    estimates, without = [], 0
    for table in tables:
        try:
            estimates.append(maximum_pseudolikelihood(table, labels, coefficients)[0])
        except ValueError:  # no finite estimate
            without += 1
    if len(estimates) < 2:
        return np.full((len(labels), len(labels)), np.nan), without
    return np.atleast_2d(np.cov(np.stack(estimates).T)), without
