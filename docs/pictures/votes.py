"""The network of the tutorial on votes, and its couplings with their intervals."""

import matplotlib.pyplot as plt
import networkx as nx
from _page import run_until
from _style import COLORS, out


def main() -> None:
    """Run the page until the network is fitted, then draw."""
    names = run_until("tutorials/votes.md", "graph")
    graph: nx.Graph = names["graph"]
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    positions = {}
    for bloc, center in (("L", -1.5), ("R", 1.5)):
        ring = nx.circular_layout([n for n in names["names"] if n.startswith(bloc)])
        turn = 1 if bloc == "L" else -1  # the two that are joined face each other
        positions |= {n: (center + turn * xy[0], xy[1]) for n, xy in ring.items()}
    negative = [edge for edge in graph.edges if graph.edges[edge]["weight"] < 0]
    positive = [edge for edge in graph.edges if edge not in negative]
    colors = [COLORS[0] if name.startswith("L") else COLORS[4] for name in graph]
    nx.draw_networkx_nodes(graph, positions, node_color=colors, node_size=320, ax=axes[0])
    nx.draw_networkx_labels(graph, positions, font_size=8, font_color="white", ax=axes[0])
    nx.draw_networkx_edges(graph, positions, edgelist=positive, width=2, ax=axes[0])
    nx.draw_networkx_edges(
        graph, positions, negative, width=2, style="dashed", edge_color=COLORS[1], ax=axes[0]
    )
    axes[0].set_axis_off()
    edges = sorted(graph.edges(data=True), key=lambda edge: edge[2]["weight"])
    for place, (_, _, edge) in enumerate(edges):
        axes[1].plot([edge["lower"], edge["upper"]], [place, place], color=COLORS[0])
        axes[1].plot(edge["weight"], place, "o", color=COLORS[0])
    for true in (-1, 1):
        axes[1].axvline(true, color="0.8", lw=3, zorder=0)
    labels = [f"{a} - {b}" for a, b, _ in edges]
    axes[1].set_yticks(range(len(edges)), labels, fontsize=7)
    axes[1].set(xlabel="coupling")
    figure.savefig(out() / "votes.png")


if __name__ == "__main__":
    main()
