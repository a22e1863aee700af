"""Ratings whose makers are known."""

from __future__ import annotations

import numpy as np
import torch

from raymm.contracts import RatingHoldout
from raymm.ratings.table import ColdStart, RatingTable


def table(rows, n_users, n_items) -> RatingTable:
    """Rows (user, item, rating), sorted by user."""
    users, items, ratings = zip(*sorted(rows, key=lambda row: row[0]), strict=True)
    return RatingTable(np.array(users), np.array(items), np.array(ratings, dtype=float), n_users, n_items)


def random_table(n_users=30, n_items=20, share=0.4, seed=0) -> RatingTable:
    """Whole stars for random pairs."""
    generator = np.random.default_rng(seed)
    users, items = np.nonzero(generator.random((n_users, n_items)) < share)
    return RatingTable(users, items, generator.integers(1, 6, len(users)).astype(float), n_users, n_items)


def planted(
    taste: float = 1.0, n_users: int = 240, n_items: int = 40, seed: int = 0, cold: float = 0.3
) -> tuple[ColdStart, RatingHoldout, RatingHoldout]:
    """One taste of two directions and one kind of user bias in both domains; a third of the users are cold.

    Returns the problem, and the target ratings of the cold users: a third of them for selection, the rest to test.
    Target users stand in reverse order, so that a mixed-up number shows.
    """
    generator = np.random.default_rng(seed)
    people, bias = generator.normal(size=(n_users, 2)), 0.5 * generator.normal(size=n_users)
    rated = []
    for _ in range(2):
        items, popular = generator.normal(size=(n_items, 2)), 0.5 * generator.normal(size=n_items)
        values = 3 + bias[:, None] + popular + taste * people @ items.T / np.sqrt(2)
        values = values + 0.3 * generator.normal(size=values.shape)
        mask = generator.random(values.shape) < 0.5
        rated.append((values, mask))
    (values, mask), (others, known) = rated[0], (rated[1][0][::-1], rated[1][1][::-1])
    users, items = np.nonzero(mask)
    source = RatingTable(users, items, values[mask], n_users, n_items)
    users, items = np.nonzero(known)
    target = RatingTable(users, items, others[known], n_users, n_items)
    who = generator.permutation(n_users)[: round(cold * n_users)]
    parts = np.split(who, [len(who) // 3])
    warm = target.rows(~np.isin(target.users, who))
    held = [target.rows(np.isin(target.users, part)) for part in parts]
    problem = ColdStart(source, warm, np.arange(n_users)[::-1].copy())
    return problem, *(RatingHoldout("target", h.users, h.items, h.ratings.astype(np.float32)) for h in held)


def rmse(scorer, holdout: RatingHoldout) -> float:
    """Root mean squared error of a scorer's pairs."""
    predicted = scorer.pairs(torch.from_numpy(holdout.users.copy()), torch.from_numpy(holdout.items.copy()))
    return float(np.sqrt(np.mean((predicted.numpy() - holdout.ratings) ** 2)))
