"""LightGCN: embeddings averaged over the neighbourhoods of the user-item graph."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from raymm.config import check, setting
from raymm.contracts import Batch, ParameterGroup, TrainData
from raymm.graph.adjacency import bipartite
from raymm.graph.propagation import SparseOperator, mean_propagation
from raymm.models.baselines.parts import dot_scorer, no_structure, one_group, ranking
from raymm.models.spec import ModelSpec, Place, Structure
from raymm.parallel.columns import ColumnTable
from raymm.scorers import DotScorer


@dataclass(frozen=True)
class LightGcnConfig:
    """Settings of LightGCN."""

    width: int = setting(64, "columns of an embedding", ge=1)
    layers: int = setting(3, "layers over the user-item graph", ge=0)
    regularisation: float = setting(1e-4, "weight of the squared embeddings of a batch, before propagation", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


class LightGcn(nn.Module):
    """Propagate embeddings over the user-item graph without weights, and average the layers.

    Source: He et al., "LightGCN" (arXiv 2002.02126), eqs. 3, 4, 8 and 15.

    Args:
        config: Settings.
        data: One domain.
        structures: Nothing of them is used.
        place: Grid, device and seed.
    """

    def __init__(
        self,
        config: LightGcnConfig,
        data: TrainData,
        structures: tuple[Structure, ...],  # noqa: ARG002 - the form all models share
        place: Place,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(place.seed)
        self._config, self._grid, domain = config, place.grid, data.domains[0]
        self._sizes = [domain.n_users, domain.n_items]
        self.users = ColumnTable(domain.n_users, config.width, place.grid, generator)
        self.items = ColumnTable(domain.n_items, config.width, place.grid, generator)
        self._graph = SparseOperator.from_scipy(bipartite(domain.interactions), place.device)

    def start_epoch(self, epoch: int) -> dict[str, float]:  # noqa: ARG002 - nothing is renewed
        """Do nothing; see `contracts.RecModel`."""
        return {}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the ranking loss and the regulariser."""
        before = (self.users(), self.items())
        return ranking(self._tables(), batch.domains[0], [before], self._config.regularisation, self._grid)

    def diagnostics(self) -> dict[str, float]:
        """Return nothing; see `contracts.RecModel`."""
        return {}

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return all parameters as one group."""
        return one_group(self)

    @torch.no_grad()
    def scorer(self, domain: str) -> DotScorer:  # noqa: ARG002 - there is one
        """Return the present model; collective over the column group."""
        return dot_scorer(*self._tables(), self._config.width, self._grid)

    def _tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        whole = mean_propagation(self._graph, torch.cat([self.users(), self.items()]), self._config.layers)
        users, items = whole.split(self._sizes)
        return users, items


SPEC = ModelSpec(
    name="lightgcn",
    summary="baseline: embeddings averaged over the user-item graph",
    config=LightGcnConfig,
    presets={"default": LightGcnConfig()},
    n_domains=1,
    structure=no_structure,
    build=LightGcn,
)
