"""How well each column is predicted by the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyro_rm.networks.columns import row_weights
from pyro_rm.networks.table_kinds import frame


def predictability(network: Any, data: Any, *, sample_weight: Any = None) -> Any:
    r"""How well a fitted network predicts each column from the others [1].

    :param network: A fitted network.
    :param data: Rows with its columns; blank cells are not counted.
    :param sample_weight: Weights of the rows, ``(N,)``.
    :returns: A ``pandas.DataFrame``, a row a column of the data: ``name``; ``accuracy``, the
        share of cells whose most probable category is theirs; ``normalized``, how much of what
        the commonest category leaves to be gained was gained; ``explained``, the share of the
        variance of the categories' indicators that the probabilities explain.

    Example:

        >>> import torch
        >>> from pyro_rm.networks import IsingNetwork
        >>> x = torch.bernoulli(torch.full((500, 2), 0.5))
        >>> x[:, 1] = torch.where(torch.rand(500) < 0.8, x[:, 0], x[:, 1])
        >>> table = predictability(IsingNetwork().fit(x), x)
        >>> bool((table.normalized > 0.6).all())
        True

    .. note:: On the data of the fit it is optimistic; pass other rows for an honest figure.

    **References**

    [1] Jonas Haslbeck, Lourens Waldorp (2018) "How well do network models predict observations? On
        the importance of predictability in network models", Behavior Research Methods 50.
    """
    chances = network.predict_proba(data)
    codes = network._codes(network._read_like(data)).cpu().numpy()
    given = row_weights(sample_weight, len(codes), data)
    weights = np.ones(len(codes)) if given is None else given.numpy()
    rows = []
    for number, name in enumerate(network._columns):
        known = ~np.isnan(codes[:, number]) & (weights > 0)
        if not known.any():
            rows.append((name, np.nan, np.nan, np.nan))
            continue
        own, shares = codes[known, number].astype(int), weights[known] / weights[known].sum()
        probable = chances[known, number]
        indicators = np.eye(probable.shape[1])[own]
        frequencies = shares @ indicators
        accuracy, commonest = shares @ (probable.argmax(1) == own), frequencies.max()
        left = shares @ ((indicators - probable) ** 2).sum(1)
        variance = shares @ ((indicators - frequencies) ** 2).sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            normalized = np.float64(accuracy - commonest) / (1 - commonest)
            rows.append((name, accuracy, normalized, 1 - np.float64(left) / variance))
    names = ["name", "accuracy", "normalized", "explained"]
    return frame("pandas", names, list(zip(*rows, strict=True)))
