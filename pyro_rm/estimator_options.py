"""The options of an estimator, declared once for all that take them, and what they may be."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from pyro_rm.designs import Design, as_design
from pyro_rm.objectives import Objective
from pyro_rm.proposals import Proposal

NumNeighbors = int | Literal["all"] | None  #: Neighbors visited a datum.
Neighborhood = Literal["changes", "swaps"]  #: What a neighbor is.
_DEFAULTS = ("uniform", "proportional_to_size", False)


class KeywordOptions(TypedDict, total=False):
    """Options of an :class:`Estimator` that are always keywords."""

    proposal: str | Proposal
    design: str | Design
    max_neighbors_per_chunk: int | None
    control_variate: bool
    neighborhood: Neighborhood


class EstimatorOptions(KeywordOptions, total=False):
    """All options of an :class:`Estimator`, for functions that make one."""

    objective: str | Objective
    num_neighbors: NumNeighbors


def check_options(estimator: Any) -> None:
    """Refuse options that are out of range, or do not go together.

    :param estimator: An :class:`~pyro_rm.Estimator`.
    :raises ValueError: If they are.
    """
    s = estimator.num_neighbors
    if s is not None and s != "all" and (not isinstance(s, int) or s < 1):
        raise ValueError(
            f"Expected num_neighbors to be a positive integer, 'all' or None, but got {s!r}."
        )
    bound = estimator.max_neighbors_per_chunk
    if bound is not None and (not isinstance(bound, int) or bound < 1):
        raise ValueError(
            f"Expected max_neighbors_per_chunk to be a positive integer or None, but got {bound!r}."
        )
    design = as_design(estimator.design)
    if estimator.control_variate and not design.unbiased:
        raise ValueError(
            f"Expected an unbiased design with control_variate=True, but got {design!r}, whose "
            "bias it would change. Use design='proportional_to_size'."
        )
    if estimator.neighborhood not in ("changes", "swaps"):
        raise ValueError(
            f"Expected the neighborhood 'changes' or 'swaps', but got {estimator.neighborhood!r}."
        )
    default = (estimator.proposal, estimator.design, estimator.control_variate) == _DEFAULTS
    if estimator.neighborhood == "swaps" and not default:
        raise ValueError(
            "Expected neither a proposal, a design nor a control variate beside "
            "neighborhood='swaps', whose swaps are drawn uniformly with replacement."
        )
