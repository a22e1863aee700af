"""One domain of SIEOUG: its tables, its graphs, and the views that come of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from raymm.contracts import Domain
from raymm.graph.adjacency import bipartite, row_normalised
from raymm.graph.clusters import joined_rows
from raymm.graph.propagation import HypergraphOperator, SparseOperator, last_propagation, mean_propagation
from raymm.models.sieoug.config import SieougConfig
from raymm.models.sieoug.structure import HYPER, PAIR
from raymm.models.spec import Place, Structure
from raymm.nn.features import presence
from raymm.nn.gumbel import GumbelClusters, effective_share
from raymm.nn.views import ViewAttention, combine
from raymm.parallel.collectives import collect_columns, use_on_rows
from raymm.parallel.columns import ColumnTable

_ROWS_AT_ONCE = 8_192  # entities mixed by attention at a time when the whole table is wanted


@dataclass(frozen=True, eq=False)
class Views:
    """The views of all users and all items, own columns: C tensors (U, own) and C' tensors (I, own)."""

    users: tuple[torch.Tensor, ...]
    items: tuple[torch.Tensor, ...]


class Tower(nn.Module):
    """Collaborative filtering of one domain, column-parallel.

    Source: SIEOUG (arXiv 2502.16068), collaborative filtering module; derived form, with
    `h` = LightGCN over the user-item graph, `z-bar = A^L z` over the fused item graph, `z-breve = P^L z` over the
    hypergraph, users by the row-normalised interactions, and attention or a weighted sum over the views.

    Args:
        config: Settings.
        domain: Training data of the domain.
        structure: What `build_structure` computed for it.
        place: Grid and device.
        generator: Source of the start values.
    """

    def __init__(
        self, config: SieougConfig, domain: Domain, structure: Structure, place: Place, generator: torch.Generator
    ) -> None:
        super().__init__()
        grid, device = place.grid, place.device
        self._config, self._grid, self._n_users = config.views, grid, domain.n_users
        self.n_items = domain.n_items
        self._width = config.width
        self.users = ColumnTable(domain.n_users, config.width, grid, generator)
        self.items = ColumnTable(domain.n_items, config.width, grid, generator)
        self._features = _features(config, domain, device)
        self.projections = nn.ModuleList(
            ColumnTable(values.shape[1], config.width, grid, generator) for values in self._features
        )
        self._make_absent(config, domain, place)
        self._interactions = SparseOperator.from_scipy(bipartite(domain.interactions), device)
        self._to_users = SparseOperator.from_scipy(row_normalised(domain.interactions), device)
        self._pair = SparseOperator.from_scipy(structure.matrices[PAIR], device) if self._uses(PAIR) else None
        self._hyper: HypergraphOperator | None = None
        self.clusters: GumbelClusters | None = None
        if self._uses(HYPER) and config.hypergraph.method == "gumbel":
            self.clusters = _clusters(config, domain, structure, place)
        elif self._uses(HYPER):
            self._hyper = HypergraphOperator.from_scipy(structure.matrices[HYPER], device)
        self._make_mix(config, generator)

    def views(self, seed: int | None = None) -> Views:
        """Propagate the tables over every graph that is used; `seed` is of the noise of learned clusters."""
        items = self._item_input()
        both = mean_propagation(self._interactions, torch.cat([self.users(), items]), self._config.interaction_layers)
        item_views = [both[self._n_users :]]
        if self._pair is not None:
            item_views.append(last_propagation(self._pair, items, self._config.pair_layers))
        if self._hyper is not None:
            item_views.append(last_propagation(self._hyper, items, self._config.hyper_layers))
        if self.clusters is not None:
            item_views.append(self.clusters(items, self._config.hyper_layers, seed))
        user_views = [both[: self._n_users]]
        if self._config.sides == "both":
            user_views.extend(self._to_users @ view for view in item_views[1:])
        return Views(tuple(user_views), tuple(item_views))

    def user_rows(self, views: Views, rows: torch.Tensor) -> torch.Tensor:
        """Mix the views of some users: (B,) to (B, own columns)."""
        return self._mixed(views.users, rows, self.user_attention)

    def item_rows(self, views: Views, rows: torch.Tensor) -> torch.Tensor:
        """Mix the views of some items: (B,) to (B, own columns)."""
        return self._mixed(views.items, rows, self.item_attention)

    @torch.no_grad()
    def whole(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all users (U, D) and all items (I, D), all columns, on every rank; collective."""
        views = self.views()
        return self._collected(views.users, self.user_attention), self._collected(views.items, self.item_attention)

    @torch.no_grad()
    def whole_users(self) -> torch.Tensor:
        """Return all users (U, D), all columns, on every rank; collective."""
        return self._collected(self.views().users, self.user_attention)

    @torch.no_grad()
    def attention_weights(self) -> torch.Tensor | None:
        """Return the weights of the views of all items (I, 3), rows summing to one; None without attention."""
        if self.item_attention is None:
            return None
        views, attention = self.views().items, self.item_attention
        blocks = torch.arange(len(views[0]), device=views[0].device).split(_ROWS_AT_ONCE)
        return torch.cat([attention(tuple(view.index_select(0, rows) for view in views)) for rows in blocks])

    @torch.no_grad()
    def attention_means(self, views: Views, rows: torch.Tensor) -> dict[str, float]:
        """Return the mean weight of each view over some items, where attention is used."""
        if self.item_attention is None:
            return {}
        weights = self.item_attention(tuple(view.index_select(0, rows) for view in views.items)).mean(0)
        return dict(zip(("interactions", PAIR, HYPER), weights.tolist(), strict=True))

    def learned_clusters(self) -> float | None:
        """Return the effective share of learned clusters, see `nn.gumbel`; None where they are not learned."""
        return None if self.clusters is None else effective_share(self.clusters.memberships())

    def projection_parameters(self) -> list[nn.Parameter]:
        """Return what is learned of features, which learns at its own rate."""
        return [*self.projections.parameters(), *self.absent.parameters()]

    def _uses(self, view: str) -> bool:
        weight = self._config.pair_weight if view == PAIR else self._config.hyper_weight
        return self._config.mix == "attention" or weight > 0

    def _make_mix(self, config: SieougConfig, generator: torch.Generator) -> None:
        views = config.views
        present = [1.0] + [views.pair_weight] * self._uses(PAIR) + [views.hyper_weight] * self._uses(HYPER)
        self.user_attention: ViewAttention | None = None
        self.item_attention: ViewAttention | None = None
        if views.mix == "attention":
            if views.sides == "both":
                self.user_attention = ViewAttention(config.width, self._grid, generator)
            self.item_attention = ViewAttention(config.width, self._grid, generator)
        self.weights = nn.Parameter(torch.tensor(present), requires_grad=views.learned)

    def _item_input(self) -> torch.Tensor:
        items: torch.Tensor = self.items()
        for values, projection in zip(self._features, self.projections, strict=True):
            items = items + values @ projection()
        for lacking, vector in zip(self._lacking, self.absent, strict=True):
            items = items + lacking * vector()
        return items

    def _make_absent(self, config: SieougConfig, domain: Domain, place: Place) -> None:
        """Train one vector, which starts at zero, for all items without a modality, where the features ask for it."""
        features = domain.features.values() if config.item_input == "multimodal" else ()
        present = [presence(feature, place.device) for feature in features if feature.learned]
        self._lacking = [1 - mask[:, None] for mask in present if mask is not None]
        self.absent = nn.ModuleList(
            ColumnTable(1, config.width, place.grid, torch.Generator().manual_seed(0)) for _ in self._lacking
        )
        with torch.no_grad():
            for parameter in self.absent.parameters():
                parameter.zero_()

    def _collected(self, entities: tuple[torch.Tensor, ...], attention: ViewAttention | None) -> torch.Tensor:
        blocks = torch.arange(len(entities[0]), device=entities[0].device).split(_ROWS_AT_ONCE)
        own = torch.cat([self._mixed(entities, rows, attention) for rows in blocks])
        return collect_columns(own, self._width, self._grid)

    def _mixed(
        self, views: tuple[torch.Tensor, ...], rows: torch.Tensor, attention: ViewAttention | None
    ) -> torch.Tensor:
        chosen = tuple(view.index_select(0, rows) for view in views)
        if len(chosen) == 1:
            return chosen[0]
        if attention is not None:
            return combine(chosen, attention(chosen))
        # Weights are equal on all ranks and meet own columns only: their gradient is summed over the column group.
        weights = use_on_rows(self.weights, self._grid) if self._config.learned else self.weights
        mixed: torch.Tensor = torch.stack([view * weights[place] for place, view in enumerate(chosen)]).sum(0)
        return mixed


def _clusters(config: SieougConfig, domain: Domain, structure: Structure, place: Place) -> GumbelClusters:
    """Start learned clusters at the centres of the k-means partition that the structure holds."""
    points = joined_rows(domain.features)
    partition = structure.matrices[HYPER]
    sizes = np.maximum(np.asarray(partition.sum(axis=0)).ravel(), 1)[:, None]
    centres = (partition.T @ points / sizes).astype(np.float32)
    at = [torch.from_numpy(np.ascontiguousarray(rows)).to(place.device) for rows in (points, centres)]
    return GumbelClusters(at[0], at[1], config.hypergraph.temperature, place.grid)


def _features(config: SieougConfig, domain: Domain, device: torch.device) -> list[torch.Tensor]:
    if config.item_input == "id":
        return []
    # A missing modality adds nothing, whatever value fills its place.
    return [
        torch.tensor(feature.values * feature.present[:, None], device=device) for feature in domain.features.values()
    ]
