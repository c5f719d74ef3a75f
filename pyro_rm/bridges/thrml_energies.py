"""Ising energies of thrml, in and out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pyro_rm.bridges.packages import required
from pyro_rm.bridges.quadratic_models import pairwise_of, quadratic_energy
from pyro_rm.energies import PairwiseFunction
from pyro_rm.networks import recode


def from_thrml(ebm: Any) -> tuple[PairwiseFunction, list[Any]]:
    """The energy of an Ising model of thrml, and the nodes of its sites.

    :param ebm: A ``thrml.models.IsingEBM``. Its ``beta`` multiplies weights and biases.
    :returns: The energy of states -1 and 1, in double precision; and its nodes, in the order of the
        sites.
    :raises ImportError: If thrml is not installed.
    :raises TypeError: If it is another model.

    Example:

        >>> from pyro_rm.energies import IsingEnergy
        >>> energy, nodes = from_thrml(to_thrml(IsingEnergy(num_sites=4, states=(-1, 1))))
        >>> energy.state_space.states, len(nodes)
        ((-1, 1), 4)
    """
    if not isinstance(ebm, required("thrml.models").IsingEBM):
        raise TypeError(f"Expected a thrml.models.IsingEBM, but got {type(ebm).__name__}.")
    nodes = list(ebm.nodes)
    number = {node: index for index, node in enumerate(nodes)}
    ends = np.array([[number[a], number[b]] for a, b in ebm.edges], dtype=np.int64).reshape(-1, 2)
    beta = float(ebm.beta)
    linear, biases = (
        torch.tensor(-beta * np.asarray(values, dtype=np.float64))
        for values in (ebm.biases, ebm.weights)
    )
    first, second = torch.as_tensor(ends).unbind(1)
    return PairwiseFunction(*quadratic_energy(linear, (first, second), biases, (-1, 1))), nodes


def to_thrml(model: Any) -> Any:
    """A pairwise energy of binary sites as an Ising model of thrml.

    thrml has spins -1 and 1 and no offset: states 0 and 1 are translated, and energies are then
    the same up to a constant.

    :param model: An energy of binary sites with couplings and fields, an
        :class:`~pyro_rm.distributions.Ising` model, or a fitted
        :class:`~pyro_rm.networks.IsingNetwork`.
    :returns: A ``thrml.models.IsingEBM`` whose ``beta`` is 1, with a ``SpinNode`` a site and an
        edge for each coupling that is not zero. Its numbers are NumPy's, in double precision; JAX
        takes them in its own.
    :raises ImportError: If thrml is not installed.
    :raises TypeError: If the model is of another kind.
    :raises ValueError: If it has more than two states or a batch shape.

    Example:

        >>> from pyro_rm.energies import PairwiseFunction
        >>> from pyro_rm.state_space import StateSpace
        >>> couplings = torch.tensor([[0.0, 4.0], [4.0, 0.0]])
        >>> ebm = to_thrml(PairwiseFunction(couplings, torch.zeros(2), StateSpace(2)))
        >>> ebm.weights, ebm.biases
        (array([1.]), array([1., 1.]))
    """
    function = pairwise_of(model)
    couplings, fields = function.couplings, function.fields
    states = function.state_space.states
    if states[0] == 0:
        couplings, fields = recode(couplings, fields, source=states, target=(-1, 1))
    thrml = required("thrml")
    nodes = [thrml.SpinNode() for _ in fields]
    pairs = couplings.triu(1).nonzero()
    return required("thrml.models").IsingEBM(
        nodes,
        [(nodes[i], nodes[j]) for i, j in pairs.tolist()],
        fields.numpy(),
        couplings[pairs[:, 0], pairs[:, 1]].numpy(),
        np.ones(()),
    )
