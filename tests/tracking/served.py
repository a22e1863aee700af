"""Served models of every kind of scorer, with many equal scores, and rankings made by a loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from raymm.contracts import Scorer
from raymm.scorers import DotScorer, ItemScorer, SparseItemScorer
from raymm.tracking.served import ServedDomain, write_served

Row = tuple[str, int, str, float, bool]


def write_model(folder: Path, users: int = 60, items: int = 40, seed: int = 0) -> tuple[ServedDomain, ...]:
    """Write a served model of three domains: `dot`, `item` and `sparse`; half of their users have the same ids."""
    domains = tuple(_domain(kind, users, items, seed) for kind in ("dot", "item", "sparse"))
    write_served(folder, domains, {"run": "f00d"}, {"seed": seed})
    return domains


def by_hand(domain: ServedDomain, user: str, k: int, exclude: Sequence[str], candidates: Sequence[str]) -> list[Row]:
    """Rank for one user by a loop over plain numbers."""
    users, items, known = list(domain.user_ids), list(domain.item_ids), domain.known.toarray() != 0
    if user in users:
        row = users.index(user)
        scores, taken = domain.scorer.scores(torch.tensor([row]))[0].tolist(), known[row]
    else:
        scores, taken = known.sum(axis=0).astype(float).tolist(), np.zeros(len(items), dtype=bool)
    left = [
        (-scores[place], place)
        for place, item in enumerate(items)
        if not taken[place] and item not in exclude and (not candidates or item in candidates)
    ]
    return [
        (user, rank, items[place], -score, user in users) for rank, (score, place) in enumerate(sorted(left)[:k], 1)
    ]


def _domain(kind: str, users: int, items: int, seed: int) -> ServedDomain:
    generator = np.random.default_rng((seed, len(kind)))
    known = sparse.csr_array((generator.random((users, items)) < 0.1).astype(np.float32))
    user_ids = [f"user {number}" if number % 2 else f"{kind} user {number}" for number in range(users)]
    item_ids = [f"{kind}-{number:03d}" for number in range(items)]
    names = (np.array(ids, dtype=object) for ids in (user_ids, item_ids))
    return ServedDomain(kind, _scorer(kind, known, generator), *names, known)


def _scorer(kind: str, known: sparse.csr_array, generator: np.random.Generator) -> Scorer:
    users, items = known.shape
    if kind == "item":
        return ItemScorer(torch.from_numpy(generator.integers(0, 5, items).astype(np.float32)), users)
    if kind == "dot":
        tables = (torch.from_numpy(generator.integers(-2, 3, (n, 3)).astype(np.float32)) for n in (users, items))
        return DotScorer(*tables)
    weights = sparse.csr_array(generator.integers(0, 3, (items, items)) * (generator.random((items, items)) < 0.2))
    arrays = []
    for matrix in (known, weights):
        arrays += [torch.from_numpy(matrix.indptr.astype(np.int64)), torch.from_numpy(matrix.indices.astype(np.int64))]
        arrays += [torch.from_numpy(matrix.data.astype(np.float32))]
    return SparseItemScorer(*arrays)
