"""Cold users drawn anew, so that many shares and seeds can be judged on one data set."""

from __future__ import annotations

import dataclasses

import numpy as np

from raymm.contracts import RatingHoldout
from raymm.errors import DataError
from raymm.ratings.table import ColdStart


def redraw(
    problem: ColdStart, cold_share: float, generator: np.random.Generator, validation_share: float = 0.1
) -> tuple[ColdStart, RatingHoldout, RatingHoldout]:
    """Take all target ratings from some users who are known in the source.

    Source: the protocol of PTUPCDR (arXiv 2110.11154) and MIMNet (arXiv 2408.00038), 20, 50 and 80 % of the shared
    users. Differs from the source: part of the users who stay are held out for selection, where the published codes
    select the epoch on the test users.

    Args:
        problem: Ratings of both domains.
        cold_share: Share of the shared users to test.
        generator: Draws them.
        validation_share: Share of the others for selection, one user at least.

    Returns:
        What is left to train on, ratings of the validation users, and ratings of the test users.

    Raises:
        DataError: So few users are shared that a part would be empty.
    """
    shared = np.unique(problem.target.users[problem.shared_rows])
    n_cold = round(cold_share * len(shared))
    n_held = max(1, round(validation_share * (len(shared) - n_cold)))
    if n_cold < 1 or len(shared) - n_cold - n_held < 2:
        raise DataError(
            f"{len(shared)} shared users, {n_cold} of them cold, {n_held} for selection",
            "at least one cold user, and two who stay",
            "redraw of cold users",
            "choose another share, or a data set with more shared users",
        )
    order = generator.permutation(shared)
    cold, held = order[:n_cold], order[n_cold : n_cold + n_held]
    warm = problem.target.rows(~np.isin(problem.target.users, order[: n_cold + n_held]))
    parts = [problem.target.rows(np.isin(problem.target.users, users)) for users in (held, cold)]
    validation, test = (
        RatingHoldout("target", part.users, part.items, part.ratings.astype(np.float32)) for part in parts
    )
    return dataclasses.replace(problem, target=warm), validation, test
