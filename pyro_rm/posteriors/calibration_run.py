"""How draws of a generalized posterior are made and calibrated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pyro_rm.posteriors.affine_adjustment import affine_adjustment
from pyro_rm.posteriors.calibrated_posterior import CalibratedPosterior, Method
from pyro_rm.posteriors.louis_correction import sandwiches_over_fills
from pyro_rm.posteriors.posterior_modes import bootstrap_modes, posterior_mode
from pyro_rm.posteriors.sandwich import Sandwich, sandwich_at
from pyro_rm.posteriors.unconstrained_program import UnconstrainedProgram
from pyro_rm.poutine import ratio_matching

Sampler = Callable[..., Mapping[str, Tensor]]


@dataclass
class CalibrationRun:
    """One calibration: the program, how it is sampled, and what was noted on the way.

    :param program: The program; with estimators :class:`Fills` for :meth:`about`.
    :param sampler: Gives draws of the handled program; None for a normal approximation.
    :param num_draws: Draws of the normal approximation or of the bootstrap.
    :param progress: Whether to show a progress bar.
    :param notes: Warnings.
    """

    program: UnconstrainedProgram
    sampler: Sampler | None
    num_draws: int
    progress: bool
    notes: list[str] = field(default_factory=list)

    def bootstrap(self) -> CalibratedPosterior:
        """Modes under random weights."""
        program = self.program
        start = posterior_mode(program, program.start)
        flat = bootstrap_modes(program, start, self.num_draws, progress=self.progress)
        return self._result("bootstrap", flat)

    def about(self, values: Mapping[str, Tensor], num_fills: int) -> CalibratedPosterior:
        """Normal draws about an estimate, with Louis' correction where cells are missing."""
        flat = self.program.flatten({name: value[None] for name, value in values.items()})[0]
        pair = sandwiches_over_fills(self.program, flat, num_fills, progress=self.progress)
        self._has_enough(pair[1], "intervals may be too short")
        draws = []
        for matrices in pair:
            posterior = matrices.posterior_covariance(1.0)
            if posterior is None:
                raise ValueError(
                    "Expected an estimate that data and prior determine, but the curvature there "
                    "is not positive definite. Use proper priors, or more fills."
                )
            draws.append(self._normal(flat, matrices.calibrated_covariance(1.0, posterior)))
        return self._result("normal", draws[1], draws[0], eigenvalues=pair[1].eigenvalues())

    def weighted(self, method: Method) -> CalibratedPosterior:
        """Draws under the calibrated weight, and their affine map."""
        pilot = self._pilot()
        at_pilot = sandwich_at(self.program, pilot)
        eigenvalues = at_pilot.eigenvalues()
        if eigenvalues is None:
            self.notes.append(
                "The loss is not convex at the posterior's center, so no weight can be found: "
                "took the bootstrap. The pseudolikelihood is convex for exponential families."
            )
            return self.bootstrap()
        weight = len(eigenvalues) / float(eigenvalues.sum())
        enough = self._has_enough(at_pilot, "calibrated by a scalar weight only")
        flat, center, matrices = self._draw(weight, pilot)
        adjusted = self._adjusted(flat, weight, center, matrices) if enough else None
        if method == "scalar" or adjusted is None:
            method, adjusted = "scalar", flat
        return self._result(method, adjusted, flat, weight=weight, eigenvalues=eigenvalues)

    def _has_enough(self, matrices: Sandwich, otherwise: str) -> bool:
        """Whether units suffice to see their variability; notes the consequence if not."""
        num_units, size = len(matrices.scores), matrices.num_parameters
        enough = num_units >= 3 * size
        if not enough:
            self.notes.append(
                f"{num_units} independent units are few for {size} parameters (fewer than three "
                f"each): {otherwise}."
            )
        return enough

    def _pilot(self) -> Tensor:
        """The center of the posterior of weight 1."""
        if self.sampler is None:
            return posterior_mode(self.program, self.program.start)
        return self._center(self._sampled(1.0), 1.0)

    def _center(self, flat: Tensor, weight: float) -> Tensor:
        """The mode, if it is no further from the draws' mean than they are; else their mean."""
        mean = flat.mean(0)
        with suppress(ValueError):  # no finite mode
            mode = posterior_mode(self.program, mean, weight)
            off = (mode - mean).double()
            precision = torch.linalg.pinv(flat.double().mT.cov(), hermitian=True)
            if off @ precision @ off <= len(off):
                return mode
        self.notes.append(
            f"There is no mode among the draws of weight {weight:.3g}, as where scales have "
            "priors: calibrated about their mean."
        )
        return mean

    def _draw(self, weight: float, near: Tensor) -> tuple[Tensor, Tensor, Sandwich]:
        """Draws at a weight, their center, and the matrices there."""
        program = self.program
        if self.sampler is not None:
            flat = self._sampled(weight)
            center = self._center(flat, weight)
            return flat, center, sandwich_at(program, center)
        mode = posterior_mode(program, near, weight)
        matrices = sandwich_at(program, mode)
        covariance = matrices.posterior_covariance(weight)
        if covariance is None:
            raise ValueError(
                "Expected a posterior with a normal approximation, but it is flat or not "
                "concave at its mode. Pass a sampler such as NUTS."
            )
        return self._normal(mode, covariance), mode, matrices

    def _normal(self, center: Tensor, covariance: Tensor) -> Tensor:
        """Normal draws."""
        factor = torch.linalg.cholesky(covariance)
        noise = torch.randn(self.num_draws, len(factor), dtype=factor.dtype, device=factor.device)
        return (center + noise @ factor.mT).to(center.dtype)

    def _adjusted(
        self, flat: Tensor, weight: float, center: Tensor, matrices: Sandwich
    ) -> Tensor | None:
        """Draws with the calibrated covariance; None, with a note, where there is none."""
        posterior = matrices.posterior_covariance(weight)
        if posterior is None:
            self.notes.append(
                "The posterior is not log-concave at its center: took the draws' covariance "
                "for its curvature."
            )
            posterior = flat.double().mT.cov()
        covariance = matrices.calibrated_covariance(weight, posterior)
        if torch.linalg.cholesky_ex(covariance)[1]:
            self.notes.append(
                "The calibrated covariance is not positive definite: calibrated by a scalar "
                "weight only."
            )
            return None
        return affine_adjustment(flat, covariance, center)

    def _sampled(self, weight: float) -> Tensor:
        program = self.program
        handled = ratio_matching(program.model, program.estimators, weight=weight)
        assert self.sampler is not None
        draws = self.sampler(handled, *program.model_args, **program.model_kwargs)
        return program.flatten(draws)

    def _result(
        self, method: Method, flat: Tensor, before: Tensor | None = None, **found: Any
    ) -> CalibratedPosterior:
        draws = self.program.unflatten(flat)
        uncalibrated = {} if before is None else self.program.unflatten(before)
        return CalibratedPosterior(draws, method, tuple(self.notes), uncalibrated, **found)
