"""Runs that are killed, interrupted, or whose files fail: what is left, and whether it resumes.

* ``kills``: a run is killed at random times and begun again until it is done; its parameters must
  be those of a run that nobody touched, to the last bit. In one process, and in two.
  Kills before the first checkpoint, while Python starts, are counted apart.
* ``interrupts``: Ctrl-C at each call of the loss in turn; the next call of ``train`` must end as
  the untouched run.
* ``writers``: two runs write the same checkpoint at once: every read must find a whole file.
* ``files``: full disks, truncated files and pickled code: each must be refused in words, and leave
  the last good checkpoint.

Prints Markdown.
"""

import argparse
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import pyro_rm
from pyro_rm.energies import MLPEnergy
from pyro_rm.infer import train
from pyro_rm.networks import IsingNetwork

NUM_STEPS = 400


class Loss(nn.Module):
    """The mean estimate of a batch; Ctrl-C at one of its calls, if told."""

    def __init__(self, energy: nn.Module, interrupt_at: int | None = None) -> None:
        super().__init__()
        self.energy, self.left = energy, interrupt_at

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The loss."""
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
        return pyro_rm.estimate(self.energy, x, num_neighbors=3).mean()


def run(path: Path, num_steps: int = NUM_STEPS, interrupt_at: int | None = None) -> Any:
    """Train, going on from a checkpoint if there is one; the parameters at the end."""
    torch.manual_seed(0)
    energy = MLPEnergy(12, (16, 16))
    data = torch.bernoulli(torch.full((256, 12), 0.3))
    loss: nn.Module = Loss(energy, interrupt_at)
    if distributed.is_initialized():
        loss = DistributedDataParallel(loss)
        torch.manual_seed(1 + distributed.get_rank())
    result = train(
        loss, torch.optim.Adam(energy.parameters(), lr=1e-3), data, num_steps=num_steps,
        batch_size=32, average=0.99, checkpoint=path, checkpoint_every=10, progress=False,
    )  # fmt: skip
    return result, torch.cat([p.detach().flatten() for p in energy.parameters()])


def child(path: Path) -> None:
    """A run in a process of its own, or one of two."""
    if "RANK" in os.environ:
        distributed.init_process_group("gloo")
    _, parameters = run(path)
    if int(os.environ.get("RANK", 0)) == 0:
        torch.save(parameters, path.with_suffix(".done"))


def started(path: Path, num_processes: int) -> "subprocess.Popen[bytes]":
    """The child, or two of them, in a process group of their own."""
    command = [sys.executable]
    if num_processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [__file__, "--child", str(path)]
    with path.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(command, start_new_session=True, stdout=log, stderr=log)


def kills(folder: Path, num_kills: int, num_processes: int, seed: int) -> Counter[str]:
    """Kill runs at random times until there were so many kills."""
    chance, counts = random.Random(seed), Counter[str]()
    reference = folder / f"reference{num_processes}.pt"
    begun = time.monotonic()
    started(reference, num_processes).wait()
    seconds = time.monotonic() - begun
    wanted = torch.load(reference.with_suffix(".done"), weights_only=True)
    while counts["kills"] < num_kills:
        path = folder / f"run{num_processes}_{counts['runs']}.pt"
        counts["runs"] += 1
        while not path.with_suffix(".done").exists():
            process = started(path, num_processes)
            try:
                process.wait(timeout=chance.uniform(0.3, 1.1) * seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                subprocess.run(["pkill", "-KILL", "-f", str(path)], check=False)  # its workers
                counts["kills" if path.exists() else "kills before a checkpoint"] += 1
            else:
                if process.returncode:
                    counts["failed"] += 1
                    print(path.with_suffix(".log").read_text()[-2000:], file=sys.stderr)
        found = torch.load(path.with_suffix(".done"), weights_only=True)
        counts["equal to the last bit"] += torch.equal(found, wanted)
    return counts


def interrupts(folder: Path, num_steps: int = 60) -> Counter[str]:
    """Ctrl-C in each evaluation."""
    counts = Counter[str]()
    _, wanted = run(folder / "untouched.pt", num_steps)
    for number in range(1, num_steps + 1):
        path = folder / f"interrupted{number}.pt"
        stopped, _ = run(path, num_steps, interrupt_at=number)
        counts["interrupts"] += 1
        counts["said so"] += (stopped.stopped_by == "interrupt") == (number < num_steps)
        _, parameters = run(path, num_steps)
        counts["equal to the last bit"] += torch.equal(parameters, wanted)
    return counts


def writers(folder: Path, num_pairs: int) -> Counter[str]:
    """Two runs at a time that write the same checkpoint, while it is read again and again."""
    counts, reference = Counter[str](), folder / "alone.pt"
    started(reference, 1).wait()
    wanted = torch.load(reference.with_suffix(".done"), weights_only=True)
    for number in range(num_pairs):
        path = folder / f"shared{number}.pt"
        both = [started(path, 1), started(path, 1)]
        while any(process.poll() is None for process in both):
            if path.exists():
                counts["reads"] += 1
                counts["whole"] += "state" in torch.load(path, weights_only=True)
        counts["runs"] += 2
        counts["finished"] += sum(process.returncode == 0 for process in both)
        found = torch.load(path.with_suffix(".done"), weights_only=True)
        counts["pairs equal to the last bit"] += torch.equal(found, wanted)
    counts["files left over"] += len(list(folder.glob(".shared*")))
    return counts


def in_words(counts: Counter[str], function: Any, *arguments: Any) -> None:
    """Count whether a call is refused by an error of files or values."""
    counts["tried"] += 1
    try:
        function(*arguments)
    except (OSError, ValueError):
        counts["refused in words"] += 1
    except Exception as error:
        counts[f"other: {type(error).__name__}"] += 1
    else:
        counts["taken"] += 1


def full_disk(folder: Path) -> Counter[str]:
    """No file may grow beyond some bytes: the checkpoint before must stay and be resumed from."""
    counts, path = Counter[str](), folder / "full.pt"
    run(path, 20)
    good = path.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for share in (0.0, 0.3, 0.9):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * len(good)), before[1]))
        try:
            in_words(counts, run, path, 40)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        counts["last checkpoint kept"] += path.read_bytes() == good
    signal.signal(signal.SIGXFSZ, ignored)
    counts["files left over"] += len(list(folder.glob("full*"))) - 1
    return counts


class Code:
    """What a hostile file holds: code that runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch hostile_code_ran",)


