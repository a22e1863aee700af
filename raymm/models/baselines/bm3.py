"""BM3: no negatives; embeddings predict each other's dropped-out copies, across modalities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from raymm.config import check, setting
from raymm.contracts import Batch, ParameterGroup, TrainData
from raymm.graph.adjacency import bipartite
from raymm.graph.propagation import SparseOperator, mean_propagation
from raymm.models.baselines.parts import dot_scorer, modalities, no_structure, one_group
from raymm.models.spec import ModelSpec, Place, Structure
from raymm.nn.features import Projection
from raymm.nn.in_batch import whole_batch
from raymm.nn.preferences import whole_rows
from raymm.parallel.collectives import columns_to_rows, sum_columns, use_on_rows
from raymm.parallel.columns import ColumnTable
from raymm.scorers import DotScorer

_ROWS_AT_ONCE = 8_192
_TINY = 1e-24


@dataclass(frozen=True)
class Bm3Config:
    """Settings of BM3."""

    width: int = setting(64, "columns of an embedding", ge=1)
    layers: int = setting(1, "layers over the user-item graph", ge=0)
    dropout: float = setting(0.5, "share of a target's entries that are zeroed", ge=0, lt=1)
    alignment_weight: float = setting(2.0, "weight of the losses within and between modalities", ge=0)
    regularisation: float = setting(0.1, "weight of the length of the batch's embeddings", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


class Bm3(nn.Module):
    """Draw predictions to dropped-out copies: users to items and back, modalities to items and to themselves.

    With `p(x) = x W + b` and `t(x)` a copy of x without gradient and with dropout, each loss is a mean of
    `1 - cos(p(x), t(y))`: for (user, item), (item, user), and for each modality m of the item (m, item) and (m, m).

    Source: Zhou et al., "Bootstrap Latent Representations for Multi-modal Recommendation" (arXiv 2207.05969); length of
    embeddings by the published code, the Euclidean norm of all rows of the batch divided by their number.

    Differs from the source: any number of modalities; rows without a modality do not count in its losses; raw features
    are not trained.

    Args:
        config: Settings.
        data: One domain.
        structures: Nothing of them is used.
        place: Grid, device and seed.
    """

    def __init__(
        self,
        config: Bm3Config,
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
        self._projections = [
            Projection(feature, config.width, place.grid, place.device, generator)
            for feature in modalities(domain).values()
        ]
        self.projections = nn.ModuleList(self._projections)
        bound = (6.0 / (2 * config.width)) ** 0.5
        start = torch.empty(config.width, config.width).uniform_(-bound, bound, generator=generator)
        self.predictor, self.bias = nn.Parameter(start), nn.Parameter(torch.zeros(config.width))
        self._graph = SparseOperator.from_scipy(bipartite(domain.interactions), place.device)

    def start_epoch(self, epoch: int) -> dict[str, float]:  # noqa: ARG002 - nothing is renewed
        """Do nothing; see `contracts.RecModel`."""
        return {}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the losses of a step; the negatives are not looked at."""
        triples, grid = whole_batch(batch.domains[0], self._grid), self._grid
        users, items = self._tables()
        views = [users.index_select(0, triples.users), items.index_select(0, triples.positives)]
        views += [projection.rows(triples.positives) for projection in self._projections]
        rows = [columns_to_rows(view, self._config.width, grid) for view in views]
        targets, predicted = self._targets(rows, triples.total, batch.seed), [self._predicted(view) for view in rows]
        sums = [_distance(predicted[0], targets[1]).sum() + _distance(predicted[1], targets[0]).sum()]
        own = grid.rows(triples.total)
        for place, projection in enumerate(self._projections, start=2):
            both = _distance(predicted[place], targets[1]) + _distance(predicted[place], targets[place])
            mask = projection.present(triples.positives)
            sums.append((both if mask is None else both * mask[own.start : own.stop]).sum())
        squares = [view.square().sum() for view in rows[:2]]
        whole = sum_columns(torch.stack([*squares, *sums]), grid) / triples.total
        lengths = (whole[:2] / triples.total).clamp_min(_TINY).sqrt()  # the norms of all rows, divided by their number
        return {
            "interaction": whole[2],
            "modalities": self._config.alignment_weight * whole[3:].sum(),
            "regulariser": self._config.regularisation * lengths.sum(),
        }

    def diagnostics(self) -> dict[str, float]:
        """Return nothing; see `contracts.RecModel`."""
        return {}

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return all parameters as one group."""
        return one_group(self)

    @torch.no_grad()
    def scorer(self, domain: str) -> DotScorer:  # noqa: ARG002 - there is one
        """Return the inner products of predictions; collective over the column group."""
        users, items = (self._all_predicted(table) for table in self._tables())
        return dot_scorer(users, items, self._config.width, self._grid)

    def _tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        both = mean_propagation(self._graph, torch.cat([self.users(), self.items()]), self._config.layers)
        users, items = both.split(self._sizes)
        return users, items + self.items()

    def _all_predicted(self, table: torch.Tensor) -> torch.Tensor:
        """Predict from all rows of a table, own columns in and out, a block at a time."""
        width, columns = self._config.width, self._grid.columns(self._config.width)
        blocks = [
            self._predicted(whole_rows(rows, width, self._grid))[:, columns.start : columns.stop]
            for rows in table.split(_ROWS_AT_ONCE)
        ]
        return torch.cat(blocks)

    def _predicted(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.addmm(use_on_rows(self.bias, self._grid), rows, use_on_rows(self.predictor, self._grid))

    def _targets(self, rows: list[torch.Tensor], total: int, seed: int) -> list[torch.Tensor]:
        """Drop out entries, drawn for all rows alike on every rank; each keeps those of its own rows."""
        generator = torch.Generator().manual_seed(seed)
        own, kept = self._grid.rows(total), 1 - self._config.dropout
        masks = [torch.rand(total, self._config.width, generator=generator) < kept for _ in rows]
        return [
            view.detach() * mask[own.start : own.stop].to(view.device) / kept
            for view, mask in zip(rows, masks, strict=True)
        ]


def _distance(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return 1 - functional.cosine_similarity(left, right, dim=1)


SPEC = ModelSpec(
    name="bm3",
    summary="baseline: embeddings predict each other, without negatives",
    config=Bm3Config,
    presets={"default": Bm3Config()},
    n_domains=1,
    structure=no_structure,
    build=Bm3,
)
