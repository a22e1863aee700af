"""Paired tests against closed forms, scipy's own bootstrap, and planted effects."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raymm.errors import ConfigError, DataError
from raymm.evaluation.compare import compare, compare_seeds, compare_values
from raymm.evaluation.values import RankingValues, measure


def _values(ranks: np.ndarray, users: np.ndarray | None = None) -> RankingValues:
    users = np.arange(len(ranks)) if users is None else users
    return measure("toy", users, np.arange(len(ranks) + 1), np.zeros(len(ranks), int), ranks, (10,))


def _generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_interval_equals_scipys_paired_bootstrap() -> None:
    generator = np.random.default_rng(1)
    second = generator.exponential(size=400)
    first = second + generator.normal(0.1, 0.5, size=400)
    result = compare_values(first, second, "gain", _generator(), draws=8000)
    reference = stats.bootstrap(
        (first, second),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True,
        n_resamples=8000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    width = reference.high - reference.low
    assert result.interval == pytest.approx((reference.low, reference.high), abs=0.05 * width)
    assert result.difference == pytest.approx(first.mean() - second.mean(), abs=1e-15)
    assert result.p_t == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-9)
    assert result.p_wilcoxon == pytest.approx(stats.wilcoxon(first, second).pvalue, rel=1e-9)


def test_interval_agrees_with_the_normal_closed_form() -> None:
    differences = np.random.default_rng(3).normal(0.02, 1.0, size=5000)
    second = np.random.default_rng(4).normal(5.0, 1.0, size=5000)
    result = compare_values(second + differences, second, "x", _generator(), draws=4000)
    half = 1.96 * differences.std() / np.sqrt(5000)
    expected = differences.mean() - half, differences.mean() + half
    assert result.interval == pytest.approx(expected, abs=0.06 * half)
    relative_low, relative_high = result.relative_interval
    assert relative_low < result.relative < relative_high
    assert result.relative == pytest.approx(differences.mean() / second.mean())


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        second = generator.exponential(size=150)
        result = compare_values(second + generator.normal(0.3, 1, 150), second, "x", generator, draws=300, level=0.9)
        covered += result.interval[0] <= 0.3 <= result.interval[1]
    assert 165 <= covered <= 193  # 180 expected, three standard errors


def test_ranking_values_are_compared_by_metric() -> None:
    generator = np.random.default_rng(5)
    ranks = generator.integers(1, 30, 300)
    better = np.maximum(1, ranks - generator.integers(0, 6, 300))
    result = compare(_values(better), _values(ranks), "ndcg@10", _generator())
    assert result.n_users == 300
    assert result.interval[0] > 0
    assert result.p_t < 1e-6
    assert result.p_wilcoxon < 1e-6
    assert result.worse == 0
    assert result.better == ((better < ranks) & (better <= 10)).mean() > 0
    mirrored = compare(_values(ranks), _values(better), "ndcg@10", _generator())
    assert mirrored.interval == pytest.approx((-result.interval[1], -result.interval[0]))


def test_the_same_generator_gives_the_same_interval() -> None:
    ranks = np.random.default_rng(6).integers(1, 30, 200)
    results = [compare(_values(ranks), _values(ranks[::-1]), "hr@10", _generator()) for _ in range(2)]
    assert results[0] == results[1]


def test_equal_models_are_equal() -> None:
    ranks = np.random.default_rng(7).integers(1, 30, 100)
    result = compare(_values(ranks), _values(ranks), "mrr@10", _generator())
    assert (result.difference, result.interval, result.p_t, result.p_wilcoxon) == (0, (0, 0), 1, 1)


def test_a_baseline_that_finds_nothing_has_no_relative_gain() -> None:
    result = compare(_values(np.arange(1, 41)), _values(np.full(40, 50)), "hr@10", _generator())
    assert result.second == 0
    assert result.relative is None
    assert result.relative_interval is None
    assert result.difference == 0.25


def test_seeds_widen_the_interval() -> None:
    generator = np.random.default_rng(8)
    easy = generator.normal(size=2000)
    ours = [_as_values(easy + 0.5 + shift) for shift in (-0.2, 0.0, 0.2)]
    theirs = [_as_values(easy)]
    result = compare_seeds(ours, theirs, "x", _generator())
    single = compare(ours[1], theirs[0], "x", _generator())
    assert result.difference == pytest.approx(0.5)
    assert result.first == pytest.approx([easy.mean() + 0.3, easy.mean() + 0.5, easy.mean() + 0.7])
    assert single.interval == pytest.approx((0.5, 0.5))  # users alone: no chance left here
    spread = result.interval[1] - result.interval[0]
    assert 0.3 < spread <= 0.4  # the mean of three draws out of -0.2, 0, 0.2
    assert result.p_welch is None


def test_welch_speaks_when_both_sides_have_seeds() -> None:
    generator = np.random.default_rng(9)
    easy = generator.normal(size=500)
    ours = [_as_values(easy + 1 + shift) for shift in (-0.1, 0.0, 0.1)]
    theirs = [_as_values(easy + shift) for shift in (-0.1, 0.1)]
    result = compare_seeds(ours, theirs, "x", _generator())
    assert result.p_welch == pytest.approx(stats.ttest_ind(result.first, result.second, equal_var=False).pvalue)
    assert compare_seeds(ours[:1] * 2, theirs[:1] * 2, "x", _generator()).p_welch == 0.0


def _as_values(numbers: np.ndarray) -> RankingValues:
    values = _values(np.ones(len(numbers), int))
    return RankingValues(
        values.domain, values.cutoffs, values.users, values.starts, values.items, values.ranks, {"x": numbers}
    )


def test_values_that_do_not_belong_together_are_refused() -> None:
    ranks = np.arange(1, 11)
    with pytest.raises(DataError, match="different users"):
        compare(_values(ranks), _values(ranks, users=np.arange(1, 11)), "hr@10", _generator())
    with pytest.raises(DataError, match="different users"):
        compare(_values(ranks), _values(ranks[:5]), "hr@10", _generator())
    with pytest.raises(DataError, match="no hr@5"):
        compare(_values(ranks), _values(ranks), "hr@5", _generator())
    with pytest.raises(DataError, match="at least one a side"):
        compare_seeds([], [_values(ranks)], "hr@10", _generator())
    with pytest.raises(DataError, match="at least two"):
        compare(_values(ranks[:1]), _values(ranks[:1]), "hr@10", _generator())
    with pytest.raises(DataError, match="finite"):
        compare_values(np.array([1, np.nan]), np.array([1.0, 2.0]), "x", _generator())
    for draws, level in ((0, 0.9), (10, 1.0)):
        with pytest.raises(ConfigError, match="draws"):
            compare(_values(ranks), _values(ranks), "hr@10", _generator(), draws=draws, level=level)
