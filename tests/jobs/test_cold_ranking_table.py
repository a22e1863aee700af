"""The table of cold rankings, on two kinds of users and items."""

from __future__ import annotations

from pathlib import Path

from tests.models.rating.test_cold_rankers import _data

JOBS = Path(__file__).parents[2] / "jobs"


def test_cold_users_lose_all_they_have_and_the_ridge_beats_popularity(monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(str(JOBS))
    import cold_ranking_table

    data, _ = _data()
    seeds = [cold_ranking_table.judge(data, ("a", "b"), 0.3, seed, 4.0) for seed in (0, 1)]
    for found in seeds:
        assert len(found["cross_ridge"].users) == 18
        assert found["cross_ridge"].means()["ndcg@20"] > found["popularity"].means()["ndcg@20"] + 0.1
    cold_ranking_table._table(seeds, "toy")
    assert "NDCG@20 less that of co_occurrence" in capsys.readouterr().out
