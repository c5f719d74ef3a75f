"""Islands of probability: what local objectives get wrong, and levels of noise get right.

The target has modes that no few flips connect, and is small enough to sum over all states. A
network is fitted twice to data from it: by the pseudolikelihood, which knows nothing of the masses
of the islands, and by the same objective on pairs of the data and a level of noise, which does, and
whose log-likelihood is read off without a chain. A tenth of the data is held out to stop at.

Saves islands.png and results.json: the Kullback-Leibler divergence from the target in nats, the
largest error of a share (beside the data's own shares), and the error of the log partition function
that is read off.
"""

import argparse
import json
import time
from pathlib import Path

import matplotlib
import torch
from torch import Tensor

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import MLPEnergy
from pyro_rm.evaluation import read_off
from pyro_rm.infer import NoiseLevels, train, warmup_cosine

matplotlib.use("Agg")
import matplotlib.pyplot as plt

NUM_SITES, NUM_DATA = 16, 2000
SPACE = pyro_rm.StateSpace(NUM_SITES)
STATES = ((torch.arange(2**NUM_SITES)[:, None] >> torch.arange(NUM_SITES)) & 1).float()
WEIGHT_DECAY = 0.1


def islands(seed: int) -> tuple[Tensor, Tensor]:
    """Four centers at least six flips apart with unequal shares, 3 % of the bits flipped."""
    generator = torch.Generator().manual_seed(100 + seed)
    while True:
        centers = torch.bernoulli(torch.full((4, NUM_SITES), 0.5), generator=generator)
        apart = (centers[:, None] != centers).sum(-1) + 99 * torch.eye(4)
        if apart.min() >= 6:
            break
    flips = (STATES[:, None] != centers).sum(-1)
    near = 0.97 ** (NUM_SITES - flips) * 0.03**flips
    p = (near * torch.tensor([0.55, 0.25, 0.15, 0.05])).sum(-1).double()
    return p / p.sum(), centers


def curie_weiss(seed: int) -> tuple[Tensor, Tensor]:
    """Two phases of the Curie-Weiss model at inverse temperature 1.6, tilted to .8 and .2."""
    m = (2 * STATES - 1).sum(-1).double()
    p = (1.6 * m**2 / (2 * NUM_SITES)).exp()
    p = p / p.sum() * torch.where(m > 0, 0.8, torch.where(m < 0, 0.2, 0.5))
    return p / p.sum(), torch.tensor([[1.0], [0.0]]).expand(2, NUM_SITES)


TARGETS = {"islands": islands, "curie-weiss": curie_weiss}


