"""Fitted networks in files: numbers, text and names of types, no pickled code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from pyro_rm.checks import existing_file
from pyro_rm.networks.pairwise_models import PairwiseModel, Sites
from pyro_rm.networks.parameters import Parameters
from pyro_rm.networks.selection import Selection
from pyro_rm.objectives import Objective, as_objective
from pyro_rm.state_space import StateSpace

_FORMAT, _VERSION = "pyro_rm network", 1
_ENERGIES = ("energy_", "filler_")
_PLAIN = (type(None), bool, int, float, str)
Self = TypeVar("Self", bound="Saved")


class Saved(Parameters):
    """What can be saved and loaded: parameters, and what ``fit`` learned."""

    @property
    def _sites(self) -> Sites | None:
        """What couples at ordinal sites."""
        return None

    def save(self, path: str | Path) -> None:
        """Write the fitted network to a file.

        :param path: The file; one that is there is replaced.
        :raises TypeError: If a parameter or a column's name is not a number, text, or an object
            of this package.
        :raises ValueError: If it is not fitted.
        """
        self._check_fitted()
        learned = {k: v for k, v in vars(self).items() if k.endswith("_") and k not in _ENERGIES}
        space = self.energy_.state_space
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "class": type(self).__name__,
            "parameters": {k: _packed(v, k) for k, v in self.get_params().items()},
            "learned": {k: _packed(v, k) for k, v in learned.items()},
            "space": (space.num_sites, space.num_categories, space.states),
            "energies": {
                k: [p.detach().cpu() for p in getattr(self, k).parameters()]
                for k in _ENERGIES
                if getattr(self, k) is not None
            },
        }
        with Path(path).open("wb") as file:  # whose errors name the path
            torch.save(content, file)

    @classmethod
    def load(cls: type[Self], path: str | Path) -> Self:
        """Read a network that ``save`` wrote.

        :param path: The file.
        :returns: The fitted network.
        :raises FileNotFoundError: If there is no such file.
        :raises ValueError: If it holds something else, a network of another class, or one of a
            later version.
        """
        path = existing_file(path, "a saved network")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch, zipfile and pickle raise many kinds
            raise ValueError(
                f"Expected a network that save() wrote, but {path} cannot be read."
            ) from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"Expected a network that save() wrote, but {path} holds other data.")
        if content["version"] > _VERSION:
            raise ValueError(
                f"Expected a network of version {_VERSION} or before, but {path} has version "
                f"{content['version']}. Install a later pyro_rm."
            )
        if content["class"] != cls.__name__:
            raise ValueError(
                f"Expected a saved {cls.__name__}, but {path} holds a {content['class']}. Say "
                f"{content['class']}.load(path)."
            )
        network = cls(**{k: _unpacked(v) for k, v in content["parameters"].items()})
        for name, value in content["learned"].items():
            setattr(network, name, _unpacked(value))
        sites = len(network.feature_names_in_)
        pairs = torch.triu_indices(sites, sites, 1).T
        some = torch.as_tensor(network.edges_)
        network.energy_ = _energy(content, "energy_", some, network._sites)
        network.filler_ = _energy(content, "filler_", pairs, network._sites)
        return network


def _energy(content: dict[str, Any], name: str, edges: Tensor, sites: Sites | None) -> Any:
    if name not in content["energies"]:
        return None
    num_sites, categories, states = content["space"]
    space, parameters = StateSpace(num_sites, categories, states=states), content["energies"][name]
    energy = PairwiseModel.on(space, edges, parameters[0], sites).energy.requires_grad_(False)
    for own, saved in zip(energy.parameters(), parameters, strict=True):
        own.copy_(saved)
    return energy


def _packed(value: Any, name: str) -> Any:
    """A value as plain data: as it is, or a pair of what it is and its content."""
    if type(value) in _PLAIN or isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return ("array", torch.from_numpy(value))
    if isinstance(value, np.ndarray):
        kind = "objects" if value.dtype == object else "text"
        return (kind, [_packed(v, name) for v in value.tolist()])
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return (kind, [_packed(v, name) for v in value])
    if isinstance(value, Mapping):
        return ("mapping", [_packed(list(value), name), _packed(list(value.values()), name)])
    if isinstance(value, torch.dtype | torch.device):
        return (type(value).__name__, str(value).removeprefix("torch."))
    if isinstance(value, Selection):
        return ("selection", dataclasses.asdict(value))
    if isinstance(value, Objective) and type(value).__module__ == Objective.__module__:
        return ("objective", type(value).__name__)
    if isinstance(value, nx.Graph):
        nodes, edges = list(value.nodes), list(value.edges)
        return ("graph", [_packed(nodes, name), _packed(edges, name)])
    raise TypeError(
        f"Expected {name} as a number, text or an object of this package to save, but got "
        f"{value!r}. Set it to one, as by set_params."
    )


def _unpacked(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    kind, content = value
    if kind == "array":
        return content.numpy()
    if kind in ("list", "tuple", "objects", "text"):
        items = [_unpacked(v) for v in content]
        if kind == "objects":
            return np.array([*items, None], dtype=object)[:-1]  # names may be tuples
        return np.array(items) if kind == "text" else items if kind == "list" else tuple(items)
    if kind == "mapping":
        return dict(zip(*map(_unpacked, content), strict=True))
    if kind == "dtype":
        return getattr(torch, content)
    if kind == "device":
        return torch.device(content)
    if kind == "selection":
        return Selection(**content)
    if kind == "objective":
        return as_objective(_snake(content))
    graph = nx.Graph()
    graph.add_nodes_from(_unpacked(content[0]))
    graph.add_edges_from(_unpacked(content[1]))
    return graph


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
