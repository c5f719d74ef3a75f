"""The shape matrix: plates x particles x enumeration x kind of energy, against plain sums."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import config_enumerate

import pyro_rm
from pyro_rm.distributions import EnergyModel, Ising
from pyro_rm.energies import MLPEnergy, SumEnergy

MATRIX = torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).triu(1)
PLATES = {"none": (), "one": (8,), "nested": (3, 8), "sequential": (8,)}


def distribution(kind, scale, network):
    if kind == "tensor":
        couplings = scale[..., None, None] * (MATRIX + MATRIX.mT)
        return Ising(couplings, torch.zeros(5))
    return EnergyModel(SumEnergy((scale, network)))


def program(plates, kind, network, x):
    scale = pyro.sample("scale", dist.Normal(0.0, 1.0))
    k = pyro.sample("k", dist.Categorical(torch.ones(2)))
    model = distribution(kind, scale + k, network)
    if plates == "none":
        pyro.sample("x", model, obs=x)
    elif plates == "one":
        with pyro.plate("data", 8):
            pyro.sample("x", model, obs=x)
    elif plates == "nested":
        with pyro.plate("groups", 3, dim=-2), pyro.plate("data", 8, dim=-1):
            pyro.sample("x", model, obs=x)
    else:
        for i in pyro.plate("data", 8):
            pyro.sample(f"x_{i}", model, obs=x[i])


@pytest.mark.parametrize("kind", ["tensor", "module"])
@pytest.mark.parametrize("enumerated", [False, True])
@pytest.mark.parametrize("particles", [1, 3])
@pytest.mark.parametrize("plates", PLATES)
def test_log_prob_has_the_broadcast_shape_and_value(plates, particles, enumerated, kind):
    network = MLPEnergy(5, (4,))
    rank = 0 if plates == "sequential" else len(PLATES[plates])
    x = torch.bernoulli(torch.full((*PLATES[plates], 5), 0.5))
    scale = torch.randn((particles,) + (1,) * rank) if particles > 1 else torch.tensor(0.7)
    model = pyro_rm.poutine.ratio_matching(program)
    data = {"scale": scale} if enumerated else {"scale": scale, "k": torch.tensor(1)}
    model = poutine.condition(model, data)
    if particles > 1:
        model = pyro.plate("particles", particles, dim=-1 - rank)(model)
    first = -1 - rank - (particles > 1)
    model = poutine.enum(config_enumerate(model), first_available_dim=first)
    trace = poutine.trace(model).get_trace(plates, kind, network, x)
    trace.compute_log_prob()
    sites = [name for name in trace.nodes if name.startswith("x")]
    got = torch.stack([trace.nodes[site]["log_prob"] for site in sites], -1)
    got = got if plates == "sequential" else got[..., 0]
    assert got.requires_grad == (kind == "module")
    for k in range(2) if enumerated else [1]:
        for p in range(particles):
            at = scale.flatten()[p] + k
            energy = distribution(kind, at, network).energy
            expected = -pyro_rm.estimate(energy, x, num_neighbors="all")
            mine = got
            if enumerated:
                mine = mine[k]
            if particles > 1:
                mine = mine[p]
            torch.testing.assert_close(mine.expand(expected.shape), expected)


def test_subsampled_gradients_average_to_the_full_gradient():
    """Exactly: over all subsamples of two data out of four."""
    x = torch.bernoulli(torch.full((4, 5), 0.5))
    network = MLPEnergy(5, (4,))

    def gradient(index):
        def model():
            pyro.module("network", network)
            with pyro.plate("data", 4, subsample=index) as rows:
                pyro.sample("x", EnergyModel(network), obs=x[rows])

        loss = pyro_rm.RatioMatchingLoss(num_neighbors="all")
        value = loss.differentiable_loss(model, lambda: None)
        return torch.autograd.grad(value, network.weight)[0]

    pairs = torch.combinations(torch.arange(4))
    average = torch.stack([gradient(pair) for pair in pairs]).mean(0)
    torch.testing.assert_close(average, gradient(torch.arange(4)))
