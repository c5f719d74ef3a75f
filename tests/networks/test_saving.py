"""Networks in files: what comes back, and what is refused."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from pyro_rm.networks import IsingNetwork, OrdinalNetwork, PottsNetwork, Selection
from pyro_rm.objectives import RatioMatching


def table(kinds):
    x = np.random.default_rng(0).integers(0, kinds, (120, 4)).astype(float)
    x[::7, 1] = np.nan
    return pd.DataFrame(x, columns=list("abcd"))


NETWORKS = {
    "Ising": lambda: IsingNetwork(random_state=1, num_rounds=2).fit(table(2)),
    "Ising on a graph": lambda: IsingNetwork(
        graph=nx.path_graph(list("abcd")), random_state=1, num_rounds=2, objective=RatioMatching()
    ).fit(table(2)),
    "Ising of spins": lambda: IsingNetwork(
        selection=Selection(gamma=0.0), random_state=1, dtype=torch.float32, num_rounds=2
    ).fit((2 * table(2) - 1).to_numpy()),
    "Potts": lambda: PottsNetwork(random_state=1, num_rounds=2, max_steps=5).fit(table(3)),
    "ordinal": lambda: OrdinalNetwork(random_state=1, num_rounds=2).fit(table(3)),
    "ordinal of kinds": lambda: OrdinalNetwork(
        selection=None, kinds={"b": "nominal"}, thresholds="blume_capel", random_state=1
    ).fit(table(3)),
    "Potts of arrays": lambda: PottsNetwork(
        random_state=1, num_categories=(3, 3, 4, 3), num_rounds=2, max_steps=5
    ).fit(table(3).to_numpy()),
}


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_network_comes_back_as_it_was(name, tmp_path):
    network = NETWORKS[name]()
    network.save(tmp_path / "network.pt")
    again = type(network).load(tmp_path / "network.pt")
    assert repr(again) == repr(network) or network.graph is not None
    for key, value in vars(network).items():
        if key.endswith("_") and key not in ("energy_", "filler_"):
            other = getattr(again, key)
            assert type(other) is type(value), key
            if key == "scores_":  # numbers of categories beside tuples
                assert other == value
                continue
            assert np.array_equal(np.asarray(other), np.asarray(value), equal_nan=_is_real(value))
    data = table(2 if isinstance(network, IsingNetwork) else 3)
    data = 2 * data - 1 if network.categories_[0] == -1 else data
    data = data if "a" in network.feature_names_in_ else data.to_numpy()
    assert again.score(data) == network.score(data)
    assert np.array_equal(again.impute(data, proba=True), network.impute(data, proba=True))
    assert np.array_equal(again.sample(9, num_steps=3), network.sample(9, num_steps=3))


def test_numbers_of_numpy_and_devices_come_back_as_plain_options(tmp_path):
    options = {"ridge": np.float32(0.5), "device": torch.device("cpu"), "selection": None}
    IsingNetwork(num_rounds=2, **options).fit(table(2)).save(tmp_path / "network.pt")
    again = IsingNetwork.load(tmp_path / "network.pt")
    assert (type(again.ridge), again.ridge, again.device) == (float, 0.5, options["device"])


def _is_real(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "network.pt"
    with pytest.raises(FileNotFoundError, match="Expected a saved network"):
        IsingNetwork.load(path)
    path.write_text("a,b\n1,0\n")
    with pytest.raises(ValueError, match="cannot be read"):
        IsingNetwork.load(path)
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="holds other data"):
        IsingNetwork.load(path)
    torch.save(Selection(), path)
    with pytest.raises(ValueError, match="cannot be read"):
        IsingNetwork.load(path)
    NETWORKS["Potts"]().save(path)
    with pytest.raises(ValueError, match=r"saved IsingNetwork, but .* holds a PottsNetwork"):
        IsingNetwork.load(path)
    content = torch.load(path, weights_only=True)
    torch.save(content | {"version": 9}, path)
    with pytest.raises(ValueError, match="version 9"):
        PottsNetwork.load(path)


def test_what_cannot_be_saved_is_said(tmp_path):
    with pytest.raises(ValueError, match="Call fit first"):
        IsingNetwork().save(tmp_path / "x")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        NETWORKS["Ising"]().save(tmp_path)
    network = NETWORKS["Ising"]().set_params(random_state=np.random.default_rng(0))
    with pytest.raises(TypeError, match="Expected random_state as a number"):
        network.save(tmp_path / "x")
