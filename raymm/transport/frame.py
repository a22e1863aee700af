"""Where a user stands in a population cost: the coordinates of source users, those who come after a solve included."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch

from raymm.errors import SolverError
from raymm.transport.bilinear import Bilinear, profile_bases, profile_coordinates
from raymm.transport.cost import relation_weights, unit_rows
from raymm.transport.guided import evenly_spaced
from raymm.transport.population import PopulationConfig


@dataclass(frozen=True, eq=False)
class Frame:
    """All that the coordinates of a source user depend on besides his own embedding.

    The relation compares him with the known users of his own side, so their vectors are here, and the mean that
    profiles are taken from; the distance needs nothing, as it is the target side that Procrustes turns.

    Attributes:
        omega: () share of the distance, in [0, 1].
        temperature: () of the hellinger relation; 0 where the relation is the profile.
        anchors: (q, d) unit rows of known source users; none where there is no relation.
        mean: (d,) mean unit row of all source users, for the profile.
        basis: (d, k) of the profile's coordinates.
    """

    omega: torch.Tensor
    temperature: torch.Tensor
    anchors: torch.Tensor
    mean: torch.Tensor
    basis: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all of it by name, as it is stored; `Frame(**tensors)` is the frame again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def coordinates(self, source: torch.Tensor) -> torch.Tensor:
        """Return the coordinates (n, k) of source users: those that `population_cost` gives to users it was made with.

        Args:
            source: (n, d) embeddings, finite and none of them zero.

        Raises:
            SolverError: Another number of columns, or vectors that say nothing.
        """
        width = self.mean.shape[0]
        if source.ndim != 2 or source.shape[1] != width or not len(source):
            raise SolverError(
                f"embeddings of shape {tuple(source.shape)}",
                f"(users, {width}), as the matching was made with",
                "new source users",
                "give embeddings of the same model",
            )
        if not bool(torch.isfinite(source).all()) or bool((source == 0).all(dim=1).any()):
            raise SolverError(
                "a vector that is zero or not finite", "vectors with a direction", "new source users", "leave them out"
            )
        source = source.to(self.mean.dtype)
        unit, omega, parts = unit_rows(source), float(self.omega), []
        if omega > 0:
            parts.append(unit * math.sqrt(omega))
        if omega < 1:
            parts.append(self._relation(unit) * math.sqrt(1.0 - omega))
        return torch.cat(parts, dim=1)

    def cost(self, source: torch.Tensor, target: torch.Tensor) -> Bilinear:
        """Return the cost between new source users (n, d) and target users by their coordinates (m, k)."""
        rows = self.coordinates(source)
        if target.ndim != 2 or target.shape[1] != rows.shape[1]:
            found = f"coordinates of shape {tuple(target.shape)}"
            raise SolverError(found, f"(users, {rows.shape[1]})", "target users", "give those of the same matching")
        none = torch.zeros(0, dtype=torch.int64, device=rows.device)
        one = torch.ones(len(rows), dtype=torch.float64, device=rows.device)
        zero = torch.zeros(len(target), dtype=torch.float64, device=rows.device)
        return Bilinear(rows, target.to(rows.dtype), one, zero, none, none)

    def _relation(self, unit: torch.Tensor) -> torch.Tensor:
        temperature = float(self.temperature)
        if temperature > 0:
            return relation_weights(unit, self.anchors, temperature).sqrt()
        return profile_coordinates(unit, self.mean, self.anchors, self.basis)


def source_frame(source: torch.Tensor, target: torch.Tensor, pairs: torch.Tensor, config: PopulationConfig) -> Frame:
    """Return what places later source users where `population_cost` of the same arguments places its own.

    Args:
        source: (n, d) embeddings.
        target: (m, d') embeddings.
        pairs: (q, 2) int64 known pairs, as for `population_cost`.
        config: Which cost.
    """
    kind = config.blocks
    unit = unit_rows(source.to(kind))
    mean = unit.double().mean(dim=0).to(kind)
    anchors, basis = unit[pairs[:0, 0]], unit.new_zeros(unit.shape[1], 0)
    hellinger = config.omega < 1 and config.relation == "hellinger"
    if hellinger:
        anchors = unit[pairs[evenly_spaced(len(pairs), config.max_anchors, pairs.device), 0]]
    elif config.omega < 1:
        anchors = unit[pairs[:, 0]]
        basis = profile_bases(anchors, unit_rows(target.to(kind))[pairs[:, 1]])[0].to(kind)
    shares = unit.new_tensor([config.omega, config.relation_temperature if hellinger else 0.0]).double()
    return Frame(shares[0], shares[1], anchors, mean, basis)
