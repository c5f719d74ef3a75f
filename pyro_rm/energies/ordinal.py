"""Pairwise interactions between scores of sites: ordinal, binary and nominal ones side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from pyro_rm.energies.pairwise import FieldWalk, PairwiseEnergy, PairwiseFunction
from pyro_rm.energies.sparse_ising import checked_edges
from pyro_rm.energies.sums import Summable
from pyro_rm.neighborhoods import linear_gaps
from pyro_rm.site_walks import Block, SiteWalk
from pyro_rm.state_space import StateSpace
from pyro_rm.target import Target

Site = int | tuple[float, ...]
THRESHOLDS = ("free", "blume_capel")


@dataclass(frozen=True, eq=False)
class ScoredFunction(Summable):
    r"""The energy :math:`-\tfrac12 s^\top J s - h^\top u` of scores of the sites' categories.

    :param couplings: :math:`J`, symmetric and zero within a site, ``(D, m, D, m)``.
    :param fields: :math:`h`, ``(D, f)``.
    :param basis: What :math:`u` is of each category, ``(D, K, f)``. Its first :math:`m`
        columns, where they couple, are :math:`s`.
    :param couples: Which of these couple, booleans, ``(D, m)``.
    :param state_space: The space.

    .. note:: One energy and all gaps cost a product of scores and couplings.
    """

    couplings: Tensor
    fields: Tensor
    basis: Tensor
    couples: Tensor
    state_space: StateSpace

    @property
    def scores(self) -> Tensor:
        """:math:`s` of each category, ``(D, K, m)``."""
        return self.basis[..., : self.couples.shape[1]] * self.couples[:, None]

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the other sites add to each category's field, and the fields themselves."""
        scores = self.scores
        flat = torch.einsum("...ik,ika->...ia", x, scores).flatten(-2)
        felt = flat @ self.couplings.flatten(2).flatten(0, 1)
        felt = felt.unflatten(-1, self.couples.shape)
        return (
            torch.einsum("...ia,ika->...ik", felt, scores),
            (self.basis * self.fields[:, None]).sum(-1),
        )

    def local_fields(self, x: Tensor) -> Tensor:
        """Fields that each category of each site feels, like ``x``."""
        coupled, own = self._parts(x)
        return coupled + own

    def __call__(self, x: Tensor) -> Tensor:
        """Energies of encoded data, ``batch_shape``."""
        coupled, own = self._parts(x)
        return -(x * (0.5 * coupled + own)).sum((-2, -1))

    def gap_table(self, x: Tensor) -> Tensor:
        """Gaps to all categories, like ``x``."""
        return linear_gaps(self.state_space, x, self.local_fields(x))

    def pairwise(self) -> PairwiseFunction:
        """The function with a coupling for every two categories."""
        scores = self.scores
        couplings = torch.einsum("ika,iajb,jlb->ikjl", scores, self.couplings, scores)
        fields = (self.basis * self.fields[:, None]).sum(-1)
        return PairwiseFunction(couplings, fields, self.state_space)


class ScoredWalk(FieldWalk):
    """A walk that keeps the scores of its chains.

    :param function: The energy.
    :param encoded: Encoded chains, ``batch_shape + (D, K)``.

    .. note:: A block of ``m`` sites costs ``m / D`` of a product of scores and couplings.
    """

    def __init__(self, function: ScoredFunction, encoded: Tensor) -> None:
        super().__init__(Target(function, function.state_space), encoded)
        self.scores, self.couplings = function.scores, function.couplings
        self.fields = (function.basis * function.fields[:, None]).sum(-1)
        self.held = torch.einsum("...ik,ika->...ia", self.encoded, self.scores)

    def gaps(self, block: Block) -> Tensor:
        """Gaps to the values of some sites."""
        matrix, scores = self.couplings[:, :, block], self.scores[block]
        felt = self.held.flatten(-2) @ matrix.flatten(2).flatten(0, 1)
        felt = felt.unflatten(-1, matrix.shape[2:])
        local = torch.einsum("...ia,ika->...ik", felt, scores)
        if self.weight is not None:
            local = self.weight * local
        now = self.at(self.encoded, block)
        return linear_gaps(self.space, now, local + self.at(self.fields, block))

    def move(self, block: Block, values: Tensor) -> None:
        """Give some sites new encoded values."""
        super().move(block, values)
        new = torch.einsum("...ik,ika->...ia", values, self.scores[block])
        self.held[..., block, :] = new


