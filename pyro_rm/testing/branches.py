"""Every outcome of a random computation, one run after the other."""

from __future__ import annotations

import torch

_MOST_RUNS = 5_000


class Branches:
    """A script of decisions that is replayed, and moved on like an odometer."""

    def __init__(self) -> None:
        self.script: list[int] = []
        self.counts: list[int] = []
        self.runs = 0

    def start(self) -> None:
        """Begin a run: it follows the script, and takes the first branch beyond.

        :raises ValueError: If there are too many.
        """
        self.position, self.counts = 0, self.counts[: len(self.script)]
        self.runs += 1
        if self.runs > _MOST_RUNS:
            raise ValueError(
                f"Expected at most {_MOST_RUNS} outcomes to enumerate, but got more. Check it "
                "with fewer draws or proposals, or on a smaller energy."
            )
        self.generator = torch.get_rng_state()

    def drew_elsewhere(self) -> bool:
        """Whether the run took random numbers that are not enumerated."""
        return not torch.equal(torch.get_rng_state(), self.generator)

    def advance(self) -> bool:
        """Move on to the next script; False at the end."""
        while self.script:
            self.script[-1] += 1
            if self.script[-1] < self.counts[len(self.script) - 1]:
                return True
            self.script.pop()
        return False

    def branch(self, count: int) -> int:
        """Which of so many branches to take."""
        if self.position == len(self.script):
            self.script.append(0)
            self.counts = [*self.counts[: self.position], count]
        self.position += 1
        return self.script[self.position - 1]
