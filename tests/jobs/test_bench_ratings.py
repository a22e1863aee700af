"""Generated ratings have the sizes asked for, and the smallest measurement says what it took."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

JOBS = Path(__file__).parents[2] / "jobs"


def test_generated_ratings_have_tails_shared_users_and_no_pair_twice(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(JOBS))
    import bench_ratings

    problem = bench_ratings.generated(0.01, np.random.default_rng(0))
    for table, size in ((problem.source, bench_ratings.SOURCE), (problem.target, bench_ratings.TARGET)):
        assert len(table.users) == pytest.approx(0.01 * size[2], rel=0.15)
        assert len(np.unique(table.users * table.n_items + table.items)) == len(table.users)
        assert table.user_counts.min() >= 3
        assert table.item_counts.max() > 20 * table.item_counts.mean()
    assert len(np.unique(problem.target.users[problem.shared_rows])) == round(0.01 * bench_ratings.SHARED)
