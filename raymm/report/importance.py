"""Which of the settings that a sweep searched mattered, as far as its trials can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from raymm.report.sweep_record import TrialRecord, ranked

LEAST_TRIALS = 8  # below, any split of the trials explains something

_BINS = 4


def importance(trials: Sequence[TrialRecord], names: Sequence[str]) -> dict[str, float]:
    """Return the share of the variance of the trials' ranks that each setting explains by itself.

    Values of a setting are put into groups: its choices, or quarters of a range by number of trials. The share is
    omega squared of a one-way analysis of variance (W. L. Hays, Statistics for Psychologists, 1963) on the ranks of the
    values, which one bad trial cannot rule: what groups explain less what they would explain by chance, at least 0.
    Shares need not add to 1: settings act together, and the search does not draw them evenly.

    Args:
        trials: Trials of one model; those without a value do not count.
        names: The settings that were searched.

    Returns:
        Setting to share, 0 to 1, largest first; empty with fewer than 8 trials that have a value.
    """
    rated = ranked(trials)
    if len(rated) < LEAST_TRIALS:
        return {}
    ranks = np.arange(len(rated), 0, -1, dtype=float)  # they come best first
    shares = {name: _omega_squared(_groups([trial.values.get(name) for trial in rated]), ranks) for name in names}
    return dict(sorted(shares.items(), key=lambda share: -share[1]))


def _groups(values: Sequence[Any]) -> np.ndarray:
    """Number the group of each value: (n,) int64."""
    kinds = sorted(set(values), key=str)
    if len(kinds) <= _BINS or not all(isinstance(value, int | float) for value in values):
        return np.array([kinds.index(value) for value in values])
    numbers = np.asarray(values, dtype=float)
    edges = np.quantile(numbers, np.linspace(0, 1, _BINS + 1)[1:-1])
    return np.searchsorted(edges, numbers, side="right")


def _omega_squared(groups: np.ndarray, ranks: np.ndarray) -> float:
    kinds = np.unique(groups)
    n, k = len(ranks), len(kinds)
    if k < 2 or n <= k:
        return 0.0
    total = float(((ranks - ranks.mean()) ** 2).sum())
    within = sum(float(((ranks[groups == kind] - ranks[groups == kind].mean()) ** 2).sum()) for kind in kinds)
    error = within / (n - k)
    return max(0.0, (total - within - (k - 1) * error) / (total + error))


def best_so_far(trials: Sequence[TrialRecord]) -> Mapping[str, float]:
    """Return each trial's name with the best value of it and those before it, from the first that has one on."""
    best, found = float("-inf"), {}
    for trial in trials:
        best = max(best, trial.value if trial.value is not None else best)
        if best > float("-inf"):
            found[trial.name] = best
    return found
