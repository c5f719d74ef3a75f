"""Binary quadratic models of dimod, in and out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_rm.bridges.packages import required
from pyro_rm.energies import PairwiseFunction
from pyro_rm.state_space import StateSpace

VARTYPES = {"SPIN": (-1, 1), "BINARY": (0, 1)}


def from_bqm(bqm: Any) -> tuple[PairwiseFunction, list[Any]]:
    """The energy of a binary quadratic model of dimod, and the names of its sites.

    Couplings and fields have the sign of log probabilities, which is the opposite of that of
    ``bqm.quadratic`` and ``bqm.linear``; the energies are the same numbers, the offset included.

    :param bqm: A ``dimod.BinaryQuadraticModel``, of spins or of bits.
    :returns: The energy, in double precision, with the states of the model; and its variables, in
        the order of the sites.
    :raises ImportError: If dimod is not installed.
    :raises TypeError: If it is something else, such as a model with constraints.

    Example:

        >>> import dimod
        >>> bqm = dimod.BinaryQuadraticModel({"a": 1.0}, {("a", "b"): -2.0}, 0.5, "SPIN")
        >>> energy, names = from_bqm(bqm)
        >>> names, energy(torch.tensor([-1.0, -1.0], dtype=torch.double)).item()
        (['a', 'b'], -2.5)

    .. note:: Needs the memory of a matrix of all pairs.
    """
    if not isinstance(bqm, required("dimod").BinaryQuadraticModel):
        raise TypeError(
            f"Expected a dimod.BinaryQuadraticModel, but got {type(bqm).__name__}. Bring others "
            "to that form first, as by dimod.cqm_to_bqm."
        )
    names = list(bqm.variables)
    linear, (first, second, biases), offset = bqm.to_numpy_vectors(variable_order=names)
    pairs = torch.as_tensor(first).long(), torch.as_tensor(second).long()
    energy = quadratic_energy(
        torch.as_tensor(linear), pairs, torch.as_tensor(biases), VARTYPES[bqm.vartype.name]
    )
    return PairwiseFunction(*energy, constant=float(offset)), names


def quadratic_energy(
    linear: Tensor, pairs: tuple[Tensor, Tensor], biases: Tensor, states: tuple[float, float]
) -> tuple[Tensor, Tensor, StateSpace]:
    """Couplings, fields and space of an energy from its coefficients, in double precision.

    :param linear: Coefficients of the sites, ``(D,)``.
    :param pairs: First and second sites, ``(E,)`` each; a pair may come twice.
    :param biases: Coefficients of the pairs, ``(E,)``.
    :param states: The two states.
    """
    upper = torch.zeros(len(linear), len(linear), dtype=torch.double)
    upper.index_put_(pairs, -biases.double(), accumulate=True)
    space = StateSpace(len(linear), states=states)
    return upper + upper.mT, -linear.double(), space


def to_bqm(model: Any, names: Sequence[Any] | None = None) -> Any:
    """A pairwise energy of binary sites as a binary quadratic model of dimod.

    The energies are the same numbers. What dimod's samplers call temperature is 1.

    :param model: An energy of binary sites with couplings and fields, an
        :class:`~pyro_rm.distributions.Ising` model, or a fitted
        :class:`~pyro_rm.networks.IsingNetwork`.
    :param names: Variables, one a site; None: those of the network, or numbers.
    :returns: A ``dimod.BinaryQuadraticModel``, of bits for states 0 and 1, else of spins. Couplings
        of zero are left out.
    :raises ImportError: If dimod is not installed.
    :raises TypeError: If the model is of another kind.
    :raises ValueError: If it has more than two states or a batch shape, or names do not fit.

    Example:

        >>> from pyro_rm.energies import PairwiseFunction
        >>> couplings = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
        >>> bqm = to_bqm(PairwiseFunction(couplings, torch.ones(2), StateSpace(2)), ["a", "b"])
        >>> float(bqm.get_quadratic("a", "b")), bqm.vartype.name
        (-2.0, 'BINARY')
    """
    function = pairwise_of(model)
    own = getattr(model, "feature_names_in_", None)
    size = function.state_space.num_sites
    if names is None:
        names = list(range(size)) if own is None else own.tolist()
    if len(set(names)) != size or len(names) != size:
        raise ValueError(f"Expected {size} different names, but got {list(names)[:10]}.")
    states = function.state_space.states
    upper = function.couplings.triu(1)
    pairs = upper.nonzero().tolist()
    vartype = next(name for name, values in VARTYPES.items() if values == states)
    bqm = required("dimod").BinaryQuadraticModel(vartype)
    bqm.offset = float(function.constant)
    for name, field in zip(names, function.fields.tolist(), strict=True):
        bqm.add_linear(name, -field)
    for (i, j), coupling in zip(pairs, upper[upper != 0].tolist(), strict=True):
        bqm.add_quadratic(names[i], names[j], -coupling)
    return bqm


def pairwise_of(model: Any) -> PairwiseFunction:
    """The couplings and fields of a binary model, detached, on the host, in double precision.

    :raises TypeError: If the model has none.
    :raises ValueError: If it has more than two states or a batch shape.
    """
    energy = getattr(model, "energy_", getattr(model, "energy", model))
    if not hasattr(energy, "pairwise"):
        raise TypeError(
            f"Expected a model with couplings and fields, but got {type(model).__name__}. Pass an "
            "IsingEnergy, an Ising model or a fitted IsingNetwork."
        )
    function = energy.pairwise()
    space = function.state_space
    if not space.is_binary:
        raise ValueError(f"Expected binary sites, but got {space.max_categories} categories.")
    if function.batch_shape:
        raise ValueError(
            f"Expected one model, but got a batch of shape {tuple(function.batch_shape)}. Convert "
            "its members one by one."
        )
    return PairwiseFunction(
        function.couplings.detach().cpu().double(),
        function.fields.detach().cpu().double(),
        space,
        float(function.constant),
    )
