"""Scikit-learn's own checks: those that fail, and why they cannot hold for such tables.

Its data are real numbers, so that tables are cut at the medians of what was fitted.
"""

import numpy as np
import pytest
import torch
from sklearn.utils import estimator_checks

from pyro_rm.networks import IsingNetwork, PottsNetwork


def dense(X):
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=float)


class Cut:
    """Tables of real numbers as two or three categories a column."""

    def _read(self, X, sample_weight):
        self._cuts = np.nanquantile(dense(X), self._at, axis=0)
        return super()._read(self._cut(X), sample_weight)

    def _read_like(self, X):
        return super()._read_like(self._cut(X))

    def _cut(self, X):
        values = dense(X)
        return sum((values > cut).astype(float) for cut in np.atleast_2d(self._cuts))


class CutIsing(Cut, IsingNetwork):
    _at = 0.5

    def __init__(self, *, selection=None, ridge=1.0, num_rounds=2):
        super().__init__(selection=selection, ridge=ridge, num_rounds=num_rounds)


class CutPotts(Cut, PottsNetwork):
    _at = (0.33, 0.67)

    def __init__(self, *, max_steps=5):
        super().__init__(max_steps=max_steps, dtype=torch.float64)


OWN_WORDS = "it is refused in words of our own"
COPIES = "its data, cut, have columns that are constant or copies, which are refused"
NOT_MET = {
    "check_complex_data": OWN_WORDS,
    "check_estimator_sparse_array": COPIES,
    "check_estimator_sparse_matrix": COPIES,
    "check_estimators_empty_data_messages": OWN_WORDS,
    "check_fit2d_1feature": "one column has no pairs",
    "check_fit2d_1sample": "one row has constant columns",
    "check_fit2d_predict1d": OWN_WORDS,
    "check_n_features_in_after_fitting": OWN_WORDS,
    "check_pipeline_consistency": COPIES,
    "check_sample_weight_equivalence_on_dense_data": COPIES,
    "check_sample_weight_equivalence_on_sparse_data": COPIES,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("network", [CutIsing(), CutPotts()], ids=["Ising", "Potts"])
def test_checks(network):
    results = estimator_checks.check_estimator(network, on_fail=None, on_skip=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert failed <= set(NOT_MET), failed - set(NOT_MET)
