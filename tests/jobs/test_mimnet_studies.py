"""Studies of MIMNet on ratings whose makers are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from raymm.models.mimnet.config import DEFAULT
from tests.ratings.toys import whole

JOBS = Path(__file__).parents[2] / "jobs"


def test_fewer_shared_users_lie_within_more_and_figures_are_drawn(monkeypatch, tmp_path) -> None:
    monkeypatch.syspath_prepend(str(JOBS))
    import mimnet_studies

    problem = whole(n_users=100)
    kept = [set(mimnet_studies.fewer(problem, known, 0).target.users) for known in (1.0, 0.5, 0.1)]
    assert [len(users) for users in kept] == [100, 50, 10]
    assert kept[2] < kept[1] < kept[0]
    settings = replace(DEFAULT, ranks=False, meta=replace(DEFAULT.meta, gate=0.0, epochs=1))
    cell = mimnet_studies.redraw(problem, 0.5, np.random.default_rng(0))
    mimnet_studies._distinctness(settings, {0: cell}, tmp_path / "capsules.svg")
    assert (tmp_path / "capsules.svg").read_bytes().startswith(b"<?xml")
