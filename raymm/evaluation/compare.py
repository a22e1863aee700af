"""Is one model better than another: paired tests over users, and over seeds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from raymm.errors import ConfigError, DataError
from raymm.evaluation.values import RankingValues

_CHUNK = 1 << 22  # resampled numbers held at a time


@dataclass(frozen=True)
class Comparison:
    """A first model against a second one on the same users.

    Attributes:
        metric: The metric's key.
        n_users: Number of users.
        first: Mean of the first model.
        second: Mean of the second model.
        difference: First minus second.
        interval: Interval of the difference, by paired bootstrap over users.
        relative: `difference / second`, or None where the second mean is 0.
        relative_interval: Its interval; None where it is not defined in every draw.
        level: Level of the intervals, 0.95 for 95 %.
        p_t: Two-sided p of the paired t-test.
        p_wilcoxon: Two-sided p of the Wilcoxon signed-rank test; users without a difference are left out of it.
        better: Share of users for whom the first model is better.
        worse: Share of users for whom it is worse.
    """

    metric: str
    n_users: int
    first: float
    second: float
    difference: float
    interval: tuple[float, float]
    relative: float | None
    relative_interval: tuple[float, float] | None
    level: float
    p_t: float
    p_wilcoxon: float
    better: float
    worse: float

    @property
    def verdict(self) -> Literal["better", "worse", "open"]:
        """Whether the interval of the difference lies above zero, below it, or holds it."""
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "open"


@dataclass(frozen=True)
class SeedComparison:
    """A first model against a second one, each trained with several seeds, on the same users.

    Attributes:
        metric: The metric's key.
        n_users: Number of users.
        first: Mean of each seed of the first model.
        second: Mean of each seed of the second model.
        difference: Mean of `first` minus mean of `second`.
        interval: Its interval, users and seeds resampled together.
        relative: `difference` over the mean of `second`, or None where that is 0.
        relative_interval: Its interval; None where it is not defined in every draw.
        level: Level of the intervals.
        p_welch: Two-sided p of Welch's t-test between the seeds' means; None with fewer than two seeds a side.
    """

    metric: str
    n_users: int
    first: tuple[float, ...]
    second: tuple[float, ...]
    difference: float
    interval: tuple[float, float]
    relative: float | None
    relative_interval: tuple[float, float] | None
    level: float
    p_welch: float | None


def compare(
    first: RankingValues,
    second: RankingValues,
    metric: str,
    generator: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Comparison:
    """Compare two models by one ranking metric, user by user.

    Args:
        first: Values of the first model.
        second: Values of the second model, of the same users and held-out items.
        metric: Key of the metric.
        generator: Source of the bootstrap's draws.
        draws: Number of bootstrap draws.
        level: Level of the intervals.

    Returns:
        The comparison; it speaks of these two trained models on users like these. What another seed would give it
        cannot know: see `compare_seeds`.

    Raises:
        DataError: The values are of different users or held-out items, or lack the metric.
    """
    _check_same([first, second], metric)
    return compare_values(first.values[metric], second.values[metric], metric, generator, draws, level)


def compare_values(
    first: np.ndarray,
    second: np.ndarray,
    metric: str,
    generator: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Comparison:
    """Compare two models by one number a user (a ranking metric, or an error of ratings).

    The interval is the percentile interval of the mean over users drawn with replacement, the same users for both
    models (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).

    Args:
        first: (H,) values of the first model.
        second: (H,) values of the second model for the same users, in the same order.
        metric: What the values are.
        generator: Source of the bootstrap's draws.
        draws: Number of bootstrap draws.
        level: Level of the intervals.

    Raises:
        ConfigError: No draws, or a level that is not between 0 and 1.
        DataError: The arrays differ in shape, or hold fewer than two users.
    """
    ours, theirs = np.atleast_2d(first), np.atleast_2d(second)
    _check_values(ours, theirs, metric, draws, level)
    differences = first - second
    return Comparison(
        metric=metric,
        n_users=len(first),
        first=float(first.mean()),
        second=float(second.mean()),
        level=level,
        p_t=_p_t(differences),
        p_wilcoxon=float(stats.wilcoxon(differences).pvalue) if differences.any() else 1.0,
        better=float((differences > 0).mean()),
        worse=float((differences < 0).mean()),
        **_summary(ours, theirs, generator, draws, level),
    )


def compare_seeds(
    first: Sequence[RankingValues],
    second: Sequence[RankingValues],
    metric: str,
    generator: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> SeedComparison:
    """Compare two models that were trained with several seeds each, on one split.

    In every draw users are resampled jointly, and the seeds of each model for themselves; so the interval covers both
    sources of chance. With few seeds it is somewhat too narrow (by about the square root of (S - 1) / S in the part
    that comes from the seeds); `p_welch` accounts for their number. A side of one seed, such as popularity, counts as
    free of chance.

    Args:
        first: Values of the first model, one a seed.
        second: Values of the second model, one a seed; the number may differ.
        metric: Key of the metric.
        generator: Source of the bootstrap's draws.
        draws: Number of bootstrap draws.
        level: Level of the intervals.

    Raises:
        ConfigError: No draws, or a level that is not between 0 and 1.
        DataError: A side is empty, or the values are of different users or held-out items.
    """
    if not first or not second:
        raise DataError(f"{len(first)} and {len(second)} seeds", "at least one a side", "comparison over seeds")
    _check_same([*first, *second], metric)
    ours, theirs = (np.stack([values.values[metric] for values in side]) for side in (first, second))
    _check_values(ours, theirs, metric, draws, level)
    first_means, second_means = ours.mean(axis=1), theirs.mean(axis=1)
    tested = min(len(first), len(second)) > 1
    return SeedComparison(
        metric=metric,
        n_users=ours.shape[1],
        first=tuple(first_means.tolist()),
        second=tuple(second_means.tolist()),
        level=level,
        p_welch=_p_welch(first_means, second_means) if tested else None,
        **_summary(ours, theirs, generator, draws, level),
    )


def _summary(
    first: np.ndarray, second: np.ndarray, generator: np.random.Generator, draws: int, level: float
) -> dict[str, Any]:
    """Difference and relative difference of means with their intervals; tables are (seeds, users)."""
    ours, theirs = _resampled(first, second, generator, draws)
    difference, base = float(first.mean() - second.mean()), float(second.mean())
    defined = base != 0 and bool((theirs != 0).all())
    return {
        "difference": difference,
        "interval": _interval(ours - theirs, level),
        "relative": difference / base if base else None,
        "relative_interval": _interval(ours / theirs - 1, level) if defined else None,
    }


def _resampled(
    first: np.ndarray, second: np.ndarray, generator: np.random.Generator, draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw users (shared) and seeds (each side its own) with replacement: (draws,) means of both."""
    n_users = first.shape[1]
    chunk = max(1, _CHUNK // n_users)
    results: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for start in range(0, draws, chunk):
        size = min(chunk, draws - start)
        users = generator.integers(0, n_users, (size, n_users), dtype=np.int32)
        for table, result in zip((first, second), results, strict=True):
            means = np.stack([row[users].mean(axis=1) for row in table])  # (seeds, size)
            seeds = generator.integers(0, len(table), means.shape)
            result.append(np.take_along_axis(means, seeds, axis=0).mean(axis=0))
    return np.concatenate(results[0]), np.concatenate(results[1])


def _interval(samples: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(samples, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _p_t(differences: np.ndarray) -> float:
    largest = np.abs(differences).max()
    if np.ptp(differences) <= 1e-12 * largest:  # no spread: the statistic is 0 / 0 or infinite
        return 0.0 if largest else 1.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _p_welch(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(first) == 0 and np.ptp(second) == 0:
        return 0.0 if first[0] != second[0] else 1.0
    with warnings.catch_warnings():  # scipy warns where one side has no spread, as a baseline without seeds
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_ind(first, second, equal_var=False).pvalue)


def _check_values(first: np.ndarray, second: np.ndarray, metric: str, draws: int, level: float) -> None:
    if draws < 1 or not 0 < level < 1:
        raise ConfigError(f"{draws} draws, level {level}", "at least 1, and between 0 and 1", f"comparison of {metric}")
    if first.shape[1:] != second.shape[1:] or first.shape[1] < 2:
        raise DataError(
            f"{first.shape[1]} and {second.shape[1]} users", "the same, at least two", f"comparison of {metric}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise DataError("values that are not finite", "finite values", f"comparison of {metric}")


def _check_same(values: Sequence[RankingValues], metric: str) -> None:
    where = f"comparison of {metric}"
    for one in values:
        if metric not in one.values:
            raise DataError(f"no {metric}", "one of " + ", ".join(one.values), where, "evaluate with this cutoff")
        same = one.domain == values[0].domain and all(
            np.array_equal(getattr(one, name), getattr(values[0], name)) for name in ("users", "starts", "items")
        )
        if not same:
            raise DataError(
                "values of different users or held-out items",
                "one domain and one split, users in the same order",
                where,
                "evaluate both models on the same prepared set",
            )
