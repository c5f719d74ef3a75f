"""The training loop: resumption to the last bit, early stopping, averages, interrupts."""

import multiprocessing
import os
import random
import signal
import threading

import pyro
import pytest
import torch
from tqdm import tqdm

import pyro_rm
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import MLPEnergy
from pyro_rm.infer import train, warmup_cosine

NUM_STEPS = 90


def binary_data(num_data=32, num_sites=6):
    return (torch.arange(num_data)[:, None] * torch.arange(1, num_sites + 1) % 7 < 3).float()


def run(folder, *, num_steps=NUM_STEPS, control_variate=False, **options):
    """A run with everything that has a state; its loss draws random neighbors."""
    torch.manual_seed(3)
    energy, x = MLPEnergy(6, (8,)), binary_data()
    optimizer = torch.optim.Adam(energy.parameters(), lr=0.01)

    def loss(x):
        options = {"num_neighbors": 2, "control_variate": control_variate}
        return pyro_rm.estimate(energy, x, **options).mean()

    defaults = {
        "batch_size": 12, "schedule": warmup_cosine(optimizer, NUM_STEPS, num_warmup_steps=10),
        "clip_norm": 1.0, "average": 0.9, "held_out": lambda: loss(x), "evaluate_every": 7,
        "checkpoint": folder / "run.pt", "checkpoint_every": 3, "progress": False,
    }  # fmt: skip
    result = train(loss, optimizer, x, num_steps=num_steps, **(defaults | options))
    return result, torch.cat([p.detach().flatten() for p in energy.parameters()])


def run_in_child(folder, sender):
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # the default one leaks a semaphore when killed
    run(folder, log=lambda name, value, step: sender.send(step), log_every=1)
    signal.pause()  # until it is killed


def test_killed_runs_resume_to_the_last_bit(tmp_path):
    """Killed in the middle of steps, wherever these are by then."""
    expected, parameters = run(tmp_path / "whole", log_every=1)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pyro_rm", "pytest", "torch._dynamo"])  # what a step imports
    moments, resumed = random.Random(0), 0
    for number in range(20):
        folder = tmp_path / f"killed_{number}"
        reached, sender = context.Pipe(duplex=False)
        child = context.Process(target=run_in_child, args=(folder, sender), daemon=True)
        child.start()
        sender.close()
        last = moments.randrange(NUM_STEPS)
        while reached.recv() < last:
            pass
        child.join(moments.uniform(0, 0.01))
        child.kill()
        child.join()
        resumed += (folder / "run.pt").exists()
        got, got_parameters = run(folder, log_every=1)
        assert got == expected
        assert torch.equal(got_parameters, parameters)
    assert resumed >= 5  # the moments are uniform over the run, so that 19 are expected


def test_runs_with_a_control_variate_resume_to_the_last_bit(tmp_path):
    options = {"control_variate": True, "held_out": None}  # one more evaluation could be the best
    _, plain = run(tmp_path / "plain", held_out=None)
    _, expected = run(tmp_path / "whole", **options)
    for num_steps in (31, 60, NUM_STEPS):
        _, got = run(tmp_path / "pieces", num_steps=num_steps, **options)
    assert torch.equal(got, expected)
    assert not torch.equal(got, plain)


def test_resuming_a_finished_run_takes_no_step(tmp_path):
    expected, parameters = run(tmp_path)
    got, got_parameters = run(tmp_path)
    assert got == expected
    assert torch.equal(got_parameters, parameters)
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_ctrl_c_stops_cleanly_and_the_run_goes_on(tmp_path):
    expected, parameters = run(tmp_path / "whole")

    def interrupt(name, value, step):
        if (name, step) == ("loss", 50):
            os.kill(os.getpid(), signal.SIGINT)

    got, _ = run(tmp_path, log=interrupt)
    assert (got.stopped_by, got.num_steps) == ("interrupt", 50)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    got, got_parameters = run(tmp_path)
    assert got == expected
    assert torch.equal(got_parameters, parameters)


