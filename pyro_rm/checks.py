"""Checks of arguments that many functions share; their errors tell the way out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

import networkx as nx
import torch
from torch import Tensor

T = TypeVar("T")


def check_counts(least: int = 1, /, **counts: Any) -> None:
    """Refuse counts that are not integers, or too small.

    :param least: The smallest that makes sense.
    :param counts: Options by name.
    :raises TypeError: If one is not an integer.
    :raises ValueError: If one is below ``least``.

    Example:

        >>> check_counts(num_steps=3, num_chains=1)
        >>> check_counts(0, num_steps=-1)
        Traceback (most recent call last):
            ...
        ValueError: Expected num_steps to be at least 0, but got -1.
    """
    for name, count in counts.items():
        if not isinstance(count, Integral):
            raise TypeError(f"Expected {name} to be an integer, but got {count!r}.")
        if count < least:
            raise ValueError(f"Expected {name} to be at least {least}, but got {count}.")


def check_real(value: Any, what: str = "data") -> None:
    """Refuse what is not a tensor, or holds complex numbers, saying how to convert it.

    :param value: What was given.
    :param what: What it should be.
    :raises TypeError: If it is not a tensor of real numbers.

    Example:

        >>> check_real([0.0, 1.0])
        Traceback (most recent call last):
            ...
        TypeError: Expected data as a tensor of real numbers, but got list. Say torch.as_tensor(x).
    """
    sparse = isinstance(value, Tensor) and value.layout != torch.strided
    if isinstance(value, Tensor) and not value.dtype.is_complex and not sparse:
        return
    if isinstance(value, Tensor):
        kind = value.dtype if value.dtype.is_complex else "a sparse one"
        hint = " Say x.to_dense()." if sparse else ""
    else:
        kind = type(value).__name__
        hint = " Say torch.as_tensor(x)."
        if hasattr(value, "to_numpy"):  # pandas, polars
            hint = " Say torch.as_tensor(frame.to_numpy())."
        elif hasattr(value, "toarray"):  # scipy
            hint = " Say torch.as_tensor(matrix.toarray())."
        elif hasattr(value, "mask"):  # NumPy, whose blanks as_tensor would fill
            hint = " Say torch.as_tensor(x.astype(float).filled(numpy.nan)), and which are active."
    raise TypeError(f"Expected {what} as a tensor of real numbers, but got {kind}.{hint}")


def check_sizes(num_nodes: Any, most: int | None = None) -> None:
    """Refuse what are not numbers of nodes.

    :param num_nodes: What was given.
    :param most: The largest that fits.
    :raises TypeError: If it is not a tensor of integers.
    :raises ValueError: If one is negative or too large.

    Example:

        >>> import torch
        >>> check_sizes(torch.tensor([2, 5]), 4)
        Traceback (most recent call last):
            ...
        ValueError: Expected at most 4 nodes, but got 5.
    """
    check_real(num_nodes, "numbers of nodes")
    if num_nodes.is_floating_point() or num_nodes.dtype == torch.bool:
        raise TypeError(f"Expected numbers of nodes as integers, but got {num_nodes.dtype}.")
    if num_nodes.numel() > 0 and num_nodes.min() < 0:
        raise ValueError(f"Expected positive numbers of nodes, but got {int(num_nodes.min())}.")
    if most is not None and num_nodes.numel() > 0 and num_nodes.max() > most:
        raise ValueError(f"Expected at most {most} nodes, but got {int(num_nodes.max())}.")


def check_active(active: Any, shape: torch.Size) -> None:
    """Refuse masks of sites that do not fit.

    :param active: What was given.
    :param shape: Shape of the data, ``batch_shape + (D,)``.
    :raises TypeError: If it is not a tensor of booleans.
    :raises ValueError: If it does not broadcast with the data.

    Example:

        >>> check_active(torch.ones(3), torch.Size([3]))
        Traceback (most recent call last):
            ...
        TypeError: Expected active as a tensor of booleans, but got torch.float32.
    """
    if not isinstance(active, Tensor) or active.dtype != torch.bool:
        kind = active.dtype if isinstance(active, Tensor) else type(active).__name__
        raise TypeError(f"Expected active as a tensor of booleans, but got {kind}.")
    try:
        fits = torch.broadcast_shapes(shape, active.shape)[-1:] == shape[-1:]
    except RuntimeError:
        fits = False
    if not fits:
        raise ValueError(
            f"Expected active to broadcast to batch_shape + (D,) = {tuple(shape)}, but got "
            f"{tuple(active.shape)}: True where a site may change."
        )


def look_up(given: str | T, kind: type[T], built_in: Mapping[str, type[T]]) -> T:
    """Make a built-in object from its name; objects pass through.

    :param given: A name, or an object.
    :param kind: What the object must be.
    :param built_in: Classes by name, which need no arguments.
    :returns: The object.
    :raises ValueError: If the name is unknown.
    :raises TypeError: If it is neither a name nor such an object.

    Example:

        >>> look_up("list", list, {"list": list})
        []
    """
    if isinstance(given, kind):
        return given
    what = kind.__name__.lower()
    if not isinstance(given, str):
        raise TypeError(
            f"Expected the name of a built-in {what} or a {kind.__name__}, "
            f"but got {type(given).__name__}."
        )
    if given not in built_in:
        raise ValueError(f"Expected {what} to be one of {sorted(built_in)}, but got {given!r}.")
    return built_in[given]()


def existing_file(path: str | Path, what: str) -> Path:
    """Refuse paths that lead to no file.

    :param path: The path.
    :param what: What should be there.
    :returns: The path.
    :raises FileNotFoundError: If there is nothing.
    :raises ValueError: If there is a folder.

    Example:

        >>> existing_file("nowhere/answers.csv", "a table")
        Traceback (most recent call last):
            ...
        FileNotFoundError: Expected a table at nowhere/answers.csv, but there is no such file.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"Expected {what}, but {path} is a folder. Give the path of a file in it.")
    if not path.exists():
        raise FileNotFoundError(f"Expected {what} at {path}, but there is no such file.")
    return path