def broken_files(folder: Path, seed: int) -> Counter[str]:
    """Truncated, changed and hostile files, of checkpoints and networks."""
    chance, counts = random.Random(seed), Counter[str]()
    checkpoint, network = folder / "checkpoint.pt", folder / "network.pt"
    run(checkpoint, 20)
    torch.manual_seed(0)
    IsingNetwork(selection=None).fit(torch.bernoulli(torch.full((200, 4), 0.4))).save(network)
    for path, read in (
        (checkpoint, lambda p: run(p, 30)), (network, IsingNetwork.load)
    ):  # fmt: skip
        good, other = path.read_bytes(), folder / "other.pt"
        for _ in range(40):
            other.write_bytes(good[: chance.randrange(len(good))])
            in_words(counts, read, other)
        for payload in (pickle.dumps(Code(), protocol=2), b"", b"\0" * 100, b"not a file"):
            other.write_bytes(payload)
            in_words(counts, read, other)
        torch.save({"format": Code()}, other)
        in_words(counts, read, other)
    counts["hostile code ran"] += Path("hostile_code_ran").exists()
    return counts


def show(name: str, counts: Counter[str]) -> None:
    """One line of the table."""
    print(f"| {name} | {', '.join(f'{k}: {n}' for k, n in counts.items())} |", flush=True)


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="with one process, and with two")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.child is not None:
        child(options.child)
        return
    print("| what | counts |\n|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        show("Ctrl-C at each call of the loss", interrupts(folder))
        show("disk full", full_disk(folder))
        show("two writers of one file", writers(folder, 3))
        show("truncated and hostile files", broken_files(folder, options.seed))
        for number in (1, 2):
            words = "one process" if number == 1 else "two processes"
            show(f"kills of {words}", kills(folder, options.kills, number, options.seed))


if __name__ == "__main__":
    main()
