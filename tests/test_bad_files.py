"""Every loader and every file that is none of its own: each cell is an error that says the path."""

import gzip
import pickle

import numpy as np
import pytest
import torch

from pyro_rm.datasets import read_alignment, read_csv_table
from pyro_rm.graphs import ego_small
from pyro_rm.infer import train
from pyro_rm.training.checkpoints import FORMAT, VERSION, load_checkpoint, save_checkpoint


def trained(path, **options):
    """A run that writes a checkpoint, or goes on from it."""
    weight = torch.ones(3, requires_grad=True)
    optimizer = options.pop("optimizer", torch.optim.Adam)([weight], lr=0.1)
    defaults = {"num_steps": 2, "average": 0.9, "batch_size": 2, "progress": False}
    train(
        lambda x: (x - weight).square().mean(), optimizer, torch.zeros(4, 3), checkpoint=path,
        **(defaults | options),
    )  # fmt: skip
    return weight


LOADERS = {
    "table": (read_csv_table, "x.csv"),
    "a2m": (read_alignment, "x.a2m"),
    "fasta": (read_alignment, "x.fasta"),
    "npz": (read_alignment, "x.npz"),
    "edges": (ego_small, "x.csv"),
    "compressed edges": (ego_small, "x.csv.gz"),
    "checkpoint": (load_checkpoint, "x.pt"),
    "run": (trained, "x.pt"),
}
CONTENTS = {
    "empty": b"",
    "binary": bytes(range(128, 256)) * 9,
    "pickle": pickle.dumps([1, 2]),
    "half an archive": gzip.compress(b"a,b\n" + b"1,2\n" * 999)[:-20],
    "a header": b"a,b\n",
    "rows of two lengths": b"a,b\n1,2\n1,2,3\n",
}


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("content", CONTENTS)
def test_contents(tmp_path, loader, content):
    load, name = LOADERS[loader]
    path = tmp_path / name
    path.write_bytes(CONTENTS[content])
    with pytest.raises(ValueError, match="Expected") as raised:
        load(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("loader", LOADERS)
def test_folders(tmp_path, loader):
    load, name = LOADERS[loader]
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=rf"{name} is a folder\. Give the path of a file"):
        load(tmp_path / name)


@pytest.mark.parametrize("loader", [name for name in LOADERS if name != "run"])
def test_no_file(tmp_path, loader):
    load, name = LOADERS[loader]
    with pytest.raises(FileNotFoundError, match=f"Expected .* at .*{name}, but there is no such"):
        load(tmp_path / name)


ARCHIVES = {
    "codes of another alphabet": {"msa": np.full((3, 4), 21)},
    "negative codes": {"msa": np.full((3, 4), -1)},
    "codes as floats": {"msa": np.full((3, 4), np.nan)},
    "no sequence": {"msa": np.zeros((0, 4), dtype=int)},
    "a row": {"msa": np.zeros(4, dtype=int)},
    "distances of other sites": {"msa": np.zeros((3, 4), dtype=int), "dist_cb": np.zeros((3, 3))},
    "distances as text": {"msa": np.zeros((3, 1), dtype=int), "dist_cb": np.array([["x"]])},
}


@pytest.mark.parametrize("arrays", ARCHIVES.values(), ids=ARCHIVES)
def test_archives(tmp_path, arrays):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=r"Expected (msa|dist_cb) .*in .*x\.npz"):
        read_alignment(tmp_path / "x.npz")


@pytest.mark.parametrize("alphabet", ["", "-", "-AA", "-Å", "-Aa", "-.A", "-A ", ">A", "-A\n"])
def test_alphabets(tmp_path, alphabet):
    (tmp_path / "x.fasta").write_text(">one\n-A\n")
    with pytest.raises(ValueError, match="Expected different letters of ASCII, two or more"):
        read_alignment(tmp_path / "x.fasta", alphabet=alphabet)


def of_version(version):
    return {"format": FORMAT, "version": version, "state": {"step": 1}}


CHECKPOINTS = {
    "a tensor": (torch.ones(3), "something else"),
    "a list": ([1, 2], "something else"),
    "weights": ({"weight": torch.ones(3)}, "something else"),
    "of the future": (
        of_version(VERSION + 1),
        f"of version {VERSION}, .* of version {VERSION + 1}",
    ),
    "without a version": (of_version(None), f"of version {VERSION}, .* of version None"),
    "without a state": ({"format": FORMAT, "version": VERSION}, f"of version {VERSION}"),
}


@pytest.mark.parametrize("load", [load_checkpoint, trained])
@pytest.mark.parametrize(("content", "message"), CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_checkpoints(tmp_path, load, content, message):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ValueError, match=message) as raised:
        load(tmp_path / "x.pt")
    assert str(tmp_path / "x.pt") in str(raised.value)


CHANGES = {
    "no step": lambda state: state.pop("step"),
    "one thing more": lambda state: state.update(more=1),
    "steps as text": lambda state: state.update(step="many"),
    "losses as a number": lambda state: state.update(losses=3),
    "no moments": lambda state: state["optimizer"].pop("state"),
    "one more group": lambda state: state["optimizer"].update(param_groups=[]),
    "best as a number": lambda state: state.update(best=3),
    "a short generator": lambda state: state["random_states"][0].update(cpu=torch.zeros(3)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_states_that_were_changed(tmp_path, change):
    path = tmp_path / "x.pt"
    trained(path)
    state = load_checkpoint(path)
    change(state)
    save_checkpoint(state, path)
    with pytest.raises(ValueError, match=r"Expected the state of this run in .*x\.pt.*delete"):
        trained(path, num_steps=4)


OTHER_RUNS = {
    "optimizer": ({"optimizer": torch.optim.SGD}, "with SGD, .* is of one with Adam"),
    "average": ({"average": None}, r"with Adam, NoneType, NoneType, Shuffled.* MovingAverage"),
    "one more": ({"stateful": [torch.nn.Linear(1, 1)]}, "MovingAverage, Linear, Shuffled"),
}


@pytest.mark.parametrize(("options", "message"), OTHER_RUNS.values(), ids=OTHER_RUNS)
def test_checkpoints_of_another_run(tmp_path, options, message):
    path = tmp_path / "x.pt"
    trained(path)
    with pytest.raises(ValueError, match=message):
        trained(path, **options)