def test_a_run_in_another_thread_leaves_interrupts_to_the_main_one(tmp_path):
    expected, parameters = run(tmp_path / "main", num_steps=20)
    before, found = signal.getsignal(signal.SIGINT), []
    thread = threading.Thread(target=lambda: found.append(run(tmp_path, num_steps=20)))
    thread.start()
    thread.join()
    assert found[0][0] == expected
    assert torch.equal(found[0][1], parameters)
    assert signal.getsignal(signal.SIGINT) is before


def parabola(**options):
    """Descend x² from 1 in steps of a tenth of the slope, and return where it ends."""
    x = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([x], lr=options.pop("rate", 0.1))
    result = train(
        lambda _: x.square().sum(), optimizer, lambda step: torch.tensor(step),
        **({"num_steps": 30, "progress": False} | options),
    )  # fmt: skip
    return result, x, optimizer


def test_patience_restores_the_best_parameters():
    watched = []

    def target():  # the held-out optimum is at 0.5, which training passes
        watched.append(1)
        return (x_of() - 0.5).abs().sum()

    x = torch.ones(1, requires_grad=True)
    x_of = lambda: x  # noqa: E731
    result = train(
        lambda _: x.square().sum(), torch.optim.SGD([x], lr=0.1), lambda step: torch.zeros(()),
        num_steps=100, held_out=target, evaluate_every=1, patience=4, progress=False,
    )  # fmt: skip
    assert result.stopped_by == "patience"
    assert result.num_steps == result.best_step + 4 == len(watched)
    path = 0.8 ** torch.arange(1, 10)
    best = (path - 0.5).abs().argmin()
    assert result.best_step == best + 1
    torch.testing.assert_close(x.detach(), path[best].reshape(1))


def test_the_average_is_returned():
    _, x, _ = parabola(average=0.5, num_steps=4)
    value, average = 1.0, 1.0
    for step in range(1, 5):
        value *= 0.8
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * value
    torch.testing.assert_close(x.detach(), torch.tensor([average]))


def test_the_gradient_is_clipped():
    _, x, _ = parabola(clip_norm=0.5, num_steps=1)
    torch.testing.assert_close(x.detach(), torch.tensor([0.95]))


class Writer:
    """What TensorBoard's SummaryWriter offers."""

    def __init__(self):
        self.rows = []

    def add_scalar(self, tag, scalar_value, global_step):
        self.rows.append((tag, scalar_value, global_step))


def test_logging_to_an_object_and_to_a_function():
    writer, rows = Writer(), []
    result, _, _ = parabola(log=writer, log_every=10)
    parabola(log=lambda *row: rows.append(row), log_every=10)
    assert writer.rows == rows
    assert [(step, value) for name, value, step in rows if name == "loss"] == result.losses
    mean = sum(0.64**k for k in range(10)) / 10
    assert result.losses[0] == (10, pytest.approx(mean))


def test_epochs_visit_each_datum_once():
    seen = []
    parameter = torch.zeros(1, requires_grad=True)

    def loss(x, index):
        assert torch.equal(x[:, 0], index)
        seen.append(index)
        return parameter.sum()

    data = (torch.arange(10)[:, None], torch.arange(10))
    train(
        loss, torch.optim.SGD([parameter], lr=0.1), data, num_steps=6, batch_size=3, progress=False
    )
    for epoch in (torch.cat(seen[:3]), torch.cat(seen[3:])):
        assert len(set(epoch.tolist())) == 9
    assert not torch.equal(torch.cat(seen[:3]), torch.cat(seen[3:]))


def test_evaluation_takes_no_random_numbers_from_training():
    def neighbors(**options):
        torch.manual_seed(1)
        drawn, x = [], torch.zeros(1, requires_grad=True)

        def loss(_):
            drawn.append(torch.rand(()).item())
            return x.sum()

        train(
            loss, torch.optim.SGD([x], lr=0.1), lambda step: torch.zeros(()),
            num_steps=6, progress=False, **options,
        )  # fmt: skip
        return drawn

    noise = []
    watched = neighbors(held_out=lambda: noise.append(torch.rand(()).item()) or 0, evaluate_every=2)
    assert watched == neighbors()
    assert len(noise) == 3
    assert len(set(noise)) == 1


