"""Several processes on the loopback interface equal one, and fail together."""

import multiprocessing
import signal
import subprocess
import sys
import textwrap
import time

import pyro
import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

import pyro_rm
from pyro_rm import Target
from pyro_rm.distributions import EnergyModel
from pyro_rm.energies import MLPEnergy
from pyro_rm.estimators import Estimator
from pyro_rm.infer import train
from pyro_rm.training.checkpoints import load_checkpoint

pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(), reason="needs gloo"
)
TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"
]  # fmt: skip
HANGS = 600  #: Seconds that only a process which waits for another forever takes.
DATA = (torch.arange(24)[:, None] * torch.arange(1, 7) % 7 < 3).float()


class Model(pyro.nn.PyroModule):
    def __init__(self, energy):
        super().__init__()
        self.energy = energy

    def forward(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("x", EnergyModel(self.energy), obs=x)


class Loss(nn.Module):
    def __init__(self, energy, **options):
        super().__init__()
        self.energy, self.options = energy, {"num_neighbors": "all"} | options

    def forward(self, x):
        return pyro_rm.estimate(self.energy, x, **self.options).mean()


def no_guide(x):
    pass


def losses(energy):
    return Loss(energy), pyro_rm.RatioMatchingLoss(num_neighbors="all")(Model(energy), no_guide)


def gradients(rank):
    """Of both losses, on this process's share of the data."""
    share, result = DATA[rank::2], []
    for k in range(2):
        torch.manual_seed(5 + rank)  # the first process's parameters count
        energy = MLPEnergy(6, (8,))
        parallel = DistributedDataParallel(losses(energy)[k])
        parallel(share).backward()
        result.append([p.grad for p in energy.parameters()])
    return result


def controlled(rank, parallel=True):
    """Gradients on this process's share, with neighbors and a control variate of its own seed."""
    torch.manual_seed(5)
    energy = MLPEnergy(6, (8,))
    loss = Loss(energy, num_neighbors=2, proposal="gradient", control_variate=True)
    loss = DistributedDataParallel(loss) if parallel else loss
    torch.manual_seed(20 + rank)
    loss(DATA[rank::2]).backward()
    return [p.grad for p in energy.parameters()]


def neighbors(rank):
    """Estimates of each process from its own seed, of the same energy and data."""
    torch.manual_seed(5)
    energy = MLPEnergy(6, (8,))
    pyro.set_rng_seed(1 + rank)
    return Estimator(num_neighbors=2)(Target.of(energy), DATA).detach()


def run(rank, path, num_steps):
    """Train on exact sums; the order of the data is shared."""
    torch.manual_seed(7)
    energy = MLPEnergy(6, (8,))
    loss = Loss(energy)
    if distributed.is_initialized():
        loss = DistributedDataParallel(loss)
    torch.manual_seed(8 + rank)
    train(
        loss, torch.optim.Adam(energy.parameters(), lr=0.01), DATA, num_steps=num_steps,
        batch_size=8, held_out=lambda: loss(DATA), evaluate_every=5, progress=False,
        checkpoint=path / f"run_{rank}.pt" if path.name == "apart" else path / "run.pt",
    )  # fmt: skip
    return torch.cat([p.detach().flatten() for p in energy.parameters()])


def in_group(function, rank, folder, arguments):
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    torch.save(function(rank, *arguments), folder / f"{rank}")
    distributed.destroy_process_group()


@pytest.fixture
def in_two_processes(monkeypatch, tmp_path_factory):
    """Run a function of the rank in two processes; returns both results."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pyro_rm", "pytest", "torch._dynamo"])

    def run_both(function, *arguments):
        folder = tmp_path_factory.mktemp("results")
        children = [
            context.Process(target=in_group, args=(function, rank, folder, arguments))
            for rank in range(2)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(HANGS)
            assert child.exitcode == 0
        return [torch.load(folder / f"{rank}", weights_only=True) for rank in range(2)]

    return run_both


def test_gradients_equal_those_of_one_process(in_two_processes):
    both = in_two_processes(gradients)
    for k, scale in enumerate([1, 1 / 2]):  # a mean over data, and Pyro's sum over data
        torch.manual_seed(5)
        energy = MLPEnergy(6, (8,))
        (scale * losses(energy)[k](DATA)).backward()
        for rank in range(2):
            for got, parameter in zip(both[rank][k], energy.parameters(), strict=True):
                torch.testing.assert_close(got, parameter.grad)


def test_gradients_with_a_control_variate_are_averaged(in_two_processes):
    both = in_two_processes(controlled)
    alone = [controlled(rank, parallel=False) for rank in range(2)]
    for first, second, *got in zip(*alone, *both, strict=True):
        assert not torch.equal(first, second)
        for gradient in got:
            torch.testing.assert_close(gradient, (first + second) / 2)


def test_neighbors_differ_between_processes(in_two_processes):
    first, second = in_two_processes(neighbors)
    assert not torch.equal(first, second)


def test_checkpoints_are_written_once_and_resumed_with_another_number(in_two_processes, tmp_path):
    expected = run(0, tmp_path / "alone", 20)
    in_two_processes(run, tmp_path / "shrunk", 10)
    torch.testing.assert_close(run(0, tmp_path / "shrunk", 20), expected)
    run(0, tmp_path / "grown", 10)
    for parameters in in_two_processes(run, tmp_path / "grown", 20):
        torch.testing.assert_close(parameters, expected)
    in_two_processes(run, tmp_path / "apart", 1)
    assert [path.name for path in (tmp_path / "apart").iterdir()] == ["run_0.pt"]


def test_an_interrupt_stops_all_processes_with_one_checkpoint(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent("""
        import pathlib, torch
        from torch import distributed, nn
        from torch.nn.parallel import DistributedDataParallel
        from pyro_rm.infer import train

        folder = pathlib.Path(__file__).parent
        distributed.init_process_group("gloo")
        module = DistributedDataParallel(nn.Linear(3, 1))
        optimizer = torch.optim.SGD(module.parameters(), lr=1e-6)
        result = train(
            lambda x: module(x).mean(), optimizer, torch.ones(2, 3), num_steps=10**9,
            checkpoint=folder / "run.pt", checkpoint_every=10**8, progress=False,
            log=lambda name, value, step: (folder / "running").touch(),
        )
        (folder / f"{distributed.get_rank()}.txt").write_text(result.stopped_by)
        distributed.destroy_process_group()
        """)
    )
    with subprocess.Popen([*TORCHRUN, str(script)], stderr=subprocess.DEVNULL) as job:
        try:
            while not (tmp_path / "running").exists():
                assert job.poll() is None
                time.sleep(0.1)
            job.send_signal(signal.SIGINT)
            job.wait(HANGS)
        finally:
            job.terminate()
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == ["interrupt"] * 2
    step = load_checkpoint(tmp_path / "run.pt")["step"]
    assert step > 0
    assert step % 50 == 0


def test_loss_of_a_process_ends_the_job_with_an_error(tmp_path):
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent("""
        import os, signal, torch
        from torch import distributed, nn
        from torch.nn.parallel import DistributedDataParallel
        from pyro_rm.infer import train

        def batch(step):
            if step == 3 and distributed.get_rank() == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return torch.ones(2, 3)

        distributed.init_process_group("gloo")
        module = DistributedDataParallel(nn.Linear(3, 1))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        train(lambda x: module(x).mean(), optimizer, batch, num_steps=10**9, progress=False)
    """)
    )
    done = subprocess.run(
        [*TORCHRUN, str(script)], timeout=HANGS, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr
