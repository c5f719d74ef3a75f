"""Everything with everything: energies, in programs of all kinds, in all uses, against enumeration.

Each cell builds a program around a small energy (in plates, under masks and scales, with a context,
inactive or blank cells, enumerated classes, particles, latent variables) and uses it (SVI, modules,
pickles, copies, precisions, compilation, functional calls, batched parameters, Predictive, NUTS,
calibration). Losses must be those that sums over all states give; draws of data must be states,
and those of parameters finite; or it must be refused in words. Cells in which there is nothing to
do, as NUTS without a latent variable, or nothing that the setting changes, are counted apart.
Prints the cells that are neither, and how many are what. ``--quick`` takes a diagonal.
"""

import argparse
import copy
import io
import itertools
import pickle
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS, Predictive, Trace_ELBO, TraceEnum_ELBO
from pyro.infer.autoguide import AutoDelta
from torch import Tensor, nn
from torch.func import functional_call, vmap

import pyro_rm
from pyro_rm import energies
from pyro_rm.distributions import EnergyModel
from pyro_rm.infer import calibrate
from pyro_rm.poutine import ratio_matching

ENERGIES: dict[str, Callable[[], nn.Module]] = {
    "Ising": lambda: energies.IsingEnergy(3),
    "Ising, spins": lambda: energies.IsingEnergy(3, states=(-1, 1)),
    "sparse Ising": lambda: energies.SparseIsingEnergy(3, torch.tensor([[0, 1], [1, 2]])),
    "network": lambda: energies.MLPEnergy(3, (4,)),
    "network at levels": lambda: energies.MLPEnergy(3, (4,), num_levels=3),
    "RBM": lambda: energies.RBMEnergy(3, 2),
    "Potts": lambda: energies.PottsEnergy(3, 3),
    "Potts, mixed": lambda: energies.PottsEnergy(3, (2, 3, 2)),
    "RBM, categories": lambda: energies.RBMEnergy(3, 2, num_categories=3),
    "network, mixed": lambda: energies.MLPEnergy(3, (4,), num_categories=(2, 3, 2)),
    "ordinal": lambda: energies.OrdinalEnergy([(-0.5, 0.0, 0.5), (-0.5, 0.5), 3]),
    "sum": lambda: 0.5 * energies.IsingEnergy(3) + energies.MLPEnergy(3, (4,)),
    "sum, categories": lambda: energies.PottsEnergy(3, 3) + energies.MLPEnergy(
        3, (4,), num_categories=3
    ),
}  # fmt: skip
SETTINGS = (
    "plate", "nested plates", "subsampled plate", "mask", "scale", "context", "inactive cells",
    "blanks", "enumerated classes", "particles", "latent variable",
)  # fmt: skip
NUM_ROWS = 4


class WithField(nn.Module):
    """An energy with one number more for each datum, which multiplies the first site."""

    def __init__(self, energy: nn.Module) -> None:
        super().__init__()
        self.energy, self.state_space = energy, energy.state_space

    def forward(self, x: Tensor, field: Tensor) -> Tensor:
        """The energy."""
        first = x[..., 0] if self.state_space.is_binary else x[..., 0, 0]
        return self.energy(x) - field[..., 0] * first


class Program(pyro.nn.PyroModule):
    """A program of one setting."""

    def __init__(self, energy: nn.Module, setting: str) -> None:
        super().__init__()
        plain = setting in ("context", "enumerated classes", "latent variable")
        self.energy = WithField(energy) if plain else energy
        self.setting = setting

    def forward(self, x: Any = None) -> None:
        """Sample or score the data."""
        setting, rows, active, context, size = self.setting, NUM_ROWS, None, (), None
        if setting == "nested plates":
            with pyro.plate("columns", 2, dim=-1), pyro.plate("rows", 2, dim=-2):
                pyro.sample("x", EnergyModel(self.energy, sampler=SAMPLER), obs=x)
            return
        if setting == "inactive cells":
            active = torch.tensor([True, False, True])
        if setting == "blanks" and x is not None:
            active = ~x.isnan()
        if setting == "context":
            context = FIELDS[:rows, None].to(torch.get_default_dtype())
        if setting == "latent variable":
            context = pyro.sample("b", dist.Normal(0.0, 1.0)).expand(rows)[:, None]
        if setting == "subsampled plate":
            size, rows = rows, 2 * rows
        with pyro.plate("data", rows, subsample=None if size is None else torch.arange(size)):
            if setting == "enumerated classes":
                k = pyro.sample(
                    "k",
                    dist.Categorical(SHARES.to(torch.get_default_dtype())),
                    infer={"enumerate": "parallel"},
                )
                context = FIELDS.to(torch.get_default_dtype())[k][..., None]
            scale = 0.5 if setting == "scale" else 1.0
            mask = MASK if setting == "mask" else torch.tensor(True)
            options = {"context": context} if isinstance(context, Tensor) else {}
            model = EnergyModel(self.energy, active=active, sampler=SAMPLER, **options)
            with pyro.poutine.scale(scale=scale), pyro.poutine.mask(mask=mask):
                pyro.sample("x", model, obs=x)


FIELDS, SHARES = torch.tensor([0.7, -0.4, 0.2, 1.1]), torch.tensor([0.3, 0.7])
SAMPLER = pyro_rm.MarkovSampler(3, progress=False)
MASK, POINT = torch.tensor([True, False, True, True]), 0.3


def data_of(energy: Any) -> Tensor:
    """Rows, all categories of which exist."""
    space = energy.state_space
    codes = torch.tensor([[0, 1, 0], [1, 0, 1], [1, 1, 0], [0, 0, 1]])
    if not space.is_binary:
        codes[2, 1] = space.categories[1] - 1
        return codes
    low, high = space.states
    return low + (high - low) * codes.to(torch.get_default_dtype())


def conditional_loss(energy: Any, x: Tensor, active: Any, field: float | None) -> float:
    """Minus the log pseudolikelihood of one row, a sum over the categories of each site."""
    space, total = energy.state_space, 0.0
    for site in range(3):
        if not active[site]:
            continue
        values = space.states if space.is_binary else range(space.categories[site])
        states = x.expand(len(values), 3).clone()
        states[:, site] = torch.tensor(list(values)).to(states)
        encoded = space.encode(states, torch.get_default_dtype())
        with torch.no_grad():
            logits = -energy(encoded)
            if field is not None:
                first = encoded[:, 0] if space.is_binary else encoded[:, 0, 0]
                logits = logits + field * first
        own = (states[:, site] == x[site]).nonzero()[0, 0]
        total -= float(logits.log_softmax(0)[own])
    return total


def wanted(energy: Any, setting: str, x: Tensor) -> list[float]:
    """The losses that are right: one, or, of blanks, one for each way to fill them."""
    everywhere = [True] * 3

    def rows(fields: Any = None, active: Any = everywhere) -> list[float]:
        picked = [None] * NUM_ROWS if fields is None else fields
        return [conditional_loss(energy, a, active, b) for a, b in zip(x, picked, strict=True)]

    if setting == "subsampled plate":
        return [2 * sum(rows())]
    if setting == "mask":
        return [sum(loss for loss, on in zip(rows(), MASK.tolist(), strict=True) if on)]
    if setting == "scale":
        return [0.5 * sum(rows())]
    if setting == "context":
        return [sum(rows(FIELDS.tolist()))]
    if setting == "inactive cells":
        return [sum(rows(active=[True, False, True]))]
    if setting == "latent variable":
        prior = float(dist.Normal(0.0, 1.0).log_prob(torch.tensor(POINT)))
        return [sum(rows([POINT] * NUM_ROWS)) - prior]
    if setting == "enumerated classes":
        each = torch.tensor([rows([f] * NUM_ROWS) for f in FIELDS[:2].tolist()])
        return [float(-(SHARES.log()[:, None] - each).logsumexp(0).sum())]
    if setting == "blanks":
        space, first = energy.state_space, x[0].clone()
        values = space.states if space.is_binary else range(space.categories[1])
        others, found = sum(rows()[1:]), []
        for value in values:
            first[1] = value
            found.append(others + conditional_loss(energy, first, [True, False, True], None))
        return found
    return [sum(rows())]


