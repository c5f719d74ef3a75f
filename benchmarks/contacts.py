"""Contacts from alignments: precision, seconds and the conventions that matter.

    python benchmarks/contacts.py --data ../shared/data/protein/1atzA.npz

The ridge is 0.2 (L - 1), sequences of 80 % identity count as one, strengths are corrected by the
average product: published conventions, none of them chosen on the contact map. Prints the
precision of the top L/5, L/2 and L pairs with gaps in the norm of a coupling and without them,
beside mutual information with the same correction.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from pyro_rm.datasets import read_alignment
from pyro_rm.datasets.alignments import AMINO_ACIDS
from pyro_rm.networks import (
    PottsNetwork,
    average_product_correction,
    contact_precision,
    coupling_norms,
    sequence_weights,
)


def mutual_information(codes: torch.Tensor, weights: torch.Tensor, k: int) -> torch.Tensor:
    """Weighted mutual information of each pair of positions, in nats."""
    x = torch.nn.functional.one_hot(codes.long(), k).float()
    size = codes.shape[1]
    flat = x.flatten(1)
    joint = (flat.mT @ (flat * (weights / weights.sum())[:, None])).view(size, k, size, k)
    single = torch.einsum("iaia->ia", joint)
    product = single[:, :, None, None] * single
    return (joint * ((joint + 1e-12) / (product + 1e-12)).log()).sum((1, 3))


def main() -> None:
    """Fit a family and print its row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="alignment: .a2m, .fasta or .npz")
    parser.add_argument("--identity", type=float, default=0.8)
    parser.add_argument("--out", type=Path, default=Path("out"))
    arguments = parser.parse_args()
    alignment = read_alignment(arguments.data)
    size = alignment.codes.shape[1]
    clock, processor = time.perf_counter(), time.process_time()
    network = PottsNetwork(num_categories=len(AMINO_ACIDS), identity=arguments.identity)
    network.fit(alignment.codes)
    row = {
        "family": arguments.data.stem, "num_sequences": len(alignment.codes),
        "effective_sequences": network.effective_size_, "num_positions": size,
        "seconds": time.perf_counter() - clock,
        "processor_seconds": time.process_time() - processor,
    }  # fmt: skip
    if alignment.distances is not None:
        couplings = torch.from_numpy(network.couplings_)
        weights = sequence_weights(alignment.codes, identity=arguments.identity)
        strengths = {
            "gaps_left_out": coupling_norms(couplings, skip_first=True),
            "gaps_included": coupling_norms(couplings),
            "mutual_information": mutual_information(alignment.codes, weights, len(AMINO_ACIDS)),
        }
        for name, raw in strengths.items():
            curve = contact_precision(average_product_correction(raw), alignment.distances)
            row[name] = [round(float(curve[n - 1]), 3) for n in (size // 5, size // 2, size)]
    print(json.dumps(row, indent=2))
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"contacts_{row['family']}.json"
    path.write_text(json.dumps(row, indent=2))


if __name__ == "__main__":
    main()
