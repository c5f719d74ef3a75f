"""Counts that are not integers or too small, at every entry point: each cell is a clear error."""

import networkx as nx
import pyro
import pyro.distributions as dist
import pytest
import torch

import pyro_rm
from pyro_rm import (
    Target,
    datasets,
    distributions,
    energies,
    evaluation,
    graphs,
    infer,
    markov_steps,
    networks,
)
from pyro_rm.checks import check_counts
from pyro_rm.enumeration import Enumeration, state_chunks

SPACE = pyro_rm.StateSpace(4)
BITS = (torch.arange(120).view(30, 4) * 7 % 11 < 5).float()
BLANKS = torch.where(torch.arange(120).view(30, 4) % 9 == 0, torch.nan, BITS)
CODES = (torch.arange(120).view(30, 4) * 7 % 11) % 3
GRAPHS = [nx.path_graph(4), nx.cycle_graph(5)]
ISING = energies.IsingEnergy(4)
LEVELED = energies.with_levels(ISING, 2)
RANDOM_GRAPH = energies.RandomGraphEnergy(4)
SITES = evaluation.IndependentSites.uniform(SPACE)


def fields(x):
    field = pyro.sample("field", dist.Normal(0, 1).expand([4]).to_event(1))
    with pyro.plate("data", len(x)):
        pyro.sample("x", distributions.Ising(torch.zeros(4, 4), field), obs=x)


def trained(**options):
    x = torch.ones(1, requires_grad=True)
    defaults = {"num_steps": 2, "held_out": lambda: 0.0, "progress": False}
    optimizer = torch.optim.SGD([x], lr=0.1)
    return infer.train(lambda batch: x.sum(), optimizer, BITS, **(defaults | options))


def annealed(**options):
    defaults = {"num_chains": 4, "inverse_temperatures": 3, "progress": False}
    return evaluation.annealed_importance_sampling(ISING, SITES, **(defaults | options))


def generated(**options):
    size = torch.tensor([3])
    return graphs.generate_graphs(RANDOM_GRAPH, size, progress=False, **options)


def fitted(X=BITS, **options):
    return networks.IsingNetwork(selection=None, ridge=0.1, **options).fit(X)


def potts(**options):
    return networks.PottsNetwork(num_categories=3, **options).fit(CODES)


def by_levels(**options):
    defaults = {"num_levels": 2, "progress": False}
    return infer.sample_by_levels(LEVELED, BITS, **(defaults | options))


def relational(**options):
    return energies.RelationalGraphEnergy(**({"max_nodes": 4} | options))


def schedule(num_steps, num_warmup_steps):
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)
    return infer.warmup_cosine(optimizer, num_steps, num_warmup_steps=num_warmup_steps)