def check_graph(graph: Any, name: str = "the graph", *, directed: bool = False) -> None:
    """Refuse what is not a simple graph.

    :param graph: What was given.
    :param name: What messages call it.
    :param directed: Whether it must be directed, or must not.
    :raises TypeError: If it is not a graph, is a multigraph, or of the other kind.
    :raises ValueError: If it has self-loops.

    Example:

        >>> check_graph(nx.path_graph(3))
        >>> check_graph([(0, 1)])
        Traceback (most recent call last):
            ...
        TypeError: Expected the graph as a networkx.Graph, but got list. Say nx.Graph(edges).
    """
    if not isinstance(graph, nx.Graph):
        raise TypeError(
            f"Expected {name} as a networkx.Graph, but got {type(graph).__name__}. Say "
            "nx.Graph(edges)."
        )
    if graph.is_multigraph():
        raise TypeError(
            f"Expected graphs without parallel edges, but {name} is a {type(graph).__name__}. "
            "Merge them by nx.Graph(graph) or nx.DiGraph(graph)."
        )
    if graph.is_directed() != directed:
        kinds = ("a directed", "an undirected") if directed else ("an undirected", "a directed")
        raise TypeError(f"Expected {kinds[0]} graph, but {name} is {kinds[1]} one.")
    if nx.number_of_selfloops(graph) > 0:
        raise ValueError(
            f"Expected graphs without self-loops, but {name} has some. Remove them by "
            "graph.remove_edges_from(list(nx.selfloop_edges(graph)))."
        )


def check_graphs(graphs: Any, *, directed: bool = False) -> None:
    """Refuse what is not a list of simple graphs with nodes, at least one.

    :param graphs: What was given.
    :param directed: Whether they must be directed, or must not.
    :raises TypeError: If it is not a list, or as :func:`check_graph`.
    :raises ValueError: If there is no graph, or one has no nodes, or as :func:`check_graph`.

    Example:

        >>> check_graphs([])
        Traceback (most recent call last):
            ...
        ValueError: Expected at least one graph, but got none.
    """
    if not isinstance(graphs, Sequence) or isinstance(graphs, str):
        raise TypeError(f"Expected a list of graphs, but got {type(graphs).__name__}.")
    if len(graphs) == 0:
        raise ValueError("Expected at least one graph, but got none.")
    for index, graph in enumerate(graphs):
        check_graph(graph, f"graph {index}", directed=directed)
        if len(graph) == 0:
            raise ValueError(f"Expected graphs with at least one node, but graph {index} is empty.")


def physical_memory() -> float:
    """Bytes of memory that this machine has; infinite where it does not say.

    Example:

        >>> physical_memory() > 1e8
        True
    """
    try:
        size = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return float("inf")
    return size if size > 0 else float("inf")


def advise_on_memory(error: RuntimeError, advice: str) -> None:
    """Raise an error of torch about memory again, saying what needs less of it.

    :param error: What was raised; others are left to the caller.
    :param advice: The option to set.

    Example:

        >>> advise_on_memory(RuntimeError("shapes differ"), "Set chunk_size.")
    """
    known = isinstance(error, torch.cuda.OutOfMemoryError)
    if known or "can't allocate memory" in str(error):
        raise type(error)(f"{error} {advice}") from error
