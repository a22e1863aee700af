import json

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from jobs.match_quality import compare, exact_ranks, hide, main, table, train_alone
from raymm.data.prepared import open_prepared
from raymm.errors import DataError
from raymm.transport import bilinear
from raymm.transport.quality import Quality
from tests.transport.people import domains

PAIRS = torch.arange(100)[:, None].repeat(1, 2)
NOBODY = torch.zeros(0, dtype=torch.int64)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_pairs_of_the_training_are_never_hidden() -> None:
    trial = hide(PAIRS, torch.arange(30), [150, 140], 500, 1.0, generator())
    assert trial.n_hidden == 50
    assert trial.rows[:50].min() >= 30
    assert torch.equal(trial.rows[:50], trial.columns[:50])
    assert set(range(30)) < set(trial.shown[:, 0].tolist())
    assert not torch.isin(trial.shown[:, 0], trial.rows).any()
    assert (len(trial.rows), len(trial.columns)) == (100, 90)
    with pytest.raises(DataError, match="0 pairs to hide"):
        hide(PAIRS, torch.arange(100), [150, 140], 500, 1.0, generator())


def test_only_the_asked_share_has_a_counterpart() -> None:
    trial = hide(PAIRS, NOBODY, [100, 100], 500, 0.4, generator())
    assert trial.n_hidden == 20
    both = set(trial.rows.tolist()) & set(trial.columns.tolist())
    assert both == set(trial.rows[:20].tolist())
    assert (len(trial.rows), len(trial.columns)) == (35, 35)
    few = hide(PAIRS, NOBODY, [100, 100], 25, 0.4, generator())
    assert (few.n_hidden, len(few.rows)) == (10, 25)


def test_the_exact_plan_is_the_best_assignment() -> None:
    x, y = domains(60, 60, 60, noise=0.3)
    cost = bilinear.cosine(x, y)
    found = exact_ranks(cost, 60)
    _, columns = linear_sum_assignment(cost.dense().numpy())
    right = torch.from_numpy(columns == range(60))
    assert 0 < int(right.sum()) < 60
    assert torch.equal(found == 1.0, right)
    assert set(found[~right].tolist()) == {31.0}  # among the 59 zeros of its row, ties count half


def test_every_way_ranks_the_same_candidates() -> None:
    x, y = domains(260, 240, 100, torch.float32, noise=0.05)
    trial = hide(PAIRS, NOBODY, [260, 240], 120, 1.0, generator())
    rows = compare((x, y), trial, generator())
    assert {row.candidates for row in rows} == {120}
    by_name = {row.method: row for row in rows}
    assert {"random", "nearest by cosine", "POT exact, balanced", "plan, chosen on shown pairs"} < set(by_name)
    assert by_name["plan, relaxed (defaults)"].mrr > 10 * by_name["random"].mrr


def test_the_table_has_mean_and_spread() -> None:
    rows = [Quality("a", hit, hit, hit, 10, 20) for hit in (0.1, 0.3)] + [Quality("b", 0.5, 0.5, 0.5, 10, 20)]
    lines = table(rows).splitlines()
    assert lines[1].split()[:4] == ["a", "0.2000", "±", "0.1414"]
    assert lines[2].split()[:4] == ["b", "0.5000", "±", "0.0000"]


@pytest.mark.ray
@pytest.mark.slow
def test_real_users_are_compared(prepared_sample, tmp_path, capsys) -> None:
    options = [
        "--prepared",
        str(prepared_sample),
        "--seeds",
        "2",
        "--users",
        "400",
        "--output",
        str(tmp_path / "q.json"),
    ]
    assert main(options) == 0
    assert "POT exact" in capsys.readouterr().out
    rows = json.loads((tmp_path / "q.json").read_text())
    assert len(rows) == 18
    assert all(row["users"] == row["candidates"] == 400 for row in rows)


@pytest.mark.ray
@pytest.mark.slow
def test_embeddings_of_models_trained_by_domain_find_more_than_chance(prepared_sample, tmp_path, capsys) -> None:
    options = ["--prepared", str(prepared_sample), "--embeddings", "lightgcn", "--epochs", "15", "--dimension", "32"]
    options += ["--seeds", "1", "--users", "300", "--overlap", "1", "0.5", "--output", str(tmp_path / "q.json")]
    assert main(options) == 0
    shown = capsys.readouterr()
    assert shown.out.count("POT exact") == 2
    assert shown.err.count("lightgcn on") == 2
    rows = json.loads((tmp_path / "q.json").read_text())
    assert {row["overlap"] for row in rows} == {1.0, 0.5}
    for overlap in (1.0, 0.5):
        mrr = {row["method"]: row["mrr"] for row in rows if row["overlap"] == overlap}
        assert max(mrr.values()) > 2 * mrr["random"]


@pytest.mark.ray
def test_a_model_trained_by_domain_sees_one_domain_and_repeats_itself(prepared_sample) -> None:
    prepared = open_prepared(prepared_sample)
    first, again = (train_alone("bprmf", prepared, 1, 8, 1) for _ in range(2))
    other = train_alone("bprmf", prepared, 1, 8, 1, seed=1)
    assert first.shape == (prepared.domains[1].n_users, 8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
