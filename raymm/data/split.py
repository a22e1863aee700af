"""Which interactions are for training, which for selection, and which for the test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from raymm.config import check, setting
from raymm.errors import ConfigError

TRAIN, VALIDATION, TEST, LEFT_OUT, TRUNCATED = 0, 1, 2, 3, 4

Kind = Literal["leave_last_out", "leave_last_two", "ratio", "mmrec", "time", "given", "cold_start"]
Unseen = Literal["leave_out_users", "leave_out", "keep"]
# From lengths of histories (n,) to the interactions held out of each: for validation (n,), for the test (n,).
Counts = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

# What each kind takes, with its default; a setting that is not in its row is at odds with the kind.
_TAKES: dict[str, dict[str, Any]] = {
    "leave_last_out": {},
    "leave_last_two": {},
    "ratio": {"validation_share": 0.1, "test_share": 0.1, "pick": "last"},
    "ratio, at random": {"validation_share": 0.1, "test_share": 0.1, "pick": "random", "seed": 0},
    "mmrec": {"seed": 0},
    "time": {"validation_share": 0.1, "test_share": 0.1, "unseen": "leave_out_users"},
    "time, given points": {"validation_from": None, "test_from": None, "unseen": "leave_out_users"},
    "given": {"unseen": "leave_out_users"},
    "cold_start": {"cold_share": 0.2, "validation_share": 0.1, "target": "", "seed": 0},
}


@dataclasses.dataclass(frozen=True)
class Split:
    """Which interactions are held out; a setting that is left out gets the default of its kind."""

    kind: Kind = setting(
        "leave_last_out",
        "leave_last_out: a user's last is for the test, the one before for validation; leave_last_two: two each; "
        "ratio: shares of each user's history; mmrec: MMRec's rule, at random; time: two points in time for everybody; "
        "given: a column of labels; cold_start: shared users lose all they have in the target domain",
    )
    by: Literal["order", "time", "line"] | None = setting(
        None, "what orders a history, ties by place in the files; left out: the column `order`, else `time`, else lines"
    )
    validation_share: float | None = setting(
        None, "for validation; ratio, time: share of the interactions; cold_start: of the shared users who stay; 0.1",
        gt=0, lt=1,
    )  # fmt: skip
    test_share: float | None = setting(None, "ratio, time: share of the interactions for the test; 0.1", gt=0, lt=1)
    pick: Literal["last", "random"] | None = setting(None, "ratio: what of a history is held out; last")
    validation_from: int | None = setting(None, "time: validation begins here", unit="s since 1970", ge=0)
    test_from: int | None = setting(None, "time: the test begins here", unit="s since 1970", ge=0)
    unseen: Unseen | None = setting(
        None, "time, given: held-out interactions of users without training interactions are left out "
        "(leave_out_users, the default), or of such items too (leave_out), or none are",
    )  # fmt: skip
    cold_share: float | None = setting(None, "cold_start: share of the shared users for the test; 0.2", gt=0, lt=1)
    target: str | None = setting(None, "cold_start: the domain in which users are cold; the last one")
    positive_rating: float | None = setting(
        None, "held-out interactions rated at least this are what a ranking should find; left out: all are"
    )
    seed: int | None = setting(None, "ratio at random, mmrec, cold_start: seed of the draw; 0", ge=0)

    def __post_init__(self) -> None:
        """Check limits, refuse what is at odds with the kind, and fill in the kind's defaults."""
        check(self)
        takes = _TAKES[self._variant()]
        names = {name for row in _TAKES.values() for name in row}
        problems = [
            f"{name}: found {getattr(self, name)!r}, but a split of kind {self._variant()!r} has no such setting"
            for name in sorted(names - set(takes))
            if getattr(self, name) is not None
        ]
        for name, default in takes.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)  # frozen for everybody else
        if self.kind == "time" and self.by is None:
            object.__setattr__(self, "by", "time")
        problems += self._disagreements(takes)
        if problems:
            raise ConfigError("\n".join(problems))

    @property
    def is_random(self) -> bool:
        """Interactions of a user are drawn, not taken by their place in the history."""
        return self.kind == "mmrec" or self.pick == "random"

    def _variant(self) -> str:
        if self.kind == "ratio" and self.pick == "random":
            return "ratio, at random"
        if self.kind == "time" and (self.validation_from is not None or self.test_from is not None):
            return "time, given points"
        return self.kind

    def _disagreements(self, takes: dict[str, Any]) -> list[str]:
        problems = []
        if "test_share" in takes and (self.validation_share or 0) + (self.test_share or 0) >= 1:
            found = f"{self.validation_share} and test_share {self.test_share}"
            problems.append(f"validation_share: found {found}, expected a sum below 1")
        if "test_from" in takes and (
            self.validation_from is None or self.test_from is None or self.validation_from >= self.test_from
        ):
            found = f"{self.validation_from} and test_from {self.test_from}"
            problems.append(f"validation_from: found {found}, expected both, the earlier one first")
        if self.kind == "time" and self.by != "time":
            problems.append(f"by: found {self.by!r}, expected 'time' where the split is one in time")
        return problems