FROM_0 = {
    "sampler steps": pyro_rm.MarkovSampler,
    "bits": lambda n: datasets.synthetic_density("moons").sample(n),
    "points": lambda n: datasets.synthetic_density("pinwheel").density.sample(n),
    "curve points": lambda n: datasets.synthetic_density("moons").density.sample(n),
    "exact samples": lambda n: evaluation.exact_samples(ISING, n),
    "enumerated samples": lambda n: Enumeration(Target.of(ISING, SPACE)).draw(n),
    "independent samples": SITES.sample,
    "tree samples": lambda n: evaluation.ChowLiuTree.fit(BITS, SPACE).sample(n),
    "steps from data": lambda n: evaluation.log_likelihood(ISING, BITS, num_steps=n),
    "missing": lambda n: infer.Marginalized(max_missing=n),
    "steps at a level": lambda n: by_levels(num_steps=n),
    "generating steps": lambda n: generated(num_steps=n),
    "imputing steps": lambda n: infer.impute(
        distributions.EnergyModel(ISING), BLANKS, num_fills=2, num_steps=n
    ),
    "training steps": lambda n: trained(num_steps=n),
    "warm-up": lambda n: schedule(5, n),
    "node features": lambda n: relational(num_features=n),
    "walks": lambda n: relational(num_walks=n),
    "rows": lambda n: fitted().sample(n),
    "sweeps": lambda n: fitted().sample(2, num_steps=n),
    "Potts rows": lambda n: potts(max_steps=1).sample(n),
    "Potts edges": lambda n: potts(max_steps=1).to_networkx(num_edges=n),
    "simulated rows": lambda n: networks.simulate_ising(nx.path_graph(3), n),
    "simulated sweeps": lambda n: networks.simulate_ising(nx.path_graph(3), 2, num_steps=n),
}
FROM_1 = {
    "sites": pyro_rm.StateSpace,
    "neighbors": lambda n: pyro_rm.Estimator(num_neighbors=n),
    "neighbors a chunk": lambda n: pyro_rm.Estimator(max_neighbors_per_chunk=n),
    "loss": lambda n: pyro_rm.RatioMatchingLoss(num_neighbors=n),
    "rmwggis": pyro_rm.rmwggis,
    "rmwrand": pyro_rm.rmwrand,
    "contrastive steps": pyro_rm.ContrastiveDivergence,
    "chains": lambda n: pyro_rm.ContrastiveDivergence(persistent=True, num_chains=n),
    "cells": lambda n: datasets.synthetic_density("moons").density.entropy(4.0, n),
    "graphs": graphs.community_graphs,
    "lattice": lambda n: datasets.lattice(3, n, coupling=1.0),
    "padding": lambda n: graphs.active_pairs(torch.tensor([2]), n),
    "encoded nodes": lambda n: graphs.encode_graphs(GRAPHS, max_nodes=n),
    "buckets": lambda n: graphs.size_buckets(GRAPHS, n),
    "hidden units": lambda n: energies.RBMEnergy(3, n),
    "layer": lambda n: energies.MLPEnergy(3, (4, n)),
    "levels": lambda n: energies.with_levels(ISING, n),
    "graph layers": lambda n: relational(num_layers=n),
    "graph units": lambda n: relational(num_hidden=n),
    "graph levels": lambda n: relational(num_levels=n),
    "annealing batch": lambda n: annealed(chunk_size=n),
    "states": lambda n: evaluation.log_partition(ISING, max_states=n),
    "states sampled": lambda n: evaluation.exact_samples(ISING, 1, max_states=n),
    "block": lambda n: Enumeration(Target.of(ISING, SPACE), chunk_size=n),
    "chunk of states": lambda n: list(state_chunks(SPACE, chunk_size=n)),
    "chunk of rows": lambda n: evaluation.exponential_hamming_mmd(BITS, BITS, chunk_size=n),
    "resampled": lambda n: graphs.graph_mmd_floor(GRAPHS, GRAPHS, num_samples=n),
    "fill steps": lambda n: infer.GibbsFill(num_steps=n),
    "latent fill steps": lambda n: infer.LatentFill(fields, "x", num_steps=n),
    "steps a sample": lambda n: infer.MarkovKernel(
        distributions.EnergyModel(ISING), steps_per_sample=n
    ),
    "imputed": lambda n: infer.impute(distributions.EnergyModel(ISING), BLANKS, num_fills=n),
    "levels walked": lambda n: by_levels(num_levels=n),
    "levels generated": lambda n: generated(num_levels=n),
    "rounds": lambda n: generated(max_rounds=n),
    "batch": lambda n: trained(batch_size=n),
    "evaluations": lambda n: trained(evaluate_every=n),
    "patience": lambda n: trained(patience=n),
    "checkpoints": lambda n: trained(checkpoint_every=n),
    "records": lambda n: trained(log_every=n),
    "schedule": lambda n: schedule(n, 0),
    "proposals": markov_steps.GibbsWithGradients,
    "Langevin proposals": lambda n: markov_steps.DiscreteLangevin(num_proposals=n),
    "fills": lambda n: fitted(BLANKS, num_fills=n),
    "fill rounds": lambda n: fitted(BLANKS, num_rounds=n),
    "iterations": lambda n: potts(max_steps=n),
    "worse supports": lambda n: networks.Selection(patience=n),
    "separation": lambda n: networks.contact_precision(
        torch.rand(9, 9), torch.rand(9, 9), min_separation=n
    ),
    "chunk of sequences": lambda n: networks.sequence_weights(CODES, chunk_size=n),
}
FROM_2 = {
    "penalties": lambda n: networks.Selection(num_penalties=n),
    "Potts penalties": lambda n: potts(num_penalties=n),
    "categories": lambda n: pyro_rm.StateSpace(3, n),
    "nodes": energies.RandomGraphEnergy,
    "nodes again": RANDOM_GRAPH.resized,
    "relational nodes": lambda n: relational(max_nodes=n),
    "relational nodes again": lambda n: relational().resized(n),
    "annealed chains": lambda n: annealed(num_chains=n),
    "temperatures": lambda n: annealed(inverse_temperatures=n),
    "chains of a likelihood": lambda n: evaluation.log_likelihood(ISING, BITS, num_chains=n),
    "splits": lambda n: evaluation.sample_quality(BITS, BITS, num_splits=n),
    "draws": lambda n: infer.calibrate(fields, (BITS,), num_draws=n),
    "draws around fills": lambda n: infer.calibrate(
        fields, (BITS,), values={"field": torch.zeros(4)}, num_draws=n
    ),
    "averaged fills": lambda n: infer.calibrate(
        fields, (BITS,), values={"field": torch.zeros(4)}, num_fills=n
    ),
}
TABLE = [
    (least, name, call)
    for least, calls in enumerate((FROM_0, FROM_1, FROM_2))
    for name, call in calls.items()
]


