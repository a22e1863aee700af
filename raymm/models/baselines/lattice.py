"""LATTICE: item graphs from features that are learned along with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn

from raymm.config import check, setting
from raymm.contracts import Batch, Domain, ParameterGroup, TrainData
from raymm.graph.adjacency import bipartite
from raymm.graph.crew import ALONE, Crew
from raymm.graph.item_graphs import item_graphs
from raymm.graph.neighbours import cosine_neighbours
from raymm.graph.propagation import SparseOperator, mean_propagation
from raymm.models.baselines.parts import dot_scorer, modalities, one_group, ranking
from raymm.models.spec import ModelSpec, Place, Structure, Tensors
from raymm.nn.features import Projection
from raymm.parallel.collectives import collect_columns, sum_columns, use_on_rows
from raymm.parallel.columns import ColumnTable
from raymm.scorers import DotScorer

_TINY = 1e-12


@dataclass(frozen=True)
class LatticeConfig:
    """Settings of LATTICE."""

    width: int = setting(64, "columns of an embedding", ge=1)
    neighbours: int = setting(10, "items in a row of an item graph, the item itself included", ge=1)
    frozen_share: float = setting(0.9, "share of the raw features' graph in the item graph", ge=0, le=1)
    renew_every: int = setting(1, "epochs after which the learned graph's neighbours are searched anew", ge=1)
    interaction_layers: int = setting(2, "layers over the user-item graph", ge=0)
    item_layers: int = setting(1, "layers over the item graph", ge=1)
    regularisation: float = setting(1e-3, "weight of the squared final embeddings of a batch", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


def build_structure(
    config: LatticeConfig,
    domain: Domain,
    seed: int,  # noqa: ARG001 - nothing is drawn
    crew: Crew = ALONE,
) -> Structure:
    """Build one item graph a modality from the raw features.

    Raises:
        DataError: The items have no features.
    """
    return Structure(item_graphs(modalities(domain), config.neighbours, crew))


@dataclass(frozen=True, eq=False)
class _Support:
    """Which pairs a learned graph links: row, column, and where each entry stands in the transposed order."""

    rows: torch.Tensor
    columns: torch.Tensor
    to_transposed: torch.Tensor
    starts: torch.Tensor
    transposed_starts: torch.Tensor


class Lattice(nn.Module):
    """Add to the items of LightGCN their ids spread over an item graph, part frozen and part learned, of unit length.

    The learned graph of a modality links each item to its nearest by projected features, with their cosines (negative
    ones as zero) normalised by row sums; modalities are weighed by a softmax.

    Source: Zhang et al., "Mining Latent Structures for Multimedia Recommendation" (arXiv 2104.09036).

    Differs from the source: cosines and their gradients follow the projections at every step, on neighbours that are
    searched anew once an epoch (the published code takes the gradient at an epoch's first step only); any number of
    modalities; raw features are not trained.

    Args:
        config: Settings.
        data: One domain.
        structures: One, from `build_structure`.
        place: Grid, device and seed.
    """

    def __init__(self, config: LatticeConfig, data: TrainData, structures: tuple[Structure, ...], place: Place) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(place.seed)
        self._config, self._grid, self._device = config, place.grid, place.device
        self._domain = domain = data.domains[0]
        features = modalities(domain)
        self.users = ColumnTable(domain.n_users, config.width, place.grid, generator)
        self.items = ColumnTable(domain.n_items, config.width, place.grid, generator)
        self.projections = nn.ModuleList(
            Projection(feature, config.width, place.grid, place.device, generator) for feature in features.values()
        )
        self.modality_logits = nn.Parameter(torch.zeros(len(features)))
        self._frozen = [SparseOperator.from_scipy(structures[0].matrices[name], place.device) for name in features]
        self._interactions = SparseOperator.from_scipy(bipartite(domain.interactions), place.device)
        self._supports: list[_Support] = []
        self._renewed = 0  # epoch of the last search

    def start_epoch(self, epoch: int) -> dict[str, float]:
        """Search the neighbours by projected features anew; collective over the column group."""
        due = (epoch - 1) % self._config.renew_every == 0 and epoch != self._renewed
        if self._learns and (not self._supports or due):
            self._renew()
            self._renewed = epoch
        return {}

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Return the neighbours in use, which later weights would not find again; see `spec.Resumable`."""
        state: dict[str, torch.Tensor] = {}
        for place, support in enumerate(self._supports):
            state |= {f"rows.{place}": support.rows.cpu(), f"columns.{place}": support.columns.cpu()}
        return state | {"renewed": torch.tensor(self._renewed)} if state else {}

    def load_extra_state(self, state: Tensors) -> None:
        """Go on with the neighbours of `extra_state`."""
        self._renewed = int(state["renewed"])
        self._supports = [
            _support(_graph(state[f"rows.{place}"], state[f"columns.{place}"], self._domain.n_items), self._device)
            for place in range(len(self._frozen))
        ]

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the ranking loss and the regulariser."""
        tables = self._tables()
        return ranking(tables, batch.domains[0], [tables], self._config.regularisation, self._grid)

    def diagnostics(self) -> dict[str, float]:
        """Return the weight of each modality."""
        weights = torch.softmax(self.modality_logits.detach(), 0).tolist()
        return {f"modality.{name}": weight for name, weight in zip(self._domain.features, weights, strict=True)}

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return all parameters as one group."""
        return one_group(self)

    @torch.no_grad()
    def scorer(self, domain: str) -> DotScorer:  # noqa: ARG002 - there is one
        """Return the present model; collective over the column group."""
        return dot_scorer(*self._tables(), self._config.width, self._grid)

    @property
    def _learns(self) -> bool:
        return self._config.frozen_share < 1

    @torch.no_grad()
    def _renew(self) -> None:
        self._supports = []
        for projection, feature in zip(self.projections, self._domain.features.values(), strict=True):
            whole = collect_columns(projection(), self._config.width, self._grid).cpu().numpy()
            near = cosine_neighbours(whole, self._config.neighbours, include_self=True, present=feature.present)
            self._supports.append(_support(near, self._device))

    def _tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        items = self.items()
        both = mean_propagation(self._interactions, torch.cat([self.users(), items]), self._config.interaction_layers)
        users, behaviour = both.split([self._domain.n_users, self._domain.n_items])
        spread = self._spread(items)
        squares = sum_columns(spread.square().sum(1), self._grid)
        lengths = use_on_rows(squares.clamp_min(_TINY**2).sqrt(), self._grid)  # whole, met by own columns
        return users, behaviour + spread / lengths[:, None]

    def _spread(self, items: torch.Tensor) -> torch.Tensor:
        if self._learns and not self._supports:
            self._renew()
        weights = use_on_rows(torch.softmax(self.modality_logits, 0), self._grid)
        graphs = [self._learned(place) for place in range(len(self._supports))]
        frozen_share = self._config.frozen_share
        for _ in range(self._config.item_layers):
            mixed = []
            for place, frozen in enumerate(self._frozen):
                part = frozen_share * (frozen @ items)
                if self._learns:
                    part = part + (1 - frozen_share) * _weighted(graphs[place], self._supports[place], items)
                mixed.append(weights[place] * part)
            items = torch.stack(mixed).sum(0)
        return items

    def _learned(self, place: int) -> torch.Tensor:
        """Return the weights of a learned graph's entries, with gradient to the projection; equal on all ranks."""
        support, projected = self._supports[place], self.projections[place]()
        squares = projected.square().sum(1)
        products = (projected[support.rows] * projected[support.columns]).sum(1)
        products, squares = sum_columns(torch.cat([products, squares]), self._grid).split([len(products), len(squares)])
        lengths = squares.clamp_min(_TINY).sqrt()
        cosines = (products / (lengths[support.rows] * lengths[support.columns])).clamp_min(0)
        degrees = torch.zeros_like(squares).index_add(0, support.rows, cosines).clamp_min(_TINY).sqrt()
        return use_on_rows(cosines / (degrees[support.rows] * degrees[support.columns]), self._grid)


def _graph(rows: torch.Tensor, columns: torch.Tensor, n: int) -> sparse.csr_array:
    """Make (n, n) CSR of entries that stand in order of their rows."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows.numpy(), minlength=n))])
    return sparse.csr_array((np.ones(len(rows), dtype=np.float32), columns.numpy(), starts), shape=(n, n))


def _support(near: sparse.csr_array, device: torch.device) -> _Support:
    entries = np.arange(1, near.nnz + 1)
    transposed = sparse.csr_array((entries, near.indices, near.indptr), shape=near.shape).T.tocsr()
    rows = np.repeat(np.arange(near.shape[0]), np.diff(near.indptr))
    arrays = (rows, near.indices, transposed.data - 1, near.indptr, transposed.indptr)
    return _Support(*(torch.from_numpy(array.astype(np.int64)).to(device) for array in arrays))


def _weighted(values: torch.Tensor, support: _Support, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = _WeightedProduct.apply(values, x, support)
    return result


class _WeightedProduct(torch.autograd.Function):
    """A sparse product whose stored values have a gradient too: that of entry (i, j) is `<g_i, x_j>`."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, x: torch.Tensor, support: _Support) -> torch.Tensor:
        ctx.save_for_backward(values, x)
        ctx.support = support
        return _csr(support.starts, support.columns, values, len(x)) @ x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        values, x = ctx.saved_tensors
        support: _Support = ctx.support
        of_values = (gradient[support.rows] * x[support.columns]).sum(1)
        order = support.to_transposed
        transposed = _csr(support.transposed_starts, support.rows[order], values[order], len(x))
        return of_values, transposed @ gradient, None


def _csr(starts: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, n: int) -> torch.Tensor:
    return torch.sparse_csr_tensor(starts, columns, values, size=(n, n), check_invariants=False)


SPEC = ModelSpec(
    name="lattice",
    summary="baseline: item graphs learned from features",
    config=LatticeConfig,
    presets={"default": LatticeConfig()},
    n_domains=1,
    structure=build_structure,
    build=Lattice,
)
