"""Laws of estimates over state spaces, shapes, types, masks and chunk sizes."""

import pyro
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import pyro_rm
from pyro_rm import Target, infer, markov_steps
from pyro_rm.energies import IsingEnergy, MLPEnergy, PottsEnergy
from pyro_rm.enumeration import Enumeration
from pyro_rm.evaluation import log_partition

OBJECTIVES = ["pseudolikelihood", "ratio_matching", "minimum_probability_flow", "squared_ratio"]
DESIGNS = ["proportional_to_size", "with_replacement", "unweighted", "all"]
PROPOSALS = ["uniform", "gradient", "activity"]
laws = settings(deadline=None, max_examples=40, derandomize=True)


@st.composite
def spaces(draw):
    size = draw(st.integers(1, 5))
    kind = draw(st.sampled_from(["bits", "spins", "categories", "mixed"]))
    if kind == "categories":
        return pyro_rm.StateSpace(size, draw(st.integers(3, 4)))
    if kind == "mixed":
        return pyro_rm.StateSpace(size, tuple(draw(st.integers(2, 4)) for _ in range(size)))
    return pyro_rm.StateSpace(size, states=(0, 1) if kind == "bits" else (-1, 1))


@st.composite
def cases(draw):
    """A space, a smooth energy without structure, and data of any batch shape."""
    space = draw(spaces())
    torch.manual_seed(draw(st.integers(0, 1000)))
    batch_shape = draw(st.lists(st.integers(1, 3), max_size=2))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    weight = torch.randn(space.encoded_shape.numel(), 3, dtype=dtype)
    rank = len(space.encoded_shape)

    def energy(x):
        return (x.flatten(-rank) @ weight).sin().sum(-1)

    codes = torch.stack([torch.randint(k, batch_shape) for k in space.categories], -1)
    low, high = space.states
    return space, energy, (low + (high - low) * codes).to(dtype)


def options():
    return st.fixed_dictionaries(
        {
            "objective": st.sampled_from(OBJECTIVES),
            "proposal": st.sampled_from(PROPOSALS),
            "design": st.sampled_from(DESIGNS),
            "num_neighbors": st.sampled_from([1, 2, 7, "all"]),
        }
    )


@laws
@given(cases(), options(), st.integers(1, 9))
def test_shape_type_seed_and_chunks(case, chosen, chunk):
    space, energy, x = case
    pyro.set_rng_seed(7)
    whole = pyro_rm.estimate(energy, x, state_space=space, **chosen)
    assert whole.shape == x.shape[:-1]
    assert whole.dtype == x.dtype
    assert whole.isfinite().all()
    pyro.set_rng_seed(7)
    chunks = pyro_rm.estimate(energy, x, state_space=space, max_neighbors_per_chunk=chunk, **chosen)
    torch.testing.assert_close(chunks, whole, rtol=1e-4, atol=1e-4)


@laws
@given(cases(), st.sampled_from(OBJECTIVES), st.floats(-50, 50))
def test_a_constant_changes_nothing(case, objective, constant):
    space, energy, x = case
    chosen = {"state_space": space, "objective": objective, "num_neighbors": "all"}
    before = pyro_rm.estimate(energy, x, **chosen)
    after = pyro_rm.estimate(lambda x: energy(x) + constant, x, **chosen)
    torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


@laws
@given(cases(), st.sampled_from(OBJECTIVES))
def test_the_order_of_sites_does_not_matter(case, objective):
    space, energy, x = case
    order = torch.randperm(space.num_sites)
    back = order.argsort()
    moved = pyro_rm.StateSpace(
        space.num_sites, tuple(space.categories[i] for i in order.tolist()), states=space.states
    )
    dim = -len(space.encoded_shape)
    chosen = {"objective": objective, "num_neighbors": "all"}
    torch.testing.assert_close(
        pyro_rm.estimate(
            lambda x: energy(x.index_select(x.dim() + dim, back)),
            x[..., order],
            state_space=moved,
            **chosen,
        ),
        pyro_rm.estimate(energy, x, state_space=space, **chosen),
        rtol=1e-4,
        atol=1e-4,
    )


@laws
@given(cases(), options(), st.data())
def test_inactive_cells_may_hold_anything(case, chosen, data):
    space, energy, x = case
    rows = data.draw(st.lists(st.booleans(), min_size=x.numel(), max_size=x.numel()))
    active = torch.tensor(rows).view(x.shape)
    filled = torch.where(active, x, float(space.states[0]))
    missing = torch.where(active, x, torch.nan)
    results = []
    for value in (filled, missing):
        pyro.set_rng_seed(7)
        results.append(pyro_rm.estimate(energy, value, state_space=space, active=active, **chosen))
    torch.testing.assert_close(*results)
    assert (results[0][~active.any(-1)] == 0).all()


@laws
@given(cases(), st.sampled_from(OBJECTIVES), st.sampled_from(PROPOSALS))
def test_as_many_neighbors_as_there_are_give_the_exact_sum(case, objective, proposal):
    space, energy, x = case
    chosen = {"state_space": space, "objective": objective}
    count = sum(k - 1 for k in space.categories) * space.max_categories
    sampled = pyro_rm.estimate(energy, x, num_neighbors=count, proposal=proposal, **chosen)
    exact = pyro_rm.estimate(energy, x, num_neighbors="all", **chosen)
    torch.testing.assert_close(sampled, exact, rtol=1e-4, atol=1e-4)