class OrdinalEnergy(PairwiseEnergy):
    r"""Interactions between ordinal, binary and nominal sites, on given pairs of them.

    .. math::

        E(x) = -\sum_{(i, j) \in \text{edges}} s_i(x_i)^\top J_{ij} s_j(x_j)
               - \sum_i \theta_i(x_i)

    An ordinal site has a score a category [3], a binary one is the same with two, and their
    couplings are one number a pair; a nominal one has :math:`K - 1` contrasts. Thresholds
    :math:`\theta` are free, or :math:`a_i s + b_i s^2` on ordinal sites [1, 2].

    :param sites: For each site its scores, increasing, or its number of categories if it is
        nominal.
    :param edges: Pairs of sites, each once, ``(E, 2)``; None: all pairs.
    :param thresholds: ``"free"`` or ``"blume_capel"``.
    :raises ValueError: If all sites have two categories, scores do not increase, an edge is not
        one, or thresholds are others.

    ``weight``, ``(E, m, m)``, are the couplings, and ``fields``, ``(D, f)``, what multiplies the
    columns of ``basis``, ``(D, K, f)``: scores, then their squares (Blume-Capel) or orthonormal
    contrasts of higher degree. A site uses as many as it has.

    Example:

        >>> energy = OrdinalEnergy([(-0.5, 0.0, 0.5), (-0.5, 0.5), 4])
        >>> energy.weight.shape, energy.fields.shape
        (torch.Size([3, 3, 3]), torch.Size([3, 3]))
        >>> space = energy.state_space
        >>> energy(space.encode(torch.tensor([2, 0, 3]), torch.float32)).shape
        torch.Size([])

    .. note:: All gaps cost a product of scores and couplings, which for ordinal sites is that of
        as many binary ones.

    **References**

    [1] Martin Blume (1966) "Theory of the first-order magnetic phase change in UO2",
        Physical Review 141.

    [2] Hans Capel (1966) "On the possibility of first-order phase transitions in Ising systems of
        triplet ions with zero-field splitting", Physica 32.

    [3] Maarten Marsman, Don van den Bergh, Jonas Haslbeck (2025) "Bayesian analysis of the
        ordinal Markov random field", Psychometrika 90.
    """

    basis: Tensor
    exists: Tensor
    couples: Tensor
    edges: Tensor

    def __init__(
        self,
        sites: Sequence[int | tuple[float, ...]],
        edges: Tensor | None = None,
        *,
        thresholds: str = "free",
    ) -> None:
        if thresholds not in THRESHOLDS:
            raise ValueError(f"Expected thresholds {THRESHOLDS}, but got {thresholds!r}.")
        sites = [site if isinstance(site, int) else tuple(site) for site in sites]
        columns = [_columns(site, thresholds) for site in sites]
        super().__init__(StateSpace(len(columns), tuple(len(part) for part in columns)))
        if self.state_space.is_binary:
            raise ValueError("Expected more than two categories at some site; use IsingEnergy.")
        widths = [part.shape[1] for part in columns]
        coupled = [w if isinstance(s, int) else 1 for s, w in zip(sites, widths, strict=True)]
        shape = (len(columns), self.state_space.max_categories, max(widths))
        basis = torch.zeros(shape, dtype=torch.float64)
        for own, part in zip(basis, columns, strict=True):
            own[: part.shape[0], : part.shape[1]] = part
        self.register_buffer("basis", basis, persistent=False)
        self.register_buffer("exists", _first(widths), persistent=False)
        self.register_buffer("couples", _first(coupled), persistent=False)
        if edges is None:
            edges = torch.triu_indices(len(columns), len(columns), 1).T
        self.register_buffer("edges", checked_edges(edges, len(columns)))
        m = self.couples.shape[1]
        self.weight = nn.Parameter(torch.zeros(len(self.edges), m, m))
        self.fields = nn.Parameter(torch.zeros(shape[0], shape[2]))

    def scored(self) -> ScoredFunction:
        """The function of the parameters as they are now."""
        (first, second), (sites, m) = self.edges.unbind(1), self.couples.shape
        upper = self.weight.new_zeros(sites, sites, m, m).index_put((first, second), self.weight)
        couplings = (upper + upper.permute(1, 0, 3, 2)).transpose(1, 2)
        basis = self.basis.to(self.weight.dtype)
        return ScoredFunction(couplings, self.fields, basis, self.couples, self.state_space)

    def pairwise(self) -> PairwiseFunction:
        """The function with a coupling for every two categories, ``(D, K, D, K)``."""
        return self.scored().pairwise()

    def local_fields(self, x: Tensor) -> Tensor:
        """Fields that each category of each site feels, like ``x``."""
        return self.scored().local_fields(x)

    def site_walk(self, x: Tensor) -> SiteWalk:
        """A walk from given encoded chains."""
        return ScoredWalk(self.scored(), x)

    def forward(self, x: Tensor) -> Tensor:
        """Energies of encoded data, ``batch_shape``."""
        return self.scored()(x)

    def gap_table(self, x: Tensor) -> Tensor:
        """Gaps to all categories, like ``x``."""
        return self.scored().gap_table(x)


@lru_cache(maxsize=1024)
def _columns(site: Site, thresholds: str) -> Tensor:
    """Coordinates of a site's categories, ``(K, f)``: what couples comes first."""
    scores = torch.arange(site) if isinstance(site, int) else torch.tensor(site)
    scores = scores.double()
    if len(scores) < 2 or not (scores.diff() > 0).all() or not scores.isfinite().all():
        raise ValueError(
            f"Expected two or more increasing scores, or categories, of a site, but got {site}."
        )
    if thresholds == "blume_capel" and not isinstance(site, int):
        return torch.stack([scores, scores**2], 1)[:, : len(scores) - 1]
    unit = (scores - scores.mean()) / (scores[-1] - scores[0])
    orthonormal = torch.linalg.qr(torch.linalg.vander(unit))[0]  # by degree; first the constant
    if isinstance(site, int):
        return orthonormal[:, 1:]
    return torch.cat([scores[:, None], orthonormal[:, 2:]], 1)


def _first(counts: Sequence[int]) -> Tensor:
    """Booleans, a row a count, of which so many are true."""
    return torch.arange(max(counts)) < torch.tensor(counts)[:, None]
