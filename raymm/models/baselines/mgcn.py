"""MGCN: modalities purified by behaviour, spread over their own item graphs and fused by preferences."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from raymm.config import check, setting
from raymm.contracts import Batch, Domain, ParameterGroup, TrainData
from raymm.graph.adjacency import bipartite
from raymm.graph.crew import ALONE, Crew
from raymm.graph.item_graphs import item_graphs
from raymm.graph.propagation import SparseOperator, last_propagation, mean_propagation, side_by_side
from raymm.models.baselines.parts import dot_scorer, modalities, one_group
from raymm.models.spec import ModelSpec, Place, Structure
from raymm.nn.in_batch import distinct, in_batch_info_nce, whole_batch
from raymm.nn.preferences import PreferenceMixture, whole_rows
from raymm.nn.purifier import Purifier
from raymm.nn.ranking import bpr
from raymm.parallel.collectives import columns_to_rows, sum_columns
from raymm.parallel.columns import ColumnTable
from raymm.scorers import DotScorer

_ROWS_AT_ONCE = 8_192


@dataclass(frozen=True)
class MgcnConfig:
    """Settings of MGCN."""

    width: int = setting(64, "columns of an embedding", ge=1)
    neighbours: int = setting(10, "items in a row of each modality's item graph, the item itself included", ge=1)
    interaction_layers: int = setting(2, "layers over the user-item graph", ge=0)
    item_layers: int = setting(1, "layers over the item graphs", ge=0)
    contrast_weight: float = setting(0.01, "weight of the contrast between behaviour and modalities", ge=0)
    temperature: float = setting(0.2, "temperature of the contrast", gt=0)
    regularisation: float = setting(1e-4, "weight of the squared final embeddings of a batch", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


def build_structure(
    config: MgcnConfig,
    domain: Domain,
    seed: int,  # noqa: ARG001 - nothing is drawn
    crew: Crew = ALONE,
) -> Structure:
    """Build one item graph a modality.

    Raises:
        DataError: The items have no features.
    """
    return Structure(item_graphs(modalities(domain), config.neighbours, crew))


class Mgcn(nn.Module):
    """Add to the behaviour of LightGCN what modalities share and what each adds, as far as behaviour speaks for it.

    Source: Yu et al., "Multi-View Graph Convolutional Network for Multimedia Recommendation" (arXiv 2308.03588).

    Differs from the source: any number of modalities and items that lack some; raw features are not trained.

    Args:
        config: Settings.
        data: One domain.
        structures: One, from `build_structure`.
        place: Grid, device and seed.
    """

    def __init__(self, config: MgcnConfig, data: TrainData, structures: tuple[Structure, ...], place: Place) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(place.seed)
        self._config, self._grid, domain = config, place.grid, data.domains[0]
        features, device = modalities(domain), place.device
        self._n_users = domain.n_users
        self.users = ColumnTable(domain.n_users, config.width, place.grid, generator)
        self.items = ColumnTable(domain.n_items, config.width, place.grid, generator)
        self.purifiers = nn.ModuleList(
            Purifier(feature, config.width, place.grid, device, generator, trained=False)
            for feature in features.values()
        )
        self.mixture = PreferenceMixture(len(features), config.width, place.grid, generator)
        graph = bipartite(domain.interactions)
        self._graph = SparseOperator.from_scipy(graph, device)
        self._to_users = SparseOperator.from_scipy(graph[: domain.n_users, domain.n_users :], device)
        self._items = [SparseOperator.from_scipy(structures[0].matrices[name], device) for name in features]
        masks = torch.stack([torch.from_numpy(feature.present.copy()) for feature in features.values()], dim=1)
        whole = torch.cat([torch.ones(domain.n_users, masks.shape[1], dtype=torch.bool), masks])
        self._present = None if masks.all() else whole.float().to(device)

    def start_epoch(self, epoch: int) -> dict[str, float]:  # noqa: ARG002 - nothing is renewed
        """Do nothing; see `contracts.RecModel`."""
        return {}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the ranking loss, the contrast and the regulariser."""
        triples, config = whole_batch(batch.domains[0], self._grid), self._config
        users, items = distinct(triples.users), distinct(torch.cat([triples.positives, triples.negatives]))
        behaviour, modes = self._nodes()
        nodes = torch.cat([users.ids, items.ids + self._n_users])
        whole, added = self._fused(behaviour, modes, nodes)
        final = behaviour.index_select(0, nodes) + added
        n, n_users = triples.total, len(users.ids)
        chosen, other = items.places.split(n)
        of_users = final[:n_users].index_select(0, users.places)
        scores = [(of_users * final[n_users:].index_select(0, places)).sum(1) for places in (chosen, other)]
        squares = (final.square().sum(1) * torch.cat([users.counts, items.counts])).sum()
        partials = [*scores, squares[None]]
        if config.contrast_weight > 0:
            counts = torch.bincount(chosen, minlength=len(items.ids))
            positives = counts.nonzero()[:, 0]
            of_items = (added[n_users:][positives], whole[n_users:][positives], counts[positives].float())
            contrasts = [self._contrast(*of_items), self._contrast(added[:n_users], whole[:n_users], users.counts)]
            partials.append(torch.stack(contrasts).sum()[None])
        summed = sum_columns(torch.cat(partials), self._grid)
        losses = {
            "rank": bpr(summed[:n], summed[n : 2 * n], n),
            "regulariser": config.regularisation / 2 * summed[2 * n] / n,
        }
        if config.contrast_weight > 0:
            losses["contrast"] = config.contrast_weight * summed[2 * n + 1]
        return losses

    def diagnostics(self) -> dict[str, float]:
        """Return nothing; see `contracts.RecModel`."""
        return {}

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return all parameters as one group."""
        return one_group(self)

    @torch.no_grad()
    def scorer(self, domain: str) -> DotScorer:  # noqa: ARG002 - there is one
        """Return the present model; collective over the column group."""
        behaviour, modes = self._nodes()
        blocks = torch.arange(len(behaviour), device=behaviour.device).split(_ROWS_AT_ONCE)
        final = behaviour + torch.cat([self._fused(behaviour, modes, nodes)[1] for nodes in blocks])
        return dot_scorer(final[: self._n_users], final[self._n_users :], self._config.width, self._grid)

    def _nodes(self) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """Return behaviour and each modality of all users and items, own columns."""
        items = self.items()
        of_items = tuple(
            last_propagation(graph, purify(items), self._config.item_layers)
            for graph, purify in zip(self._items, self.purifiers, strict=True)
        )
        of_users = side_by_side(self._to_users.apply, of_items)
        behaviour = mean_propagation(self._graph, torch.cat([self.users(), items]), self._config.interaction_layers)
        return behaviour, tuple(torch.cat(both) for both in zip(of_users, of_items, strict=True))

    def _fused(
        self, behaviour: torch.Tensor, modes: tuple[torch.Tensor, ...], nodes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the behaviour of some nodes, all columns, and what the modalities add to it, own columns."""
        whole = whole_rows(behaviour.index_select(0, nodes), self._config.width, self._grid)
        present = None if self._present is None else self._present[nodes]
        added, _ = self.mixture(tuple(mode.index_select(0, nodes) for mode in modes), whole, present)
        return whole, added

    def _contrast(self, added: torch.Tensor, whole: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        rows = functional.normalize(columns_to_rows(added, self._config.width, self._grid), dim=1)
        return in_batch_info_nce(rows, functional.normalize(whole, dim=1), counts, self._config.temperature, self._grid)


SPEC = ModelSpec(
    name="mgcn",
    summary="baseline: purified modalities over item graphs, fused by preferences",
    config=MgcnConfig,
    presets={"default": MgcnConfig()},
    n_domains=1,
    structure=build_structure,
    build=Mgcn,
)
