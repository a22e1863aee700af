"""GUME's tables and graphs, and what is computed of all users and items: behaviour, explicit and extended features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from raymm.contracts import Domain
from raymm.graph.adjacency import bipartite
from raymm.graph.propagation import SparseOperator, last_propagation, mean_propagation
from raymm.models.gume.config import GumeConfig
from raymm.models.gume.structure import LINKS, item_graph
from raymm.models.spec import Place, Structure
from raymm.nn.purifier import Purifier
from raymm.parallel.columns import ColumnTable
from raymm.parallel.grid import Grid


@dataclass(frozen=True, eq=False)
class Features:
    """What is known of all users and items, own columns; tables over the same rows stand side by side.

    Attributes:
        nodes: [H_id | H_M], (U + I, 2 own), users first; H_id alone, (U + I, own), where no loss reads H_M.
        explicit_users: [X_1 | ... | X_M] of users, (U, M own).
        explicit_items: The same of items, (I, M own).
    """

    nodes: torch.Tensor
    explicit_users: torch.Tensor
    explicit_items: torch.Tensor


class Modalities(nn.Module):
    """Behaviour, explicit and extended features of GUME (arXiv 2407.12338), column-parallel.

    With A the enhanced user-item graph, R its block of users by items, G_q the item graph of modality q:

        H_id = mean over l = 0..L of A^l [U; V]
        X_q(items) = G_q^n (V * gate(F_q)),   X_q(users) = R X_q(items)
        H_M = mean over q and l of A^l [U_q; X_q(items)]

    Differs from the source in form, not in values: all losses read the mean H_M of the extended modalities alone, and
    propagation is linear, so the mean is propagated rather than each modality, beside H_id in one product. The users'
    tables U_q enter by their mean alone and are one table, which starts at the mean of as many draws; as Adam does not
    see the scale of a gradient, it moves as the mean of the U_q would.

    Args:
        config: Settings.
        domain: Training data.
        structure: What `build_structure` computed.
        place: Grid and device.
        generator: Source of the start values.
    """

    def __init__(
        self, config: GumeConfig, domain: Domain, structure: Structure, place: Place, generator: torch.Generator
    ) -> None:
        super().__init__()
        grid, device = place.grid, place.device
        self._config, self.n_users = config.graph, domain.n_users
        self.users = ColumnTable(domain.n_users, config.width, grid, generator)
        self.items = ColumnTable(domain.n_items, config.width, grid, generator)
        self.extended = (
            _mean_table(len(domain.features), domain.n_users, config.width, grid, generator) if config.extends else None
        )
        self.purifiers = nn.ModuleList(
            Purifier(feature, config.width, grid, device, generator, config.train_features)
            for feature in domain.features.values()
        )
        enhanced = bipartite(domain.interactions, structure.matrices[LINKS])
        self._enhanced = SparseOperator.from_scipy(enhanced, device)
        self._to_users = SparseOperator.from_scipy(enhanced[: domain.n_users, domain.n_users :], device)
        self._items = [
            SparseOperator.from_scipy(structure.matrices[item_graph(name)], device) for name in domain.features
        ]
        masks = np.stack([feature.present for feature in domain.features.values()], axis=1)
        self._present = None if masks.all() else torch.from_numpy(masks.astype(np.float32)).to(device)
        self.item_counts = tuple(int(count) for count in masks.sum(axis=0))

    def forward(self) -> Features:
        """Compute the features of all nodes."""
        items = self.items()
        modes = [
            last_propagation(graph, purify(items), self._config.item_layers)
            for graph, purify in zip(self._items, self.purifiers, strict=True)
        ]
        explicit_items = torch.cat(modes, dim=1)
        of_users, of_items = [self.users()], [items]
        if self.extended is not None:
            of_users.append(self.extended())
            of_items.append(explicit_items.view(len(items), len(modes), -1).mean(1))
        tables = torch.cat([torch.cat(of_users, dim=1), torch.cat(of_items, dim=1)])
        nodes = mean_propagation(self._enhanced, tables, self._config.interaction_layers)
        return Features(nodes, self._to_users @ explicit_items, explicit_items)

    def present(self, users: int, items: torch.Tensor) -> torch.Tensor | None:
        """Return which modalities some users and then some items have: (users + B, M); None where all have all."""
        if self._present is None:
            return None
        return torch.cat([self._present.new_ones(users, self._present.shape[1]), self._present[items]])


def _mean_table(n_tables: int, n_rows: int, width: int, grid: Grid, generator: torch.Generator) -> ColumnTable:
    tables = [ColumnTable(n_rows, width, grid, generator) for _ in range(n_tables)]
    with torch.no_grad():
        tables[0].weight.copy_(torch.stack([table.weight for table in tables]).mean(0))
    return tables[0]
