"""The result of a calibration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Method = Literal["affine", "scalar", "bootstrap", "normal"]


@dataclass(frozen=True, eq=False)
class CalibratedPosterior:
    """Draws whose marginal intervals are calibrated, and how they were obtained.

    Returned by :func:`calibrate`, whose example shows it.

    :param draws: Latent sites by name, ``num_draws + ...``, as ``Predictive`` takes them.
    :param method: What was done, ``"affine"``, ``"scalar"``, ``"bootstrap"``, or ``"normal"``
        about a given estimate.
    :param warnings: What to know before using the intervals.
    :param uncalibrated: The same before the affine map, or about a given estimate as if fills
        of missing cells were data; empty for the bootstrap.
    :param weight: Learning rate that the draws were sampled with; 1 for the bootstrap and about
        a given estimate.
    :param eigenvalues: Of :math:`H^{-1} K` in the directions that data inform: all about 1 for
        a likelihood, and all equal where a learning rate alone calibrates. None if the
        curvature was not positive definite, or was not needed.
    """

    draws: dict[str, Tensor]
    method: Method
    warnings: tuple[str, ...]
    uncalibrated: dict[str, Tensor] = field(default_factory=dict)
    weight: float = 1.0
    eigenvalues: Tensor | None = None

    def intervals(self, level: float = 0.9) -> dict[str, Tensor]:
        """Central credible intervals of each entry, stacked in front: ``(2,) + ...``.

        :param level: Their probability, between 0 and 1.
        :raises ValueError: If the level is out of range.
        """
        if not 0 < level < 1:
            raise ValueError(f"Expected a level between 0 and 1, but got {level}.")
        tails = torch.tensor([(1 - level) / 2, (1 + level) / 2])
        return {name: draw.quantile(tails.to(draw), dim=0) for name, draw in self.draws.items()}
