"""VBPR: matrix factorisation beside a second factorisation of the items' features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from raymm.config import check, setting
from raymm.contracts import Batch, ParameterGroup, TrainData
from raymm.models.baselines.parts import modalities, no_structure, one_group, ranking
from raymm.models.spec import ModelSpec, Place, Structure
from raymm.nn.features import Projection
from raymm.parallel.collectives import collect_columns
from raymm.parallel.columns import ColumnTable
from raymm.scorers import DotScorer


@dataclass(frozen=True)
class VbprConfig:
    """Settings of VBPR."""

    width: int = setting(64, "columns of an embedding, for ids and for features each", ge=1)
    regularisation: float = setting(1e-3, "weight of the squared embeddings of a batch", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


class Vbpr(nn.Module):
    """Score a pair by `<g_u, g_i> + <t_u, sum over q of F_q,i E_q>`, two embeddings each of user and item.

    Source: He and McAuley, "VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback" (arXiv 1510.01784),
    eq. 4.

    Differs from the source: any number of modalities, added in the feature space; no biases of items and features.

    Args:
        config: Settings.
        data: One domain.
        structures: Nothing of them is used.
        place: Grid, device and seed.
    """

    def __init__(
        self,
        config: VbprConfig,
        data: TrainData,
        structures: tuple[Structure, ...],  # noqa: ARG002 - the form all models share
        place: Place,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(place.seed)
        self._config, self._grid, domain = config, place.grid, data.domains[0]
        self.users = ColumnTable(domain.n_users, config.width, place.grid, generator)
        self.items = ColumnTable(domain.n_items, config.width, place.grid, generator)
        self.tastes = ColumnTable(domain.n_users, config.width, place.grid, generator)
        self.projections = nn.ModuleList(
            Projection(feature, config.width, place.grid, place.device, generator)
            for feature in modalities(domain).values()
        )

    def start_epoch(self, epoch: int) -> dict[str, float]:  # noqa: ARG002 - nothing is renewed
        """Do nothing; see `contracts.RecModel`."""
        return {}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the ranking loss and the regulariser."""
        tables = self._tables()
        return ranking(tables, batch.domains[0], [tables], self._config.regularisation, self._grid)

    def diagnostics(self) -> dict[str, float]:
        """Return nothing; see `contracts.RecModel`."""
        return {}

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return all parameters as one group."""
        return one_group(self)

    @torch.no_grad()
    def scorer(self, domain: str) -> DotScorer:  # noqa: ARG002 - there is one
        """Return the present model; collective over the column group."""
        own = len(self._grid.columns(self._config.width))
        halves = [
            [collect_columns(half, self._config.width, self._grid) for half in table.split(own, dim=1)]
            for table in self._tables()
        ]
        users, items = (torch.cat(half, dim=1).cpu() for half in halves)
        return DotScorer(users, items)

    def _tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.stack([projection() for projection in self.projections]).sum(0)
        return torch.cat([self.users(), self.tastes()], dim=1), torch.cat([self.items(), features], dim=1)


SPEC = ModelSpec(
    name="vbpr",
    summary="baseline: matrix factorisation with the items' features",
    config=VbprConfig,
    presets={"default": VbprConfig()},
    n_domains=1,
    structure=no_structure,
    build=Vbpr,
)
