"""Files that are cut short, changed or hostile are refused by an error, never run or half read."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_rm.datasets import Alignment, read_alignment
from pyro_rm.training.checkpoints import load_checkpoint, save_checkpoint

fuzz = settings(
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Hostile:
    """Would write a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@st.composite
def damages(draw):
    """A function that cuts bytes or overwrites some of them."""
    share, patch = draw(st.floats(0, 1)), draw(st.binary(max_size=6))

    def damage(content):
        place = int(share * len(content))
        return content[:place] + patch + content[place + len(patch) :][: 0 if not patch else None]

    return damage


def damaged(path, content, damage):
    path.write_bytes(damage(content))
    return path


@fuzz
@given(damages())
def test_archives(tmp_path, damage):
    np.savez(tmp_path / "good.npz", msa=np.ones((4, 6), dtype=np.int64))
    path = damaged(tmp_path / "x.npz", (tmp_path / "good.npz").read_bytes(), damage)
    try:
        assert isinstance(read_alignment(path), Alignment)
    except ValueError as error:
        assert str(error)  # noqa: PT017


def test_archives_hold_no_objects(tmp_path):
    target = tmp_path / "written"
    np.savez(tmp_path / "x.npz", msa=np.array([Hostile(target)], dtype=object))
    with pytest.raises(ValueError, match="holds Python objects"):
        read_alignment(tmp_path / "x.npz")
    assert not target.exists()


@fuzz
@given(damages())
def test_checkpoints(tmp_path, damage):
    state = {"step": 3, "weight": torch.arange(100.0)}
    save_checkpoint(state, tmp_path / "good.pt")
    path = damaged(tmp_path / "x.pt", (tmp_path / "good.pt").read_bytes(), damage)
    try:
        assert isinstance(load_checkpoint(path), dict)
    except ValueError as error:
        assert "checkpoint" in str(error)  # noqa: PT017


def test_checkpoints_hold_no_code(tmp_path):
    target = tmp_path / "written"
    torch.save({"step": Hostile(target)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="checkpoint"):
        load_checkpoint(tmp_path / "x.pt")
    (tmp_path / "y.pt").write_bytes(pickle.dumps(Hostile(target)))
    with pytest.raises(ValueError, match="checkpoint"):
        load_checkpoint(tmp_path / "y.pt")
    assert not target.exists()
