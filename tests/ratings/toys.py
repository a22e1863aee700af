"""Ratings whose makers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from raymm.contracts import Feature, RatingHoldout
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


def whole(taste: float = 1.0, n_users: int = 240, n_items: int = 40, seed: int = 0) -> ColdStart:
    """One taste of two directions and one kind of user bias in both domains; nobody is cold.

    Target users stand in reverse order, so that a mixed-up number shows. The features tell what items are, turned into
    twelve columns; the last item of each domain has none.
    """
    generator = np.random.default_rng(seed)
    people, bias = generator.normal(size=(n_users, 2)), 0.5 * generator.normal(size=n_users)
    rated, features = [], []
    turned = np.random.default_rng([seed, 2]).normal(size=(2, 12))
    for _ in range(2):
        items, popular = generator.normal(size=(n_items, 2)), 0.5 * generator.normal(size=n_items)
        values = 3 + bias[:, None] + popular + taste * people @ items.T / np.sqrt(2)
        values = values + 0.3 * generator.normal(size=values.shape)
        rated.append((values, generator.random(values.shape) < 0.5))
        present = np.arange(n_items) < n_items - 1
        features.append({"text": Feature((present[:, None] * (items @ turned)).astype(np.float32), present)})
    (values, mask), (others, known) = rated[0], (rated[1][0][::-1], rated[1][1][::-1])
    users, items = np.nonzero(mask)
    source = RatingTable(users, items, values[mask], n_users, n_items)
    users, items = np.nonzero(known)
    target = RatingTable(users, items, others[known], n_users, n_items)
    return ColdStart(source, target, np.arange(n_users)[::-1].copy(), (features[0], features[1]))


def planted(
    taste: float = 1.0, n_users: int = 240, n_items: int = 40, seed: int = 0
) -> tuple[ColdStart, RatingHoldout, RatingHoldout]:
    """Take the target ratings of three users in ten of `whole`: a third of them for selection, the rest to test."""
    problem = whole(taste, n_users, n_items, seed)
    who = np.random.default_rng([seed, 1]).permutation(n_users)[: round(0.3 * n_users)]
    parts = [problem.target.rows(np.isin(problem.target.users, part)) for part in np.split(who, [len(who) // 3])]
    warm = problem.target.rows(~np.isin(problem.target.users, who))
    held = (RatingHoldout("target", h.users, h.items, h.ratings.astype(np.float32)) for h in parts)
    return replace(problem, target=warm), *held


def rmse(scorer, holdout: RatingHoldout) -> float:
    """Root mean squared error of a scorer's pairs."""
    predicted = scorer.pairs(torch.from_numpy(holdout.users.copy()), torch.from_numpy(holdout.items.copy()))
    return float(np.sqrt(np.mean((predicted.numpy() - holdout.ratings) ** 2)))
