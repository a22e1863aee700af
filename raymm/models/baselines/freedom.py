"""FREEDOM: a frozen item graph from features, and a user-item graph that is thinned every epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import nn

from raymm.config import check, setting
from raymm.contracts import Batch, Domain, ParameterGroup, TrainData, Triples
from raymm.errors import ConfigError
from raymm.graph.adjacency import bipartite
from raymm.graph.crew import ALONE, Crew
from raymm.graph.item_graphs import item_graphs
from raymm.graph.propagation import SparseOperator, last_propagation, mean_propagation
from raymm.models.baselines.parts import dot_scorer, modalities, one_group, ranking
from raymm.models.spec import ModelSpec, Place, Structure
from raymm.nn.features import Projection
from raymm.nn.ranking import bpr
from raymm.parallel.collectives import sum_columns
from raymm.parallel.columns import ColumnTable
from raymm.scorers import DotScorer

ITEMS = "items"


@dataclass(frozen=True)
class FreedomConfig:
    """Settings of FREEDOM."""

    width: int = setting(64, "columns of an embedding", ge=1)
    neighbours: int = setting(10, "items in a row of each modality's item graph, the item itself included", ge=1)
    modality_weights: tuple[float, ...] = setting(
        (), "weight of each modality's item graph, in the features' order; left empty, all weigh the same", ge=0
    )
    interaction_layers: int = setting(2, "layers over the user-item graph", ge=0)
    item_layers: int = setting(1, "layers over the item graph", ge=0)
    dropped: float = setting(0.8, "share of the user-item edges left out in an epoch", ge=0, lt=1)
    feature_weight: float = setting(1e-3, "weight of the ranking losses on projected features", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


def build_structure(
    config: FreedomConfig,
    domain: Domain,
    seed: int,  # noqa: ARG001 - nothing is drawn
    crew: Crew = ALONE,
) -> Structure:
    """Add the modalities' item graphs at their weights; see `Freedom`.

    Raises:
        DataError: The items have no features.
        ConfigError: There are as many weights as not modalities, or all are zero.
    """
    graphs = item_graphs(modalities(domain), config.neighbours, crew, weighted=False)
    weights = config.modality_weights or (1.0,) * len(graphs)
    if len(weights) != len(graphs) or not sum(weights):
        raise ConfigError(
            f"weights {weights} for the modalities {', '.join(graphs)}",
            "one a modality, not all zero",
            "settings.modality_weights",
        )
    mixed = sum(weight / sum(weights) * graph for weight, graph in zip(weights, graphs.values(), strict=True))
    return Structure({ITEMS: sparse.csr_array(mixed)})


class Freedom(nn.Module):
    """Propagate ids over the thinned user-item graph and over the frozen item graph, and add both for items.

    Source: Zhou and Shen, "A Tale of Two Graphs: Freezing and Denoising Graph Structures for Multimodal Recommendation"
    (arXiv 2211.06924). The item graph of a modality counts 1 for each of an item's nearest, normalised by row sums; an
    edge between user and item is kept with odds `(d_u d_i)^-1/2`; finished embeddings see the whole graph.

    Differs from the source: any number of modalities, which weigh the same unless `modality_weights` says otherwise;
    items whose cosine is not positive are never linked, so that a row may have fewer; raw features are not trained.

    Args:
        config: Settings.
        data: One domain.
        structures: One, from `build_structure`.
        place: Grid, device and seed.
    """

    def __init__(self, config: FreedomConfig, data: TrainData, structures: tuple[Structure, ...], place: Place) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(place.seed)
        self._config, self._grid, self._place = config, place.grid, place
        self._domain = domain = data.domains[0]
        self.users = ColumnTable(domain.n_users, config.width, place.grid, generator)
        self.items = ColumnTable(domain.n_items, config.width, place.grid, generator)
        self._projections = [
            Projection(feature, config.width, place.grid, place.device, generator)
            for feature in (modalities(domain).values() if config.feature_weight > 0 else ())
        ]
        self.projections = nn.ModuleList(self._projections)
        self._items = SparseOperator.from_scipy(structures[0].matrices[ITEMS], place.device)
        self._whole = SparseOperator.from_scipy(bipartite(domain.interactions), place.device)
        self._thinned = self._whole

    def start_epoch(self, epoch: int) -> dict[str, float]:
        """Thin the user-item graph anew, alike on every rank; see `contracts.RecModel`."""
        if self._config.dropped > 0:
            generator = np.random.default_rng([self._place.seed, epoch])
            kept = thinned(self._domain.interactions, 1 - self._config.dropped, generator)
            self._thinned = SparseOperator.from_scipy(bipartite(kept), self._place.device)
        return {"edges": float(self._thinned.nnz // 2)}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the ranking loss, and that on each modality's projected features."""
        triples = batch.domains[0]
        tables = self._tables(self._thinned)
        losses = ranking(tables, triples, [], 0.0, self._grid)
        if self._projections:
            losses["features"] = self._config.feature_weight * self._on_features(tables[0], triples)
        return losses

    def diagnostics(self) -> dict[str, float]:
        """Return nothing; see `contracts.RecModel`."""
        return {}

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return all parameters as one group."""
        return one_group(self)

    @torch.no_grad()
    def scorer(self, domain: str) -> DotScorer:  # noqa: ARG002 - there is one
        """Return the present model over the whole graph; collective over the column group."""
        return dot_scorer(*self._tables(self._whole), self._config.width, self._grid)

    def _tables(self, graph: SparseOperator) -> tuple[torch.Tensor, torch.Tensor]:
        both = mean_propagation(graph, torch.cat([self.users(), self.items()]), self._config.interaction_layers)
        users, items = both.split([self._domain.n_users, self._domain.n_items])
        return users, items + last_propagation(self._items, self.items(), self._config.item_layers)

    def _on_features(self, users: torch.Tensor, triples: Triples) -> torch.Tensor:
        of_users = users.index_select(0, triples.users)
        scores = [
            (of_users * projection.rows(rows)).sum(1)
            for projection in self._projections
            for rows in (triples.positives, triples.negatives)
        ]
        whole = sum_columns(torch.stack(scores), self._grid)
        return bpr(whole[::2], whole[1::2], triples.total / self._grid.data_parallel)


def thinned(interactions: sparse.csr_array, share: float, generator: np.random.Generator) -> sparse.csr_array:
    """Keep a share of the edges, drawn without replacement with odds `(d_u d_i)^-1/2`.

    Args:
        interactions: (U, I) ones.
        share: In (0, 1].
        generator: Source of randomness.

    Returns:
        (U, I) with `round(share * nnz)` edges, one at least.
    """
    edges = interactions.tocoo()
    users, items = edges.coords
    degrees = np.bincount(users)[users] * np.bincount(items)[items].astype(np.float64)
    # Smallest of exponential draws at the rates of the odds: sampling without replacement in one pass.
    draws = generator.exponential(size=len(users)) * np.sqrt(degrees)
    count = max(1, round(share * len(users)))
    kept = np.sort(np.argpartition(draws, count - 1)[:count])
    return sparse.csr_array((edges.data[kept], (users[kept], items[kept])), shape=interactions.shape)


SPEC = ModelSpec(
    name="freedom",
    summary="baseline: frozen item graph, thinned user-item graph",
    config=FreedomConfig,
    presets={"default": FreedomConfig()},
    n_domains=1,
    structure=build_structure,
    build=Freedom,
)
