"""Small holdouts and scorers whose right answers are known."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from raymm.contracts import Holdout


class TableScorer:
    """Scores read from a table; the memory is the scorer's own, as a careless third party might do it."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = torch.from_numpy(np.asarray(table, dtype=np.float32))

    @property
    def n_users(self) -> int:
        return self.table.shape[0]

    @property
    def n_items(self) -> int:
        return self.table.shape[1]

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        first, last = int(users[0]), int(users[-1])
        if torch.equal(users, torch.arange(first, last + 1)):
            return self.table[first : last + 1]  # a view
        return self.table[users]

    def pairs(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        return self.table[users, items]

    def arrays(self) -> dict[str, torch.Tensor]:
        return {"table": self.table}


def csr(rows: list[list[int]], n_items: int) -> sparse.csr_array:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    items = np.array([item for row in rows for item in row], dtype=np.int64)
    return sparse.csr_array((np.ones(len(items), np.float32), items, starts), shape=(len(rows), n_items))


def holdout(targets: list[list[int]], hidden: list[list[int]], n_items: int, users: list[int] | None = None) -> Holdout:
    ids = np.arange(len(targets)) if users is None else np.array(users)
    return Holdout("toy", ids, csr(targets, n_items), csr(hidden, n_items))


def random_case(
    generator: np.random.Generator, n_users: int = 41, n_items: int = 60, levels: int = 12
) -> tuple[TableScorer, Holdout]:
    """A case with many equal scores, several targets a user, and hidden items; only some users are evaluated."""
    table = generator.integers(-levels, levels, size=(n_users, n_items)) / 4.0
    users = np.sort(generator.choice(n_users, size=n_users - 6, replace=False))
    targets, hidden = [], []
    for _ in users:
        shuffled = generator.permutation(n_items)
        n_targets, n_hidden = generator.integers(1, 15), generator.integers(0, 20)
        targets.append(list(shuffled[:n_targets]))
        hidden.append(list(shuffled[n_targets : n_targets + n_hidden]))
    return TableScorer(table), holdout(targets, hidden, n_items, list(users))
