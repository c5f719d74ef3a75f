"""The conventions of scikit-learn estimators, without depending on it."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import torch
from torch import Tensor


class Parameters:
    """Constructor arguments as parameters: read, set, cloned and shown.

    Subclasses store each argument of ``__init__`` under its own name, unchanged; what
    ``fit`` learns is named with a trailing underscore.
    """

    dtype: torch.dtype
    device: torch.device | str | None
    energy_: Any
    edges_: Any
    filler_: Any
    standard_errors_: Any
    joint_covariance_: Any
    feature_names_in_: Any
    n_features_in_: int
    num_missing_: int
    num_rows_: int

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Constructor arguments by name.

        :param deep: For compatibility; there are no nested estimators.
        :returns: What to construct an equal, unfitted estimator with.
        """
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **parameters: Any) -> Any:
        """Set constructor arguments by name.

        :returns: The estimator.
        :raises ValueError: If there is no argument of that name.
        """
        for name, value in parameters.items():
            if name not in self._names():
                raise ValueError(f"Expected one of {self._names()}, but got {name!r}.")
            setattr(self, name, value)
        return self

    def _placed(self, values: Tensor) -> Tensor:
        """Data in the type and on the device that it computes in."""
        return values.to(self.device, self.dtype)

    def _check_fitted(self) -> None:
        if not hasattr(self, "feature_names_in_"):
            raise _not_fitted()(
                f"Expected a fitted {type(self).__name__}, but it has seen no data. Call fit first."
            )

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = (
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default and value != defaults[name].default
        )
        unfitted = f"{type(self).__name__}({', '.join(changed)})"
        if not hasattr(self, "feature_names_in_"):
            return unfitted
        return (
            f"{unfitted}, fitted: {self.num_rows_} rows, {self.n_features_in_} columns, "
            f"{self.num_missing_} blanks, {len(self.edges_)} edges"
        )

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            input_tags=InputTags(allow_nan=True, sparse=True),
        )


def _not_fitted() -> type[ValueError]:
    """What scikit-learn raises, where that is in use; it is a ValueError."""
    if "sklearn" not in sys.modules:
        return ValueError
    from sklearn.exceptions import NotFittedError

    return NotFittedError
