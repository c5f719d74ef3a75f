"""Most memory that training on much data takes, each way in a process of its own.

    OMP_NUM_THREADS=1 python -m benchmarks data_memory

A million rows of 100 bits, a byte each, in memory and mapped from a file; 100 000 rows of as many
columns with ten million ones, a sparse matrix of SciPy's. Batches are converted as they are used.
What the same training takes on few rows is subtracted.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import pyro_rm
from pyro_rm import infer
from pyro_rm.energies import IsingEnergy, SparseIsingEnergy

WAYS = ("in memory", "mapped file", "sparse matrix")


def megabytes() -> float:
    """The most that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def dense(num_rows: int, mode: str | None, folder: Path) -> float:
    """Train on bytes, written to a file a part at a time; returns megabytes of data."""
    path = folder / "bits.npy"
    bits = np.lib.format.open_memmap(path, "w+", np.uint8, (num_rows, 100))
    random = np.random.default_rng(0)
    for start in range(0, num_rows, 10_000):
        bits[start : start + 10_000] = random.integers(0, 2, bits[start : start + 10_000].shape)
    del bits
    x = torch.from_numpy(np.load(path, mmap_mode=mode))
    energy = IsingEnergy(100)
    train(lambda batch: pyro_rm.estimate(energy, batch.float()), energy, x, 1000)
    return x.numel() / 2**20


def sparse(num_rows: int) -> float:
    """Train on rows of a sparse matrix, on a ring of columns; returns megabytes of data."""
    from scipy.sparse import csr_matrix

    random = np.random.default_rng(0)
    places = random.integers(0, num_rows, (num_rows, 100), dtype=np.int32)
    starts = np.arange(0, places.size + 1, 100, dtype=np.int32)
    ones = np.ones(places.size, dtype=np.uint8)
    matrix = csr_matrix((ones, places.ravel(), starts), shape=(num_rows, num_rows))
    columns = torch.arange(num_rows)
    energy = SparseIsingEnergy(num_rows, torch.stack([columns, (columns + 1) % num_rows], 1))

    def batch(step: int) -> Tensor:
        rows = matrix[random.integers(0, num_rows, 128)].toarray()
        return torch.from_numpy((rows > 0).astype(np.float32))

    train(lambda x: pyro_rm.estimate(energy, x, num_neighbors="all"), energy, batch, None)
    return (matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes) / 2**20


def train(
    loss: Callable[[Tensor], Tensor],
    energy: torch.nn.Module,
    data: Tensor | Callable[[int], Tensor],
    batch_size: int | None,
) -> None:
    """Some steps."""
    optimizer = torch.optim.Adam(energy.parameters(), 1e-2)
    infer.train(
        lambda x: loss(x).mean(),
        optimizer,
        data,
        num_steps=20,
        batch_size=batch_size,
        progress=False,
    )


def child(way: str, num_rows: int) -> None:
    """Train once; print megabytes of the data and of the process."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if way == "sparse matrix":
            size = sparse(num_rows)
        else:
            size = dense(num_rows, "r+" if way == "mapped file" else None, Path(folder))
        print(size, megabytes())


def measure(way: str, num_rows: int) -> tuple[float, float]:
    """Megabytes of the data and of a process."""
    command = [sys.executable, __file__, "--child", way, str(num_rows)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    size, peak = map(float, printed.split())
    return size, peak


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true", help="few rows, for tests")
    options = parser.parse_args()
    if options.child is not None:
        child(options.child[0], int(options.child[1]))
        return
    print(
        "| data | MB | process, MB | beyond that of 2 000 rows, MB | ratio |\n|---|---|---|---|---|"
    )
    for way in WAYS:
        rows = 10**5 if way == "sparse matrix" else 10**6
        _, least = measure(way, 2000)
        size, peak = measure(way, 3000 if options.smoke else rows)
        beyond = peak - least
        cells = (f"{size:.0f}", f"{peak:.0f}", f"{beyond:.0f}", f"{beyond / size:.2f}")
        print(f"| {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
