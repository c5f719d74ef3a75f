"""Whether samples of a network have the rates of the data that it was fitted to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pyro_rm.evaluation.sample_comparison import LARGEST_Z, TOLERANCE


def rates_warning(draws: Tensor, rates: Tensor, size: float, names: list[Any]) -> str | None:
    """Words on draws whose rates differ from those of the data, far beyond sampling error.

    A model that is right at each site given all others can have most of its probability where no
    datum is. Under a correct one, words come with probability below .001.

    :param draws: Categories from 0, ``(n, D)``.
    :param rates: Shares of each site's categories in the data, ``(D, K)``.
    :param size: How many data they are of.
    :param names: Names of the sites.
    :returns: What to do about it; None if they do not differ.

    Example:

        >>> rates = torch.tensor([[0.9, 0.1]])
        >>> rates_warning(torch.ones(500, 1).long(), rates, 500, ["a"])[:58]
        'Samples are where no datum is: 1 of 1 columns have other r'
        >>> rates_warning((torch.rand(500, 1) < 0.1).long(), rates, 500, ["a"])
    """
    if len(draws) == 0:
        return None
    drawn = torch.nn.functional.one_hot(draws, rates.shape[1]).to(rates).mean(0)
    pooled = (drawn + rates) / 2
    error = (pooled * (1 - pooled) * (1 / len(draws) + 1 / size)).clamp(min=0).sqrt()
    excess = (drawn - rates).abs() - LARGEST_Z * error - TOLERANCE
    wrong = (excess > 0).any(1)
    if not wrong.any():
        return None
    site, category = divmod(int(excess.argmax()), rates.shape[1])
    return (
        f"Samples are where no datum is: {int(wrong.sum())} of {len(wrong)} columns have other "
        f"rates than the data; a value of {names[site]!r} has {drawn[site, category]:.2f} in "
        f"samples and {rates[site, category]:.2f} in the data. Either the model has probability "
        "there, as local fits can: fit with generative=True. Or chains need more num_steps. "
        "check_fit(X) tells more."
    )