@pytest.mark.parametrize(("least", "call"), [(n, call) for n, _, call in TABLE], ids=[
    name for _, name, _ in TABLE
])  # fmt: skip
def test_counts(least, call):
    for bad in (least - 1, -3, 1.5, float("nan"), "many"):
        with pytest.raises((TypeError, ValueError), match="Expected"):
            call(bad)


def test_counts_may_be_of_any_integer_type():
    check_counts(2, numpy=torch.tensor([2]).numpy()[0], exact=2)
    with pytest.raises(TypeError, match="Expected one to be an integer, but got"):
        check_counts(one=1.0)
    with pytest.raises(ValueError, match="Expected one to be at least 1, but got 0"):
        check_counts(two=2, one=0)


FRACTIONS = {
    "level": lambda p: infer.calibrate(fields, (BITS,), num_draws=2).intervals(p),
    "final share": lambda p: infer.warmup_cosine(
        torch.optim.SGD([torch.ones(1, requires_grad=True)]), 9, num_warmup_steps=1, final_share=p
    ),
    "identity": lambda p: networks.sequence_weights(CODES, identity=p),
    "gamma": lambda p: networks.Selection(gamma=p),
    "ratio": lambda p: networks.Selection(ratio=p),
    "held-out share": lambda p: networks.Selection(held_out_share=p),
    "edge probability": lambda p: graphs.community_graphs(1, edge_probability=p),
    "bridge share": lambda p: graphs.community_graphs(1, bridge_share=p),
    "noise level": lambda p: infer.NoiseLevels((p,)),
    "failure probability": lambda p: annealed().lower.bound(p),
    "average": lambda p: trained(average=p),
    "uniform share": lambda p: pyro_rm.Estimator(
        proposal=pyro_rm.proposals.GradientGuided(uniform_share=p)
    ),
}
POSITIVE = {
    "step size": markov_steps.DiscreteLangevin,
    "decay": lambda v: energies.RandomGraphEnergy(4, decay=v),
    "bandwidth": lambda v: evaluation.exponential_hamming_mmd(BITS, BITS, bandwidth=v),
    "clipping": lambda v: trained(clip_norm=v),
    "smoothing": lambda v: evaluation.IndependentSites.fit(BITS, SPACE, smoothing=v),
    "tree smoothing": lambda v: evaluation.ChowLiuTree.fit(BITS, SPACE, smoothing=v),
    "temperature": lambda v: markov_steps.ParallelTempering(markov_steps.GibbsSweep(), (1.0, v)),
    "ridge": lambda v: networks.IsingNetwork(selection=None, ridge=v).fit(BITS),
    "Potts ridge": lambda v: potts(ridge=v),
    "weight": lambda v: pyro_rm.RatioMatchingLoss(weight=v),
}


@pytest.mark.parametrize("bad", [-0.5, 1.5, float("nan")])
@pytest.mark.parametrize("call", FRACTIONS.values(), ids=FRACTIONS)
def test_fractions(call, bad):
    with pytest.raises(ValueError, match="Expected"):
        call(bad)


@pytest.mark.parametrize("bad", [-0.5, float("nan")])
@pytest.mark.parametrize("call", POSITIVE.values(), ids=POSITIVE)
def test_positive_numbers(call, bad):
    with pytest.raises(ValueError, match="Expected"):
        call(bad)
