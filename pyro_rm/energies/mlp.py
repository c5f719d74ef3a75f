"""Multi-layer perceptron energies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from pyro_rm.checks import check_counts
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
    :param hidden_dtype: Type that the layers between the first and the last multiply in, such
        as ``torch.bfloat16``; parameters, energies and gaps keep theirs.
    :raises ValueError: If there is no hidden layer.

    Example:

        >>> energy = MLPEnergy(num_sites=8, hidden_sizes=(16, 16))
        >>> energy(torch.zeros(5, 8)).shape
        torch.Size([5])

    .. note:: The first layer is computed once a datum; a neighbor costs the other layers. The
        last layer has no bias: a constant in the energy changes no distribution, and would
        have no gradient.

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
        hidden_dtype: torch.dtype | None = None,
    ) -> None:
        if len(hidden_sizes) == 0:
            raise ValueError("Expected at least one hidden layer, but got none; use IsingEnergy.")
        check_counts(**{f"hidden_sizes[{i}]": size for i, size in enumerate(hidden_sizes)})
        space = StateSpace(num_sites, num_categories, states=states)
        super().__init__(space, hidden_sizes[0], centered=centered)
        self.hidden_dtype = hidden_dtype
        nn.init.uniform_(self.weight, -(num_sites**-0.5), num_sites**-0.5)
        layers: list[nn.Module] = [activation()]
        for before, after in pairwise(hidden_sizes):
            layers += [nn.Linear(before, after), activation()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden_sizes[-1], 1, bias=False))

    def trunk(self, features: Tensor) -> Tensor:
        """Energies of pre-activations of the first layer."""
        hidden = self._hidden(features)
        return torch.squeeze(self.layers[-1](hidden.to(self.weight.dtype)), -1)

    def trunk_gaps(self, features: Tensor) -> Tensor:
        """Differences of trunks: hidden units are subtracted before the last layer sums them."""
        hidden = wide(self._hidden(features))
        last: Tensor = self.layers[-1].weight[0]  # type: ignore[index]
        return own_minus_others(hidden) @ last.to(hidden.dtype)

    def _hidden(self, features: Tensor) -> Tensor:
        """The last hidden layer."""
        if self.hidden_dtype is None:
            return self.layers[:-1](features)
        with torch.autocast(features.device.type, self.hidden_dtype):
            return self.layers[:-1](features)