def loss_of(setting: str) -> pyro_rm.RatioMatchingLoss:
    """The exact loss."""
    elbo: Any = Trace_ELBO()
    if setting == "particles":
        elbo = Trace_ELBO(num_particles=2, vectorize_particles=True, max_plate_nesting=2)
    if setting == "enumerated classes":
        elbo = TraceEnum_ELBO(max_plate_nesting=1)
    return pyro_rm.RatioMatchingLoss(num_neighbors="all", elbo=elbo)


class Cell:
    """An energy in a setting, with its data and what is right."""

    def __init__(self, make: Callable[[], nn.Module], setting: str) -> None:
        pyro.clear_param_store()
        torch.manual_seed(0)
        self.energy, self.setting = make(), setting
        with torch.no_grad():
            for parameter in self.energy.parameters():
                parameter.normal_(0, 0.7)
        self.x = data_of(self.energy)
        self.right = wanted(self.energy, setting, self.x)
        if setting == "nested plates":
            self.x = self.x.view(2, 2, 3)
        if setting == "blanks":
            self.x = self.x.to(torch.get_default_dtype())
            self.x[0, 1] = torch.nan
        self.program = Program(self.energy, setting)

    def guide(self, x: Any = None) -> None:
        """Where the latent variable is."""
        if self.setting == "latent variable":
            pyro.sample("b", dist.Delta(torch.tensor(POINT)))

    def holds(self, loss: float, tolerance: float = 1e-5) -> bool:
        """Whether a loss is right."""
        return any(abs(loss - own) <= tolerance * (1 + abs(own)) for own in self.right)

    def scored(self, program: Any, tolerance: float = 1e-5) -> bool:
        """Whether SVI scores a program right."""
        return self.holds(loss_of(self.setting).loss(program, self.guide, self.x), tolerance)


def svi(cell: Cell) -> bool:
    """The loss, and a step after which parameters have moved."""
    parameters = list(cell.energy.parameters())
    before = [p.detach().clone() for p in parameters]
    optimizer = pyro.optim.Adam({"lr": 0.1})
    step = pyro.infer.SVI(cell.program, cell.guide, optimizer, loss_of(cell.setting)).step(cell.x)
    moved = any(
        not torch.equal(a, b) for a, b in zip(before, cell.energy.parameters(), strict=True)
    )
    return cell.holds(step) and moved


def module_face(cell: Cell) -> bool:
    """The loss as a module."""
    loss = loss_of(cell.setting)(cell.program, cell.guide)(cell.x)
    loss.backward()
    return cell.holds(float(loss)) and any(p.grad is not None for p in cell.energy.parameters())


def pickled(cell: Cell) -> bool:
    """After a pickle."""
    return cell.scored(pickle.loads(pickle.dumps(cell.program)))


def copied(cell: Cell) -> bool:
    """After a deep copy, whose parameters are its own."""
    other = copy.deepcopy(cell.program)
    with torch.no_grad():
        for parameter in cell.energy.parameters():
            parameter.zero_()
    return cell.scored(other)


def double(cell: Cell) -> bool:
    """In double precision."""
    torch.set_default_dtype(torch.float64)
    try:
        if cell.x.is_floating_point():
            cell.x = cell.x.double()
        return cell.scored(cell.program.double())
    finally:
        torch.set_default_dtype(torch.float32)


def half(cell: Cell) -> bool:
    """In bfloat16, which has three digits."""
    return cell.scored(cell.program.to(torch.bfloat16), 0.05)


def compiled(cell: Cell) -> bool | None:
    """Under dynamo, without a compiler behind it."""
    if cell.setting != "plate":
        return None  # the program is not in it
    program = torch.compile(cell.energy, backend="eager")
    x = cell.x.reshape(-1, 3)[1:]
    got = pyro_rm.estimate(program, x, state_space=cell.energy.state_space, num_neighbors="all")
    want = [conditional_loss(cell.energy, row, [True] * 3, None) for row in x]
    return torch.allclose(got, torch.tensor(want), atol=1e-4)