@pytest.mark.parametrize("module", [True, False])
def test_pyro_programs_train(module):
    """As a module, and by the param store."""
    energy, x = MLPEnergy(6, (8,)), binary_data()

    class Model(pyro.nn.PyroModule):
        def __init__(self):
            super().__init__()
            self.energy = energy

        def forward(self, x):
            with pyro.plate("data", len(x)):
                pyro.sample("x", EnergyModel(self.energy), obs=x)

    def program(x):
        pyro.module("energy", energy)
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(energy), obs=x)

    elbo = pyro_rm.RatioMatchingLoss(num_neighbors=3)
    if module:
        loss = elbo(Model(), lambda x: None)
        parameters = list(loss.parameters())
    else:
        loss = lambda x: elbo.differentiable_loss(program, lambda x: None, x)  # noqa: E731
        loss(x)
        parameters = [value.unconstrained() for value in pyro.get_param_store().values()]
    optimizer = torch.optim.Adam(parameters, lr=0.03)
    result = train(loss, optimizer, x, num_steps=60, log_every=10, progress=False)
    assert result.losses[-1][1] < 0.7 * result.losses[0][1]


@pytest.mark.parametrize(("options", "error", "message"), [
    ({"rate": 1e30}, ValueError, "Expected a finite loss, but got"),
    ({"patience": 2}, ValueError, "Expected held_out beside patience"),
    ({"held_out": lambda: float("nan")}, ValueError, "Expected a finite held-out objective"),
    ({"log": 3}, TypeError, "Expected log to be a function"),
    ({"average": 1.0}, ValueError, "Expected the decay"),
    ({"batch_size": 3}, ValueError, "Expected no batch_size"),
])  # fmt: skip
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        parabola(**options)


@pytest.mark.parametrize(("data", "batch_size", "error", "message"), [
    (torch.ones(4, 1), 5, ValueError, "Expected batch_size from 1 to 4"),
    ((torch.ones(4), torch.ones(3)), 2, ValueError, "one leading size"),
    (torch.ones(4, 1).numpy(), None, TypeError, "batch\\(step\\)"),
])  # fmt: skip
def test_bad_data(data, batch_size, error, message):
    x = torch.ones(1, requires_grad=True)
    with pytest.raises(error, match=message):
        train(
            lambda batch: x.sum(), torch.optim.SGD([x], lr=0.1), data, num_steps=1,
            batch_size=batch_size, progress=False,
        )  # fmt: skip


def test_a_loss_for_each_datum_is_refused():
    x = torch.ones(3, requires_grad=True)
    with pytest.raises(ValueError, match="Take its mean"):
        train(lambda batch: x, torch.optim.SGD([x]), torch.ones(2), num_steps=1, progress=False)


def test_a_checkpoint_of_another_space_is_refused(tmp_path):
    def trained(states, num_steps):
        energy = MLPEnergy(6, (8,), states=states)
        data = states[0] + (states[1] - states[0]) * binary_data()
        optimizer = torch.optim.Adam(energy.parameters())
        options = {"checkpoint": tmp_path / "run.pt", "progress": False, "num_steps": num_steps}
        return train(lambda x: pyro_rm.estimate(energy, x).mean(), optimizer, data, **options)

    assert trained((0, 1), 2).num_steps == 2
    with pytest.raises(ValueError, match=r"states=\(-1, 1\)\), but got those .*states=\(0, 1\)\)"):
        trained((-1, 1), 4)
    assert trained((0, 1), 4).num_steps == 4


def test_a_place_that_takes_no_checkpoint_is_found_before_the_first_step(tmp_path):
    (tmp_path / "file").write_text("")
    weight, seen = torch.zeros(3, requires_grad=True), []

    def loss(x):
        seen.append(1)
        return (x - weight).square().mean()

    with pytest.raises(OSError, match="Expected a folder to write checkpoints to"):
        train(loss, torch.optim.SGD([weight], lr=0.1), torch.ones(8, 3), num_steps=3,
              batch_size=4, checkpoint=tmp_path / "file" / "run.pt", progress=False)  # fmt: skip
    assert not seen
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(ValueError, match="Expected a checkpoint of this run"):
        run(tmp_path, average=None)


@pytest.mark.parametrize("options", [{"num_warmup_steps": 9}, {"final_share": 2.0}])
def test_bad_schedules(options):
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)
    with pytest.raises(ValueError, match="Expected"):
        warmup_cosine(optimizer, 5, **options)
