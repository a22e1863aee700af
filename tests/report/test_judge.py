"""What a report says equals what the evaluation found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm.errors import DataError
from raymm.evaluation.ranking import rank, top_k
from raymm.report.judge import draw_examples, find_warnings, judge_domain
from raymm.report.record import HEADLINE
from tests.report.toys import AGAINST, make_case, make_record, make_result


def test_a_domain_is_judged_by_its_rankings() -> None:
    domain, holdout, scorers = make_case("books", 0)
    result = make_result("books", 0)
    for name, scorer in scorers.items():
        assert result.means[name] == rank(scorer, holdout).means()
    assert [comparison.metric for comparison in result.comparisons] == list(HEADLINE)
    first = result.comparisons[0]
    assert first.first == pytest.approx(result.means["model"]["hr@10"])
    assert first.second == pytest.approx(result.means["popularity"]["hr@10"])
    assert first.verdict == "better"  # the model knows the planted taste
    assert [part.name for part in result.slices["model"]] == [part.name for part in result.slices["popularity"]]
    assert {part.family for part in result.slices["model"]} == {"item popularity", "user history"}
    assert result.catalogue["model"]["coverage@10"] > result.catalogue["popularity"]["coverage@10"]


def test_facts_are_counted_from_the_data() -> None:
    domain, holdout, _ = make_case("books", 0)
    facts = make_result("books", 0).facts
    assert (facts.n_users, facts.n_items, facts.n_interactions) == (60, 40, 60 * 7)
    assert (facts.n_evaluated, facts.n_held_out) == (60, 60)
    assert facts.modalities == {"title": 0.9}
    assert sum(facts.popularity) == pytest.approx(1)
    assert list(facts.popularity) == sorted(facts.popularity, reverse=True)
    degrees = np.sort(domain.interactions.toarray().sum(axis=0))[::-1]
    assert facts.popularity[0] == pytest.approx(degrees[:8].sum() / degrees.sum())


def test_examples_show_the_users_own_items() -> None:
    domain, holdout, scorers = make_case("books", 0)
    values, lists = rank(scorers["model"], holdout), top_k(scorers["model"], holdout.users, 3, holdout.hidden)[0]
    titles, people = [f"item {item}" for item in range(40)], [f"user {user}" for user in range(60)]
    examples = draw_examples(domain, values, lists, titles, people, np.random.default_rng(2), count=60)
    assert len(examples) == 60
    hits = 0
    for user, example in enumerate(examples):
        assert example.user == f"user {user}"
        known = {f"item {item}" for item in domain.interactions[[user]].indices}
        assert set(example.history) <= known
        assert len(example.history) == 5
        target = f"item {holdout.targets[[user]].indices[0]}"
        assert example.held_out == (target,)
        assert [line.title for line in example.recommended] == [f"item {item}" for item in lists[user]]
        assert [line.hit for line in example.recommended] == [line.title == target for line in example.recommended]
        assert any(line.hit for line in example.recommended) == (example.best_rank <= 3)
        hits += example.best_rank <= 3
    assert 0 < hits < 60


def test_the_latest_of_the_history_is_shown_where_times_are_known() -> None:
    domain, holdout, scorers = make_case("books", 0)
    times = np.tile([50, 10, 70, 20, 60, 30, 40], 60)
    domain = dataclasses.replace(domain, times=times)
    values, lists = rank(scorers["model"], holdout), np.zeros((60, 1), int)
    (example,) = draw_examples(domain, values, lists, range(40), range(60), np.random.default_rng(3), count=1)
    known = domain.interactions[[int(example.user)]].indices
    assert example.history == tuple(str(known[place]) for place in (5, 6, 0, 4, 2))


def test_a_model_without_a_ranking_is_refused() -> None:
    domain, holdout, scorers = make_case("books", 0)
    rankings = {"model": rank(scorers["model"], holdout)}
    with pytest.raises(DataError, match="popularity"):
        judge_domain(domain, rankings, {}, AGAINST, np.random.default_rng(0))


def test_other_cutoffs_are_compared_too() -> None:
    domain, holdout, scorers = make_case("books", 0)
    rankings = {name: rank(scorer, holdout, cutoffs=(3,)) for name, scorer in scorers.items()}
    result = judge_domain(domain, rankings, {}, AGAINST, np.random.default_rng(0))
    assert [comparison.metric for comparison in result.comparisons] == ["hr@3", "recall@3", "ndcg@3"]
    assert result.catalogue == {"model": {}, "popularity": {}}


def test_warnings_name_the_signature_and_the_remedy() -> None:
    record = make_record()
    assert find_warnings(record.domains, "model", record.history, "ndcg@10") == ()
    rising = [{"epoch": 1, "validation": {"ndcg@10": 0.1}}, {"epoch": 2, "validation": {"ndcg@10": 0.2}}]
    (warning,) = find_warnings([], "model", rising, "ndcg@10")
    assert "more epochs" in warning
    assert "(2)" in warning
    good = record.domains[0]
    bad = dataclasses.replace(
        good,
        comparisons=tuple(
            dataclasses.replace(one, interval=(-0.2, -0.1)) for one in good.comparisons if one.metric == "hr@10"
        ),
        catalogue={"model": {"coverage@10": 0.004}},
    )
    worse, collapsed = find_warnings([bad], "model", [], "ndcg@10")
    assert "worse than the baseline in books (hr@10)" in worse
    assert "0.40%" in collapsed


def test_another_model_that_ranks_better_is_named() -> None:
    good = make_record().domains[0]
    means = {**good.means, "item_knn": {**good.means["model"], "ndcg@10": good.means["model"]["ndcg@10"] + 0.01}}
    (warning,) = find_warnings([dataclasses.replace(good, means=means)], "model", [], "ndcg@10")
    assert warning.startswith("item_knn ranks books better than model: ndcg@10")