def functional(cell: Cell) -> bool | None:
    """With a batch of other parameters."""
    if cell.setting != "plate":
        return None  # the program is not in it
    energy, x = cell.energy, cell.x.reshape(-1, 3)[1:]
    values = {k: torch.stack([p.detach(), 0.5 * p.detach()]) for k, p in energy.named_parameters()}

    def loss(own: Any) -> Tensor:
        return pyro_rm.estimate(
            lambda z: functional_call(energy, own, (z,)), x, num_neighbors="all",
            state_space=energy.state_space,
        ).sum()  # fmt: skip

    with pyro.validation_enabled(False):
        got = vmap(loss)(values)
    right = True
    for number, loss in enumerate(got.tolist()):
        energy.load_state_dict({k: v[number] for k, v in values.items()}, strict=False)
        rows = [conditional_loss(energy, row, [True] * 3, None) for row in x]
        right = right and abs(loss - sum(rows)) < 1e-4
    return right


def predictive(cell: Cell) -> bool:
    """Draws of data, which are states of the space."""
    draws = Predictive(cell.program, num_samples=2)()["x"]
    cell.energy.state_space.validate(draws.reshape(-1, 3))
    return draws.shape[-1] == 3


def nuts(cell: Cell) -> bool | None:
    """Two steps over the latent variables."""
    if cell.setting != "latent variable":
        return None
    handled = ratio_matching(cell.program, pyro_rm.Estimator(num_neighbors="all"))
    chain = MCMC(NUTS(handled), num_samples=2, warmup_steps=2, disable_progbar=True)
    chain.run(cell.x)
    return bool(chain.get_samples()["b"].isfinite().all())


def calibrated(cell: Cell) -> bool | None:
    """A calibrated posterior of the latent variables."""
    if cell.setting != "latent variable":
        return None
    found = calibrate(cell.program, (cell.x,), num_draws=20, progress=False)
    return bool(found.draws["b"].isfinite().all())


def guided(cell: Cell) -> bool | None:
    """Under an automatic guide, whose value the loss is recomputed at."""
    if cell.setting != "latent variable":
        return None
    handled = pyro_rm.poutine.ratio_matching(cell.program)
    guide = AutoDelta(handled, init_loc_fn=lambda site: torch.tensor(POINT))
    return cell.holds(loss_of(cell.setting).loss(cell.program, guide, cell.x))


USES: dict[str, Callable[[Cell], bool | None]] = {
    "SVI": svi, "module": module_face, "pickle": pickled, "deep copy": copied, "float64": double,
    "bfloat16": half, "compile": compiled, "functional call, vmap": functional,
    "Predictive": predictive, "NUTS": nuts, "calibrate": calibrated, "automatic guide": guided,
}  # fmt: skip


def outcome(name: str, setting: str, use: str) -> str:
    """Right, refused in words, nothing to do, wrong, or another error."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            found = USES[use](Cell(ENERGIES[name], setting))
            return {True: "right", False: "wrong", None: "nothing to do"}[found]
        except (ValueError, TypeError, NotImplementedError) as error:
            text = " ".join(str(error).split())
            return (
                f"refused: {text[:150]}" if text.startswith("Expected") else f"error: {text[:300]}"
            )
        except Exception as error:
            return f"error: {type(error).__name__} {' '.join(str(error).split())[:300]}"


def table(quick: bool) -> dict[tuple[str, str, str], str]:
    """Outcomes by energy, setting and use."""
    cells = list(itertools.product(ENERGIES, SETTINGS, USES))
    return {cell: outcome(*cell) for cell in (cells[::17] if quick else cells)}


def main() -> None:
    """Run the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    found = table(options.quick)
    groups: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for cell, result in found.items():
        if result not in ("right", "nothing to do"):
            groups[result].append(cell)
    for result, cells in groups.items():
        print(f"{len(cells)} x {result}\n    such as {cells[:2]}")
    kinds = Counter(result.partition(":")[0] for result in found.values())
    print(f"\n{len(found)} cells: {dict(kinds)}; {time.process_time() - start:.0f} CPU seconds")


if __name__ == "__main__":
    main()