@laws
@given(spaces(), st.sampled_from(OBJECTIVES), st.integers(0, 1000))
def test_fast_gaps_are_the_generic_ones(space, objective, seed):
    pyro.set_rng_seed(seed)
    size, k = space.num_sites, space.num_categories
    pairwise = IsingEnergy(size, states=space.states) if space.is_binary else PottsEnergy(size, k)
    energies = [pairwise, MLPEnergy(size, (5,), num_categories=k, states=space.states)]
    codes = torch.stack([torch.randint(n, (3, 2)) for n in space.categories], -1)
    low, high = space.states
    x = low + (high - low) * codes.float()
    for energy in energies:
        torch.nn.init.normal_(energy.weight, std=0.5)
        chosen = {"objective": objective, "num_neighbors": "all", "state_space": space}
        torch.testing.assert_close(
            pyro_rm.estimate(energy, x, **chosen),
            pyro_rm.estimate(lambda x, e=energy: e(x), x, **chosen),
            rtol=1e-3,
            atol=1e-4,
        )


@laws
@given(st.sampled_from([torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64]))
def test_any_type_that_holds_the_states_is_data(dtype):
    energy = IsingEnergy(4)
    torch.nn.init.normal_(energy.weight)
    x = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1]])
    same = pyro_rm.estimate(energy, x.to(dtype))
    torch.testing.assert_close(same, pyro_rm.estimate(energy, x.float()))


@laws
@given(cases(), st.sampled_from(OBJECTIVES), st.data())
def test_rows_are_apart(case, objective, data):
    """Whatever their order and however they are arranged; half of them, alone."""
    space, energy, x = case
    chosen = {"state_space": space, "objective": objective, "num_neighbors": "all"}
    rows = x.reshape(-1, space.num_sites)
    expected = pyro_rm.estimate(energy, rows, **chosen)
    order = torch.tensor(data.draw(st.permutations(range(len(rows)))))
    moved = pyro_rm.estimate(energy, rows[order], **chosen)
    torch.testing.assert_close(moved, expected[order], rtol=1e-4, atol=1e-4)
    arranged = pyro_rm.estimate(energy, x, **chosen)
    torch.testing.assert_close(arranged.flatten(), expected, rtol=1e-4, atol=1e-4)
    half = order[: (len(rows) + 1) // 2]
    alone = pyro_rm.estimate(energy, rows[half], **chosen)
    torch.testing.assert_close(alone, expected[half], rtol=1e-4, atol=1e-4)


@laws
@given(cases(), st.sampled_from(OBJECTIVES), st.data())
def test_masked_sites_are_as_if_deleted(case, objective, data):
    """What is left is an energy of the other sites, given these."""
    space, energy, x = case
    flags = st.lists(st.booleans(), min_size=space.num_sites, max_size=space.num_sites)
    active = torch.tensor(data.draw(flags.filter(any)))
    kinds = torch.tensor(space.categories)[active].tolist()
    left = pyro_rm.StateSpace(len(kinds), tuple(kinds), states=space.states)
    assume(left.is_binary == space.is_binary)  # else its encoding is another one

    def of_the_others(y):
        codes = left.decode(y)
        whole = x.expand((*codes.shape[:-1], -1)).clone()
        whole[..., active] = codes.to(x.dtype)
        return energy(space.encode(whole, x.dtype))

    chosen = {"objective": objective, "num_neighbors": "all"}
    masked = pyro_rm.estimate(energy, x, state_space=space, active=active, **chosen)
    deleted = pyro_rm.estimate(of_the_others, x[..., active], state_space=left, **chosen)
    torch.testing.assert_close(masked, deleted, rtol=1e-3, atol=1e-4)


@laws
@given(cases(), st.data())
def test_steps_keep_shapes_states_and_clamped_sites(case, data):
    space, energy, x = case
    step = data.draw(
        st.sampled_from(
            [
                markov_steps.GibbsSweep(),
                markov_steps.GibbsWithGradients(),
                markov_steps.DiscreteLangevin(step_size=0.5),
                markov_steps.ColoredGibbs(tuple(range(space.num_sites))),
            ]
        )
    )
    cells = data.draw(st.lists(st.booleans(), min_size=x.numel(), max_size=x.numel()))
    active = torch.tensor(cells).view(x.shape)
    encoded = space.encode(x, x.dtype)
    chains = markov_steps.Chains(Target(energy, space, active=active), encoded, step).run(1)
    moved, acceptance = chains.encoded, chains.acceptance
    assert moved.shape == encoded.shape
    assert moved.dtype == encoded.dtype
    assert acceptance.shape == x.shape[:-1]
    after = space.decode(moved)
    space.validate(after)
    assert torch.equal(after[~active].to(x.dtype), x[~active])


class Shifted:
    """An energy plus a constant."""

    def __init__(self, energy, constant):
        self.energy, self.constant, self.dtype = energy, constant, energy.dtype

    def __call__(self, x):
        return self.energy(x) + self.constant


@laws
@given(cases(), st.floats(-50, 50), st.integers(1, 50))
def test_partition_functions_of_shifted_energies_in_chunks(case, constant, chunk):
    space, energy, x = case
    energy.dtype = x.dtype
    exact = log_partition(energy, state_space=space)
    shifted = log_partition(Shifted(energy, constant), state_space=space)
    torch.testing.assert_close(shifted, exact - constant, rtol=1e-4, atol=1e-3)
    chunks = Enumeration(Target.of(energy, space), chunk_size=chunk).log_partition()
    torch.testing.assert_close(chunks, exact, rtol=1e-4, atol=1e-4)


@laws
@given(cases())
def test_nothing_missing_is_nothing_to_fill(case):
    space, energy, x = case
    active = torch.ones_like(x, dtype=torch.bool)
    plain = pyro_rm.estimate(energy, x, state_space=space, num_neighbors="all")
    exact = pyro_rm.Estimator(num_neighbors="all")
    for fill in (infer.GibbsFill(exact), infer.Marginalized(exact)):
        torch.testing.assert_close(fill(Target(energy, space, active=active), x), plain)
