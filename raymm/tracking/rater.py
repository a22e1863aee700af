"""A finished model of ratings as people use it: pairs of external ids in, ratings out; and users it has never met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from raymm.errors import DataError
from raymm.ratings.table import RatingTable
from raymm.tracking.recommender import LONGEST_ID, Recommender
from raymm.tracking.served import ServedDomain
from raymm.tracking.served_rater import ServedRater

RATED = ("user", "domain", "item", "rating", "known")
HISTORY, RATINGS = "history", "ratings"
LONGEST_HISTORY = 5_000  # items of one history

_BLOCK = 1 << 14  # pairs rated at a time


class Rater:
    """Predict ratings, and rank for users who bring a history; safe to be used by several threads.

    Args:
        domain: The part of a served model that has ratings.
        rater: Its ratings.
    """

    def __init__(self, domain: ServedDomain, rater: ServedRater) -> None:
        self._domain, self._rater = domain, rater
        self._users, self._items, self._sources = (
            pd.Index(ids, dtype=object) for ids in (domain.user_ids, domain.item_ids, rater.source_item_ids)
        )
        for index in (self._users, self._items, self._sources):
            index.get_indexer(index[:1])  # builds the table now, not in two threads at once

    def rate(self, requests: pd.DataFrame) -> pd.DataFrame:
        """Predict a rating for each row of `requests`.

        Args:
            requests: Columns `user` and `item` (external ids, text), and optionally `domain`, which is the target's
                name or nothing, and `history` with `ratings`: external ids of source items, the oldest first, and what
                the user gave them. A history that is brought is read, whoever brings it.

        Returns:
            Columns user, domain, item, rating (float32, within the scale), known (bool): whether something is known of
            the user. Others get the item's usual rating.

        Raises:
            DataError: A missing or unknown column, an id that is no text or no item, a history without ratings, with
                ratings off the scale, or of which the model knows nothing.
        """
        self._check_columns(requests, ("user", "item"))
        users, items = (_texts(requests, name) for name in ("user", "item"))
        places = self._items.get_indexer(items)
        if (places < 0).any():
            first = int(np.flatnonzero(places < 0)[0])
            raise DataError(
                f"item {items[first]!r} in row {first}", f"an item of {self._domain.name!r}", "column 'item'"
            )
        known = self._users.get_indexer(users)
        ratings = self._rater.usual[places].copy()
        own = known >= 0
        ratings[own] = _pairs(self._rater.scorer, known[own], places[own])
        rows, table = self._histories(requests)
        if table is not None:
            scorer = self._newcomers().ratings(table, self._rater.scorer)
            ratings[rows] = _pairs(scorer, np.arange(len(rows)), places[rows])
            own[rows] = True
        low, high = self._rater.scale
        domain = np.full(len(users), self._domain.name, dtype=object)
        values = (users, domain, items, ratings.clip(low, high).astype(np.float32), own)
        return pd.DataFrame(dict(zip(RATED, values, strict=True)))

    def rank(
        self,
        requests: pd.DataFrame,
        k: int,
        exclude: Sequence[str] = (),
        candidates: Sequence[str] = (),
        most_rows: int | None = None,
    ) -> pd.DataFrame:
        """Rank the k best items for rows that bring a history; see `Recommender.recommend`.

        Args:
            requests: Columns `user`, `history`, `ratings`, and optionally `domain`; each row has a history.
            k: Length of the rankings.
            exclude: External ids of items to leave out.
            candidates: Rank these items only; empty for all.
            most_rows: Refuse requests whose answer may be longer than this; None for no limit.

        Raises:
            DataError: As `rate` and `Recommender.recommend`.
        """
        self._check_columns(requests, ("user", HISTORY))
        users = _texts(requests, "user")
        rows, table = self._histories(requests)
        if table is None or len(rows) < len(users):
            raise DataError("a row without a history", "one in each row", f"column {HISTORY!r}", "ask for it apart")
        scorer = self._newcomers().ranking(table, self._rater.scorer)
        names = np.array([str(row) for row in range(len(users))], dtype=object)
        nothing = sparse.csr_array((len(users), len(self._items)), dtype=np.int8)
        once = ServedDomain(self._domain.name, scorer, names, self._domain.item_ids, nothing)
        answer = Recommender([once]).recommend(pd.DataFrame({"user": names}), k, exclude, candidates, most_rows)
        answer["user"] = users[answer["user"].astype(np.int64).to_numpy()]
        return answer

    def _newcomers(self) -> Any:
        if self._rater.newcomers is None:
            raise DataError(
                "a history",
                "no history: this model knows the users of its training only",
                f"column {HISTORY!r}",
                "leave it out, or ask a MIMNet with base = style",
            )
        return self._rater.newcomers

    def _check_columns(self, requests: pd.DataFrame, needed: Sequence[str]) -> None:
        columns = [str(column) for column in requests.columns]
        allowed = {"user", "item", "domain", HISTORY, RATINGS}
        if not set(needed) <= set(columns) or len(set(columns)) < len(columns) or not set(columns) <= allowed:
            expected = f"{', '.join(needed)}, and some of {', '.join(sorted(allowed - set(needed)))}"
            raise DataError(f"columns {columns}", expected, "request", "rename or drop the others")
        if (HISTORY in columns) != (RATINGS in columns):
            raise DataError(f"columns {columns}", f"{HISTORY} and {RATINGS} together", "request", "give both")
        if "domain" in columns:
            wrong = [name for name in requests["domain"] if not pd.isna(name) and name != self._domain.name]
            if wrong:
                raise DataError(f"domain {wrong[0]!r}", f"{self._domain.name!r}, or nothing", "column 'domain'")

    def _histories(self, requests: pd.DataFrame) -> tuple[np.ndarray, RatingTable | None]:
        """Return the rows that bring a history, and these histories as a table of source ratings."""
        if HISTORY not in requests.columns:
            return np.empty(0, np.int64), None
        rows: list[int] = []
        parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for row, (items, ratings) in enumerate(zip(requests[HISTORY], requests[RATINGS], strict=True)):
            brought = self._history(row, items, ratings)
            if brought is not None:
                parts.append((np.full(len(brought[0]), len(rows), dtype=np.int64), *brought))
                rows.append(row)
        if not rows:
            return np.empty(0, np.int64), None
        users, places, values = (np.concatenate(side) for side in zip(*parts, strict=True))
        return np.array(rows), RatingTable(users, places, values, len(rows), len(self._sources))

    def _history(self, row: int, items: Any, ratings: Any) -> tuple[np.ndarray, np.ndarray] | None:
        where = f"row {row}"
        if _absent(items) and _absent(ratings):
            return None
        if not isinstance(items, list | tuple | np.ndarray) or not isinstance(ratings, list | tuple | np.ndarray):
            raise DataError("a history that is no list", f"lists in {HISTORY} and {RATINGS}", where)
        names, low, high = list(items), *self._rater.source_scale
        if len(names) != len(ratings) or len(names) > LONGEST_HISTORY or len(set(map(str, names))) < len(names):
            found = f"{len(names):,} items and {len(ratings):,} ratings"
            raise DataError(found, f"equally many, at most {LONGEST_HISTORY:,}, each item once", where)
        if not all(isinstance(name, str) and 0 < len(name) <= LONGEST_ID for name in names):
            raise DataError("an id that is empty, too long or no text", "external ids of source items", where)
        try:
            values = np.asarray(ratings, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError("a rating that is no number", f"{low:g} to {high:g}", where) from error
        if values.ndim != 1 or not ((values >= low) & (values <= high)).all():
            raise DataError("a rating off the scale", f"{low:g} to {high:g}", where, "rate on the scale of the source")
        places = self._sources.get_indexer(np.array(names, dtype=object)) if names else np.empty(0, np.int64)
        if not (places >= 0).any():
            found = f"none of {len(names)} items of the history"
            raise DataError(found, f"an item of {self._rater.source!r} that the model knows", where)
        return places[places >= 0], values[places >= 0]


def _pairs(scorer: Any, users: np.ndarray, items: np.ndarray) -> np.ndarray:
    parts = [
        scorer.pairs(torch.from_numpy(users[start : start + _BLOCK]), torch.from_numpy(items[start : start + _BLOCK]))
        for start in range(0, len(users), _BLOCK)
    ]
    return torch.cat(parts).cpu().numpy() if parts else np.empty(0, np.float32)


def _absent(value: Any) -> bool:
    """Whether a cell is empty: no value, or NaN; a list of any length is there."""
    return value is None or (isinstance(value, float) and np.isnan(value))


def _texts(requests: pd.DataFrame, name: str) -> np.ndarray:
    values = requests[name].to_numpy(dtype=object)
    wrong = [row for row, value in enumerate(values) if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID]
    if wrong:
        raise DataError(
            f"{name} {str(values[wrong[0]])[:80]!r} in row {wrong[0]}",
            f"external ids as texts of 1 to {LONGEST_ID:,} characters",
            f"column {name!r}",
        )
    return np.asarray(values)
