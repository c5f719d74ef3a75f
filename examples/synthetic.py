"""Fit an energy to a Gray-coded density of the plane, by one method or all, and judge it.

``python examples/synthetic.py --dataset 2spirals --bits 32 --method pyro_rm --out DIR``
writes ``DIR/2spirals-32-pyro_rm-0/results.json`` and a figure. ``all`` stands for every
data set or method. Cells that are done are not repeated; ``--resume`` continues unfinished
ones, to the same numbers as an unbroken run.
"""

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pyro
from torch import nn

from pyro_rm.datasets import GrayCodedDensity, synthetic_density, synthetic_names
from pyro_rm.energies import MLPEnergy
from pyro_rm.evaluation import read_off
from synthetic_densities.figures import save_figure
from synthetic_densities.methods import METHODS, Stopwatch, fit, steps_within
from synthetic_densities.plane_likelihood import likelihoods
from synthetic_densities.sample_scores import draw, floors, scores

WIDTHS = (256, 256, 256)


def run(cell: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Fit and judge one cell of the table; None if it was interrupted."""
    pyro.set_rng_seed(cell["seed"])
    folder = folder_of(cell, arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    if not arguments.resume:
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    data = synthetic_density(cell["dataset"], num_bits=cell["bits"])
    method = METHODS[cell["method"]]
    method = replace(method, rate=arguments.rate or method.rate, uniform=arguments.uniform)

    levels = method.levels(cell["bits"])

    def make() -> MLPEnergy:
        widths = (16, 16, 16) if arguments.smoke else WIDTHS
        return MLPEnergy(cell["bits"], widths, num_levels=len(levels) if levels else None)

    options = {"method": method, "half_precision": arguments.bfloat16}
    num_steps = arguments.steps or (20 if arguments.smoke else method.num_steps)
    if arguments.seconds:
        num_steps = steps_within(arguments.seconds, make, data, **options)
        pyro.set_rng_seed(cell["seed"])
    energy, watch = make(), Stopwatch()
    steps = fit(
        energy,
        data,
        num_steps=num_steps,
        watch=watch,
        **options,
        checkpoint=folder / "checkpoint.pt",
        checkpoint_every=5 if arguments.smoke else 1000,
    )
    if steps < num_steps:
        return None
    results = {
        **cell,
        "steps": steps,
        "rate": method.rate,
        "uniform": method.uniform,
        "bfloat16": arguments.bfloat16,
    }
    results |= {"seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds}
    results |= judge(energy, data, cell, arguments)
    (folder / "results.json").write_text(json.dumps(results, indent=2))
    return results


def judge(
    energy: nn.Module,
    data: GrayCodedDensity,
    cell: dict[str, Any],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Likelihood, discrepancies with their floors, and the figure."""
    method = METHODS[cell["method"]]
    kappa, levels = method.kappa, method.levels(cell["bits"])
    energies = likelihoods(energy, data)
    learned = energies.likelihood()
    result = {
        "nll": learned.nll,
        "nll_error": learned.error,
        "entropy": data.entropy(),
        "log_partition": learned.log_partition,
        "kappa": kappa,
        "nll_restored": energies.likelihood(kappa).nll if kappa else None,
    }
    if levels is not None:
        found = read_off(energy, levels=levels, num_draws=2**16)
        result["read_off_error"] = float(found.log_partition) - learned.log_partition
    if arguments.likelihood_only:
        return result
    num_samples, num_pairs = (200, 5) if arguments.smoke else (4000, 200)
    samples = draw(energy, num_samples)
    result |= scores(samples, data)
    file = arguments.out / "floors" / f"{cell['dataset']}-{cell['bits']}.json"
    result |= floors(data, num_samples, num_pairs, file)
    title = f"{cell['dataset']}, {cell['bits']} bits, {cell['method']}: NLL {learned.nll:.3f}"
    save_figure(energy, data, samples, title, folder_of(cell, arguments.out) / "densities.png")
    return result


def folder_of(cell: dict[str, Any], out: Path) -> Path:
    """Where a cell is kept."""
    return out / "-".join(str(value) for value in cell.values())


def line(result: dict[str, Any]) -> str:
    """A result as one line."""
    text = (
        "{dataset} {bits} bits {method} seed {seed}: NLL {nll:.4f} ± {nll_error:.4f} "
        "(entropy {entropy:.4f}), {steps} steps in {seconds:.0f} s "
        "({cpu_seconds:.0f} s of the processor)"
    )
    if "read_off_error" in result:
        text += ", read-off {read_off_error:+.4f} from log Z"
    if "mmd_linear" in result:
        text += (
            ", exponential MMD {mmd_exponential:.2e} (floor {mmd_exponential_floor:.2e}), "
            "linear {mmd_linear:.2e} (floor {mmd_linear_floor:.2e})"
        )
    return text.format(**result)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", choices=[*synthetic_names(), "all"], default="2spirals")
    parser.add_argument("--method", choices=[*METHODS, "all"], default="pyro_rm")
    parser.add_argument("--bits", type=int, nargs="+", default=[32], help="even")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, help="instead of the method's own number")
    parser.add_argument("--seconds", type=float, help="as many steps as the processor does in it")
    parser.add_argument("--rate", type=float, help="learning rate instead of the method's own")
    parser.add_argument("--uniform", type=float, default=0.0, help="share of uniform data")
    parser.add_argument("--likelihood-only", action="store_true", help="draw no samples")
    parser.add_argument("--out", type=Path, default=Path("out/synthetic"), help="folder of results")
    parser.add_argument("--resume", action="store_true", help="continue from checkpoints")
    parser.add_argument("--bfloat16", action="store_true", help="compute hidden layers in it")
    parser.add_argument("--smoke", action="store_true", help="a few steps only, for tests")
    return parser.parse_args()


def main() -> None:
    """Run every cell that is asked for."""
    arguments = parsed()
    names = synthetic_names() if arguments.dataset == "all" else [arguments.dataset]
    methods = list(METHODS) if arguments.method == "all" else [arguments.method]
    for seed, bits, method, name in product(arguments.seed, arguments.bits, methods, names):
        cell = {"dataset": name, "bits": bits, "method": method, "seed": seed}
        done = folder_of(cell, arguments.out) / "results.json"
        result = json.loads(done.read_text()) if done.exists() else run(cell, arguments)
        if result is None:
            print("Interrupted; the same command with --resume continues.")
            return
        print(line(result))


if __name__ == "__main__":
    main()
