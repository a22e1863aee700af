"""Histories cut short, to see what users with little to go by get."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from raymm.config import check, setting
from raymm.data.ids import rank_hash
from raymm.data.split import TRAIN, TRUNCATED

_RANGE = 2.0**64


@dataclasses.dataclass(frozen=True)
class Truncation:
    """Whose training histories are cut short, and to what."""

    domain: str = setting("", "domain in which histories are cut; empty for all")
    share: float = setting(0.0, "share of its users, drawn at random; 0 cuts nothing", ge=0, le=1)
    lengths: tuple[int, ...] = setting(
        (0, 1, 2, 5), "training interactions that are left, the latest; one of these for each user, drawn alike", ge=0
    )
    seed: int = setting(0, "seed of the draws; for one seed a smaller share lies within a larger one", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


def truncation_disagreements(truncation: Truncation, domains: tuple[str, ...]) -> list[str]:
    """Say what of a recipe's truncation does not fit; see `recipe.Recipe`."""
    problems = []
    if truncation.domain and truncation.domain not in domains:
        problems.append(f"truncation.domain: found {truncation.domain!r}, expected one of {list(domains)}, or nothing")
    if truncation.share and not truncation.lengths:
        problems.append("truncation.lengths: found none, expected at least one where truncation.share is not 0")
    return problems


def truncated(labels: np.ndarray, users: np.ndarray, user_ids: pa.Array, truncation: Truncation) -> np.ndarray:
    """Take training interactions from users who are drawn; what is held out stays.

    Args:
        labels: (n,) int8 of `split`.
        users: (n,) int64 places in `user_ids`, ascending; a user's interactions stand in order.
        user_ids: (u,) external ids; the draws hang on them and the seed only, not on who else is there.
        truncation: Whose, and how.

    Returns:
        (n,) int8 labels, `TRUNCATED` for what is taken: neither training nor hidden from a ranking.
    """
    if not truncation.share or not len(users):
        return labels
    ids = user_ids.to_pylist()
    drawn = rank_hash(ids, f"cut short, seed {truncation.seed}") < np.float64(truncation.share * _RANGE)
    which = rank_hash(ids, f"length, seed {truncation.seed}") % np.uint64(len(truncation.lengths))
    left = np.where(drawn, np.array(truncation.lengths, dtype=np.int64)[which.astype(np.int64)], len(users))
    train = np.flatnonzero(labels == TRAIN)
    of = users[train]
    ends = np.searchsorted(of, of, side="right")
    later = ends - 1 - np.arange(len(train))  # training interactions of the same user after this one
    result: np.ndarray = labels.copy()
    result[train[later >= left[of]]] = TRUNCATED
    return result