def fit(x: Tensor, levels: NoiseLevels | None, num_steps: int) -> MLPEnergy:
    """A network, by the pseudolikelihood of the data, or of the data and a level."""
    energy = MLPEnergy(NUM_SITES, (96, 96), num_levels=None if levels is None else len(levels))
    last = set(energy.layers[-1].parameters())
    decayed = [p for p in energy.parameters() if p.dim() > 1 and p not in last]
    free = [p for p in energy.parameters() if p.dim() == 1 or p in last]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": free}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3, weight_decay=0.0)
    held_out, x = x[: len(x) // 10].repeat(1 if levels is None else 20, 1), x[len(x) // 10 :]

    def loss(batch: Tensor) -> Tensor:
        return pyro_rm.estimate(energy, batch, levels=levels, num_neighbors="all").mean()

    train(
        loss,
        optimizer,
        x,
        num_steps=num_steps,
        batch_size=256,
        schedule=warmup_cosine(optimizer, num_steps, num_warmup_steps=num_steps // 20),
        clip_norm=5.0,
        average=0.998,
        held_out=lambda: loss(held_out),
        evaluate_every=max(1, num_steps // 20),
        progress=False,
    )
    return energy


@torch.no_grad()
def exact(energy: MLPEnergy) -> tuple[Tensor, float]:
    """All probabilities and the log partition function."""
    values = -energy(STATES).double()
    return values.softmax(0), values.logsumexp(0).item()


def shares(p: Tensor, centers: Tensor) -> Tensor:
    """Mass nearest to each center; where there are islands, at most four flips away."""
    near, which = (STATES[:, None] != centers).sum(-1).min(1)
    reach = 4 if len(centers) == 4 else NUM_SITES
    mass = [p[(which == k) & (near <= reach)].sum() for k in range(len(centers))]
    return torch.stack(mass)


def main() -> None:
    """Fit both ways, compare with the target, and draw the shares."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--target", choices=TARGETS, default="islands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4000, help="steps of each fit")
    parser.add_argument("--smoke", action="store_true", help="a few steps only, for tests")
    parser.add_argument("--out", type=Path, default=Path("out/islands"))
    options = parser.parse_args()
    num_steps, length = (4, 2) if options.smoke else (options.steps, 200)
    p, centers = TARGETS[options.target](options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    x = STATES[torch.multinomial(p, NUM_DATA, replacement=True, generator=generator)]
    nearest = (x[:, None] != centers).sum(-1).argmin(1)
    own = nearest.bincount(minlength=len(centers)) / len(x)

    torch.manual_seed(options.seed)
    start = time.process_time()
    levels = NoiseLevels.fit(x, SPACE, spacing=0.7)
    plain = fit(x, None, num_steps)
    joint = fit(x, levels, num_steps)
    seconds = time.process_time() - start

    results: dict[str, float | str] = {"target": options.target, "seed": options.seed}
    learned = {}
    for name, energy in {"plain_": plain, "": joint}.items():
        q, log_z = exact(energy)
        learned[name] = shares(q, centers)
        results[f"{name}kl"] = (p * (p.log() - q.log())).nan_to_num().sum().item()
        error = (learned[name] - own).abs().max().item()
        results[f"{name}largest_share_error"] = error
    model = EnergyModel(joint, levels=levels, sampler=pyro_rm.MarkovSampler(length, progress=False))
    found = read_off(model)
    results["log_z_error"] = found.log_partition.item() - log_z
    results["log_z_standard_error"] = found.standard_error
    draws = model.sample((2000,))
    counts = (draws[:, None] != centers).sum(-1).argmin(1).bincount(minlength=len(centers))
    results["seconds"] = seconds
    print(f"{options.target}, {NUM_DATA} data of {NUM_SITES} bits, {len(levels)} levels of noise")
    print(f"{'shares of the data':28}", *(f"{s:.3f}" for s in own.tolist()))
    print(f"{'pseudolikelihood':28}", *(f"{s:.3f}" for s in learned["plain_"].tolist()))
    print(f"{'with levels':28}", *(f"{s:.3f}" for s in learned[""].tolist()))
    print(f"{'samples, from the background':28}", *(f"{s:.3f}" for s in (counts / 2000).tolist()))
    print(f"nats from the target: {results['plain_kl']:.3f} plain, {results['kl']:.3f} with levels")
    print(f"read-off less exact log Z: {results['log_z_error']:.3f}; {seconds:.0f} CPU seconds")

    options.out.mkdir(parents=True, exist_ok=True)
    axis = plt.figure(figsize=(6, 3)).gca()
    bars = {"data": own, "pseudolikelihood": learned["plain_"], "with levels": learned[""]}
    for number, (name, values) in enumerate({**bars, "samples": counts / 2000}.items()):
        place = torch.arange(len(own)) + 0.2 * (number - 1.5)
        axis.bar(place.numpy(), values.numpy(), 0.18, label=name)
    axis.set_xticks(range(len(own)), [f"mode {k + 1}" for k in range(len(own))])
    axis.set_ylabel("share")
    axis.legend()
    axis.figure.savefig(options.out / "islands.png", dpi=150, bbox_inches="tight")
    (options.out / "results.json").write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