def split_disagreements(split: Split, domains: tuple[str, ...], min_rating: float | None) -> list[str]:
    """Say what of a split is at odds with the rest of a recipe.

    Args:
        split: The split.
        domains: Names of the recipe's domains.
        min_rating: Least rating of the interactions that stay.

    Returns:
        Problems, each with the setting's dotted name.
    """
    problems = []
    if split.kind == "cold_start" and len(domains) != 2:
        problems.append(f"split.kind: found 'cold_start' with domains {list(domains)}, expected two domains")
    if split.target and split.target not in domains:
        problems.append(f"split.target: found {split.target!r}, expected one of {list(domains)}")
    if split.positive_rating is not None and min_rating is not None and split.positive_rating < min_rating:
        found = f"{split.positive_rating}, expected at least cleaning.min_rating {min_rating}"
        problems.append(f"split.positive_rating: found {found}")
    return problems


def counts_of(split: Split) -> Counts:
    """Return how many interactions of a history a per-user split holds out; one always stays for training.

    `leave_last_out`, `leave_last_two`: one or two for the test, as many for validation; the test comes first where
    a history is too short for both. `ratio`: both shares together are rounded to whole interactions, halves up, then
    the test's share is, and validation gets the difference. `mmrec`: the rule of MMRec's data preparation
    (https://github.com/enoche/MMRec, preprocessing/1splitting.ipynb): of fewer than ten interactions one each,
    otherwise v = floor(n / 5), of which floor(v / 2) are for validation. Differs from the source: that rule leaves
    nothing for training of histories of one or two interactions, which do not occur in its data.

    Args:
        split: A split of a per-user kind.
    """
    if split.kind == "mmrec":
        return _mmrec_counts
    if split.kind == "ratio":
        validation, test = split.validation_share or 0.0, split.test_share or 0.0
        return lambda lengths: _ratio_counts(lengths, validation, test)
    each = 2 if split.kind == "leave_last_two" else 1
    return lambda lengths: (np.full_like(lengths, each), np.full_like(lengths, each))


def hold_out(users: np.ndarray, counts: Counts, draws: np.ndarray | None = None) -> np.ndarray:
    """Label the interactions of users one by one.

    Args:
        users: (n,) int64, ascending; a user's interactions stand in order, ties broken.
        counts: How many of a history are held out; fewer are where nothing would be left for training.
        draws: (n,) uint64 random numbers: the largest of a user are held out instead of the last.

    Returns:
        (n,) int8 of `TRAIN`, `VALIDATION`, `TEST`.
    """
    starts = np.searchsorted(users, users, side="left")
    lengths = np.searchsorted(users, users, side="right") - starts
    places = np.arange(len(users)) - starts
    if draws is not None:
        shuffled = np.empty_like(places)
        shuffled[np.lexsort((draws, users))] = places  # users stay where they are, so that places fit
        places = shuffled
    validation, test = counts(lengths)
    test = np.minimum(test, lengths - 1)
    validation = np.minimum(validation, lengths - 1 - test)
    from_end = lengths - 1 - places
    labels = np.full(len(users), TRAIN, dtype=np.int8)
    labels[from_end < test + validation] = VALIDATION
    labels[from_end < test] = TEST
    return labels


def by_time(times: np.ndarray, points: tuple[int, int]) -> np.ndarray:
    """Label interactions by when they were.

    Args:
        times: (n,) int64 seconds.
        points: Validation begins at the first, the test at the second.

    Returns:
        (n,) int8 of `TRAIN`, `VALIDATION`, `TEST`.
    """
    return np.searchsorted(np.asarray(points), times, side="right").astype(np.int8)


def without_unseen(
    labels: np.ndarray, users: np.ndarray, items: np.ndarray, train_items: np.ndarray, unseen: Unseen
) -> tuple[np.ndarray, int, int]:
    """Leave out held-out interactions that nothing in training could foretell.

    MMRec (https://github.com/enoche/MMRec) leaves out those of users without training interactions
    (`filter_out_cod_start_users`) and keeps those of items without, which a model of item features can find.

    Args:
        labels: (n,) int8.
        users: (n,) int64, all interactions of each user, ascending.
        items: (n,) int64.
        train_items: (I,) bool, items with a training interaction of anybody.
        unseen: What is left out.

    Returns:
        (n,) int8 labels, `LEFT_OUT` for what is left out; and how many held-out interactions there were of users
        without training interactions, and of items without; some may be both.
    """
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    trained = np.maximum.reduceat(labels == TRAIN, starts) if len(users) else np.empty(0, dtype=bool)
    held = np.isin(labels, (VALIDATION, TEST))
    of_user = held & ~np.repeat(trained, np.diff(starts, append=len(users)))
    of_item = held & ~train_items[items]
    result = labels.copy()
    if unseen != "keep":
        result[of_user] = LEFT_OUT
    if unseen == "leave_out":
        result[of_item] = LEFT_OUT
    return result, int(of_user.sum()), int(of_item.sum())


def places_in_history(users: np.ndarray) -> np.ndarray:
    """Number each user's interactions from 0.

    Args:
        users: (n,) int64, ascending; a user's interactions stand in order.

    Returns:
        (n,) int64.
    """
    starts = np.searchsorted(users, users, side="left")
    return np.arange(len(users)) - starts


def _mmrec_counts(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    fifth = lengths // 5
    short = lengths < 10
    return np.where(short, 1, fifth // 2), np.where(short, 1, fifth - fifth // 2)


def _ratio_counts(lengths: np.ndarray, validation: float, test: float) -> tuple[np.ndarray, np.ndarray]:
    held, for_test = (np.floor(lengths * share + 0.5 + 1e-9).astype(np.int64) for share in (validation + test, test))
    return held - for_test, for_test
