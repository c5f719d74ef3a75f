"""Multi-layer perceptron energies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from pyro_rm.checks import check_counts
from pyro_rm.energies.level_rows import between_rows, level_rows
from pyro_rm.energies.linear_first import LinearFirstEnergy, own_minus_others
from pyro_rm.energy_protocol import wide
from pyro_rm.state_space import StateSpace


class MLPEnergy(LinearFirstEnergy):
    r"""A multi-layer perceptron energy, the network of [1] up to the constant of its output.

    :param num_sites: Number of sites :math:`D`.
    :param hidden_sizes: Widths of the hidden layers, one or more.
    :param num_categories: Categories a site: one number, or one for each site.
    :param states: Values of a binary site, ``(0, 1)`` or ``(-1, 1)``.
    :param activation: Makes the activation between layers; smooth ones suit
        gradient-guided proposals.
    :param centered: Whether {0, 1} inputs are coded as -1 and 1 inside.
    :param num_levels: Levels of noise (:class:`~pyro_rm.infer.NoiseLevels`) that it knows, each
        with an output of its own; None for an energy that takes no level.
    :param hidden_dtype: Type that the layers between the first and the last multiply in, such
        as ``torch.bfloat16``; parameters, energies and gaps keep theirs.
    :raises ValueError: If there is no hidden layer.

    Example:

        >>> energy = MLPEnergy(num_sites=8, hidden_sizes=(16, 16))
        >>> energy(torch.zeros(5, 8)).shape
        torch.Size([5])

    .. note:: The first layer is computed once a datum; a neighbor costs the other layers. The
        last layer has no bias but that of the levels: a constant in the energy changes no
        distribution, and would have no gradient.

    **References**

    [1] Meng Liu, Haoran Liu, Shuiwang Ji (2023) "Gradient-guided importance sampling
        for learning binary energy-based models", ICLR.
    """

    def __init__(
        self,
        num_sites: int,
        hidden_sizes: Sequence[int] = (256, 256, 256),
        *,
        num_categories: int | tuple[int, ...] = 2,
        states: tuple[float, float] = (0, 1),
        activation: Callable[[], nn.Module] = nn.SiLU,
        centered: bool = True,
        num_levels: int | None = None,
        hidden_dtype: torch.dtype | None = None,
    ) -> None:
        if len(hidden_sizes) == 0:
            raise ValueError("Expected at least one hidden layer, but got none; use IsingEnergy.")
        check_counts(**{f"hidden_sizes[{i}]": size for i, size in enumerate(hidden_sizes)})
        if num_levels is not None:
            check_counts(num_levels=num_levels)
        space = StateSpace(num_sites, num_categories, states=states)
        super().__init__(space, hidden_sizes[0], centered=centered)
        self.hidden_dtype, self.num_levels = hidden_dtype, num_levels
        nn.init.uniform_(self.weight, -(num_sites**-0.5), num_sites**-0.5)
        layers: list[nn.Module] = [activation()]
        for before, after in pairwise(hidden_sizes):
            layers += [nn.Linear(before, after), activation()]
        outputs, bias = num_levels or 1, num_levels is not None
        self.layers = nn.Sequential(*layers, nn.Linear(hidden_sizes[-1], outputs, bias=bias))

    def trunk(self, features: Tensor, *level: Tensor) -> Tensor:
        """Energies of pre-activations of the first layer."""
        hidden = self._hidden(features).to(self.weight.dtype)
        if self.num_levels is None:
            return torch.squeeze(self._last(hidden), -1)
        values: Tensor = (hidden * level_rows(self._last.weight, *level)).sum(-1)
        return values + level_rows(self._last.bias, *level)

    def trunk_gaps(self, features: Tensor, *level: Tensor) -> Tensor:
        """Differences of trunks: hidden units are subtracted before the last layer sums them."""
        differences = own_minus_others(wide(self._hidden(features)))
        rows = level_rows(self._last.weight, *level).to(differences.dtype)
        if rows.dim() == 1:
            return differences @ rows
        return torch.einsum("...h,...h->...", differences, rows)

    def level_energies(self, x: Tensor) -> Tensor:
        """Energies at all levels, ``batch_shape + (num_levels,)``: one pass."""
        return self._last(self._hidden(self.features(x)).to(self.weight.dtype))

    def at_level(self, position: float) -> MLPEnergy:
        """The energy at a level, or between two, as one that takes none; hidden layers shared."""
        one = copy.copy(self)
        one._modules = dict(self._modules)
        last = nn.Linear(self._last.in_features, 1, bias=True, device="meta")
        last.weight = nn.Parameter(between_rows(self._last.weight, position)[None], False)
        last.bias = nn.Parameter(between_rows(self._last.bias, position)[None], False)
        one.layers, one.num_levels = nn.Sequential(*list(self.layers)[:-1], last), None
        return one

    @property
    def is_shallow(self) -> bool:
        """Whether it has one hidden layer, so that a walk over its sites is cheap."""
        return len(self.layers) == 2

    @property
    def _last(self) -> nn.Linear:
        return self.layers[-1]  # type: ignore[return-value]

    def _hidden(self, features: Tensor) -> Tensor:
        """The last hidden layer."""
        if self.hidden_dtype is None:
            return self.layers[:-1](features)
        with torch.autocast(features.device.type, self.hidden_dtype):
            return self.layers[:-1](features)
