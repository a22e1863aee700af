"""Safeguarded Anderson acceleration of a fixed-point iteration on one vector of potentials."""

from __future__ import annotations

import torch

_RIDGE = 1e-10
_JUMP = 1.5  # the error grew by this factor in one step ...
_ABOVE_BEST = 2.0  # ... and stands this far above the best seen: the history misleads


class Anderson:
    """Mix the last few residuals of g -> T(g); type II, weighted least squares, one plain step back when it misleads.

    With `depth` 0 this is g + mixing (T(g) - g): mixing 1 is plain Sinkhorn, 1 to 2 is over-relaxation. Every variant
    has the same fixed point.

    All decisions come from the numbers handed in, in float64: workers that hand in equal numbers stay equal.

    Source: Anderson, "Iterative procedures for nonlinear integral equations", J. ACM 12 (1965); SIEOUG
    (arXiv 2502.16068) names a weighted fixed-point iteration (WAFI) whose formula could not be read.

    Args:
        weights: (m,) float64, at least 0: what each component counts (the masses b).
        depth: Residuals kept; 5 is enough down to epsilon 0.02, 20 for high accuracy below.
        mixing: Step length along the residual, in (0, 2).
        shift_invariant: T(g + c) = T(g) + c, as for balanced marginals: the weighted mean of g is then removed.
    """

    def __init__(self, weights: torch.Tensor, depth: int, mixing: float = 1.0, shift_invariant: bool = True) -> None:
        self._weights = weights / weights.sum()
        self._root = self._weights.sqrt()
        self._depth = depth
        self._mixing = mixing
        self._shift_invariant = shift_invariant
        self._points: list[torch.Tensor] = []
        self._residuals: list[torch.Tensor] = []
        self._last_error = float("inf")
        self.best_error = float("inf")
        self.best_point: torch.Tensor | None = None
        self._best_image: torch.Tensor | None = None

    def propose(self, point: torch.Tensor, image: torch.Tensor, error: float) -> torch.Tensor:
        """Return the next point to try.

        Args:
            point: (m,) float64, g.
            image: (m,) float64, T(g).
            error: How far g is from the fixed point; an error that is not finite counts as a failed step.
        """
        finite = error == error and error != float("inf")
        if finite and error < self.best_error:
            self.best_error, self.best_point, self._best_image = error, point, image
        if self._misled(error, finite) and self._best_image is not None:
            self._points.clear()
            self._residuals.clear()
            self._last_error = self.best_error
            return self._centred(self._best_image)
        self._last_error = error
        residual = self._centred(image - point)
        if self._depth == 0:
            return self._centred(point + self._mixing * residual)
        self._points = [*self._points[-self._depth :], point]
        self._residuals = [*self._residuals[-self._depth :], residual]
        return self._centred(self._mixed(point, residual))

    def state(self) -> dict[str, torch.Tensor]:
        """Return all that the next step depends on, for a checkpoint."""
        errors = torch.tensor([self._last_error, self.best_error], dtype=torch.float64, device="cpu")
        state = {"errors": errors}
        if self._points:
            state["points"] = torch.stack(self._points).cpu()
            state["residuals"] = torch.stack(self._residuals).cpu()
        if self.best_point is not None and self._best_image is not None:
            state["best"] = torch.stack([self.best_point, self._best_image]).cpu()
        return state

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take up where `state` was taken."""
        device = self._weights.device
        self._last_error, self.best_error = (float(value) for value in state["errors"])
        self._points = [row.to(device) for row in state["points"]] if "points" in state else []
        self._residuals = [row.to(device) for row in state["residuals"]] if "residuals" in state else []
        if "best" in state:
            self.best_point, self._best_image = (row.to(device) for row in state["best"])

    def _misled(self, error: float, finite: bool) -> bool:
        if not finite:
            return True
        return bool(self._points) and error > _JUMP * self._last_error and error > _ABOVE_BEST * self.best_error

    def _mixed(self, point: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        plain = point + self._mixing * residual
        if len(self._points) < 2:
            return plain
        points, residuals = torch.stack(self._points), torch.stack(self._residuals)
        d_points, d_residuals = points.diff(dim=0), residuals.diff(dim=0)
        weighted = d_residuals * self._root
        normal = weighted @ weighted.T
        normal.diagonal().add_(_RIDGE * float(normal.diagonal().sum()) + 1e-300)
        coefficients, failed = torch.linalg.solve_ex(normal, weighted @ (residual * self._root))
        mixed: torch.Tensor = plain - coefficients @ (d_points + self._mixing * d_residuals)
        return plain if int(failed) or not bool(torch.isfinite(mixed).all()) else mixed

    def _centred(self, vector: torch.Tensor) -> torch.Tensor:
        return vector - (vector @ self._weights) if self._shift_invariant else vector
