"""Table 2 of the RMwGGIS paper: time and memory of a training step against the number of bits.

The paper's MLP on 256 Gray-coded data: ratio matching over all neighbors, the same a bounded
number of neighbors at a time, and the default loss with 10 neighbors. Beside them stands a plain
forward and backward pass of the batch, which no loss can be below, and the Gray coder. A cell is
measured in a process of its own: seconds a step, and what a step has allocated at most at one
moment, beyond weights, their gradients, the optimizer's state and the batch. Steps whose
activations would not fit are not run. Prints Markdown and saves a plot.
"""

import argparse
import json
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

import pyro_rm
from pyro_rm.datasets import synthetic_density
from pyro_rm.energies import MLPEnergy

peak_bytes = runpy.run_path(str(Path(__file__).with_name("peak_memory.py")))["peak_bytes"]
WIDTH, BATCH = 256, 256
Loss = Callable[[MLPEnergy, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "forward and backward": lambda energy, x: energy(x).mean(),
    "default, 10 neighbors": lambda energy, x: pyro_rm.estimate(energy, x).mean(),
    "full, in chunks": lambda energy, x: pyro_rm.estimate(
        energy,
        x,
        objective="ratio_matching",
        num_neighbors="all",
        max_neighbors_per_chunk=2**14,
    ).mean(),
    "full": lambda energy, x: pyro_rm.estimate(
        energy, x, objective="ratio_matching", num_neighbors="all"
    ).mean(),
}
CODER = "Gray coder"


def gigabytes(num_bits: int) -> float:
    """About what the activations of all neighbors take, forward and backward."""
    return 8 * 4 * WIDTH * BATCH * (num_bits + 1) / 2**30


def measure(name: str, num_bits: int, seconds: float) -> dict[str, float]:
    """Seconds a step, and the most that it has allocated in megabytes."""
    torch.manual_seed(0)
    data = synthetic_density("2spirals", num_bits=num_bits)
    points = data.density.sample(BATCH)
    x = data.code.encode(points)
    energy = MLPEnergy(num_bits, (WIDTH, WIDTH, WIDTH))
    optimizer = torch.optim.Adam(energy.parameters(), lr=1e-4)

    def step() -> None:
        if name == CODER:
            data.code.encode(points)
            return
        optimizer.zero_grad(set_to_none=False)
        LOSSES[name](energy, x).backward()
        optimizer.step()

    energy(x).mean().backward()
    optimizer.step()  # its state is not the step's
    step()
    start, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - start < seconds:
        step()
        count += 1
    each = (time.perf_counter() - start) / count
    return {"seconds": each, "megabytes": peak_bytes(step) / 1e6}


def save_plot(rows: list[dict[str, float | str]], file: Path) -> None:
    """Time and memory against the number of bits."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, unit in zip(axes, ("seconds", "megabytes"), strict=True):
        for name in (*LOSSES, CODER):
            least = 1.0 if unit == "megabytes" else 0.0  # less is lost in the allocator's noise
            cells = [(r["bits"], max(least, r[unit])) for r in rows if r["name"] == name]
            axis.plot(*zip(*cells, strict=True), "o-", label=name)
        sizes = sorted({int(row["bits"]) for row in rows})
        axis.set(xscale="log", yscale="log", xlabel="bits", ylabel=f"{unit} a step")
        axis.set_xticks(sizes, list(map(str, sizes)))
        axis.minorticks_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    figure.savefig(file, dpi=120)


def table(rows: list[dict[str, float | str]]) -> str:
    """Milliseconds and megabytes as Markdown."""
    sizes = sorted({int(row["bits"]) for row in rows})
    lines = [f"| ms / MB a step | {' | '.join(map(str, sizes))} |", "|---" * (len(sizes) + 1) + "|"]
    for name in (*LOSSES, CODER):
        cells = {row["bits"]: row for row in rows if row["name"] == name}
        texts = [
            f"{1000 * cells[k]['seconds']:.1f} / {cells[k]['megabytes']:.0f}" if k in cells else "—"
            for k in sizes
        ]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure every cell, or the one that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bits", type=int, nargs="+", default=[32, 64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--seconds", type=float, default=2.0, help="of measurement a cell")
    parser.add_argument("--gigabytes", type=float, default=8.0, help="bound on activations")
    parser.add_argument("--out", type=Path, default=Path("out/step_cost"))
    parser.add_argument("--cell", choices=[*LOSSES, CODER], help="print one cell as JSON")
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(measure(arguments.cell, arguments.bits[0], arguments.seconds)))
        return
    rows: list[dict[str, float | str]] = []
    cells = [(name, bits) for bits in arguments.bits for name in (*LOSSES, CODER)]
    for name, bits in tqdm(cells):
        if name == "full" and gigabytes(bits) > arguments.gigabytes:
            continue
        options = ["--cell", name, "--bits", str(bits), "--seconds", str(arguments.seconds)]
        command = [sys.executable, __file__, *options]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append({"name": name, "bits": bits, **json.loads(output)})
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(rows, indent=2))
    save_plot(rows, arguments.out / "step_cost.png")
    print(table(rows))


if __name__ == "__main__":
    main()
