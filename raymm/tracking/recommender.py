"""A finished model as people use it: external user ids in, ranked external item ids out."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from raymm.contracts import Scorer
from raymm.errors import DataError, TrainingError
from raymm.evaluation.ranking import top_k
from raymm.scorers import ItemScorer
from raymm.tracking.served import ServedDomain

COLUMNS = ("user", "domain", "rank", "item", "score", "known")

LONGEST_ID = 4096  # characters of an id in a request: answers repeat it on every row

_BLOCK = 4096  # users ranked at a time
_ENTRIES = 1 << 22  # entries of a block's tables: users times ranks, excluded items or candidates
_PAIRS = 1 << 15  # pairs scored at a time, where candidates are few
_FEW = 16  # candidates are few where they are less than the items divided by this


class Recommender:
    """Rank items for users; safe to be used by several threads.

    Args:
        domains: The parts of a served model.
    """

    def __init__(self, domains: Sequence[ServedDomain]) -> None:
        self._shelves = {domain.name: _shelf(domain) for domain in domains}

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains, in the order of the output."""
        return tuple(self._shelves)

    def ids(self, domain: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the external ids of a domain's users and items, (U,) and (I,), by internal index."""
        return self._shelves[domain].domain.user_ids, self._shelves[domain].domain.item_ids

    def places(self, domain: str, users: Sequence[str]) -> np.ndarray:
        """Return the internal indices of users of a domain, -1 for those it does not know."""
        return self._shelves[domain].users.get_indexer(np.array(users, dtype=object))  # type: ignore[no-any-return]

    def own_items(self, domain: str, items: Sequence[str]) -> list[str]:
        """Return those of some external ids that are items of a domain, in their order."""
        places = self._shelves[domain].items.get_indexer(np.array(items, dtype=object))
        return [item for item, place in zip(items, places, strict=True) if place >= 0]

    def recommend(
        self,
        requests: pd.DataFrame,
        k: int,
        exclude: Sequence[str] = (),
        candidates: Sequence[str] = (),
        most_rows: int | None = None,
    ) -> pd.DataFrame:
        """Rank the k best items for each row of `requests`.

        Items that a user is known to have are left out. A user whom the model does not know gets the most popular
        items, marked by `known` = False; their score is the number of people who are known to have the item, and is
        not comparable with the model's scores. Items of equal score are ranked by their internal index.

        Args:
            requests: Column `user` (external id, text), and optionally `domain`; a row without a domain asks for a
                ranking in every domain. Rows may repeat.
            k: Length of the rankings, from 1. Where fewer items are left, all of them are returned.
            exclude: External ids of items to leave out for everybody; ids that no domain has are of no effect.
            candidates: Rank these items only; empty for all. Each must be known to one of the domains asked for.
            most_rows: Refuse requests whose answer may be longer than this; None for no limit.

        Returns:
            Columns user, domain, rank (int64, from 1), item, score (float32), known (bool); in the order of the
            requests, then domain, then rank.

        Raises:
            DataError: A missing or unknown column, an id that is no text, an unknown domain or candidate, k < 1, or
                more rows than `most_rows`.
        """
        users, domains = self._check_requests(requests)
        if isinstance(k, bool) or not isinstance(k, numbers.Integral) or k < 1:
            raise DataError(f"k = {k!r}", "a whole number from 1", "request", "ask for at least one item")
        _check_texts("exclude", exclude)
        _check_texts("candidates", candidates)
        asked = {name: np.flatnonzero((domains == name) | (domains == "")) for name in self._shelves}
        asked = {name: rows for name, rows in asked.items() if len(rows)}
        self.check(candidates, list(asked))
        wishes = {name: _wish(self._shelves[name], int(k), exclude, candidates) for name in asked}
        _check_size(sum(len(rows) * wishes[name].k for name, rows in asked.items()), most_rows)
        parts = []
        for place, (name, rows) in enumerate(asked.items()):
            size = wishes[name].block_users()
            for start in range(0, len(rows), size):
                parts.append(_ranked(self._shelves[name], users, rows[start : start + size], wishes[name], place))
        return _table(parts)

    def _check_requests(self, requests: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the users and the domains asked for, empty where there is none."""
        columns = [str(column) for column in requests.columns]
        if "user" not in columns or len(set(columns)) < len(columns) or not set(columns) <= {"user", "domain"}:
            raise DataError(
                f"columns {columns}", "'user', and optionally 'domain'", "request", "rename or drop the others"
            )
        users = requests["user"].to_numpy(dtype=object)
        wrong = [row for row, user in enumerate(users) if not isinstance(user, str) or not user]
        if wrong:
            raise DataError(
                f"user {users[wrong[0]]!r} in row {wrong[0]}" + _and_more(wrong),
                "external ids as texts that are not empty",
                "column 'user'",
                "drop these rows, or write the ids as they stand in the data",
            )
        wrong = [row for row, user in enumerate(users) if not _sendable(user)]
        if wrong:
            raise DataError(
                f"an id of {len(users[wrong[0]]):,} characters in row {wrong[0]}" + _and_more(wrong),
                f"at most {LONGEST_ID:,} characters that UTF-8 can write",
                "column 'user'",
                "drop these rows",
            )
        if "domain" not in columns:
            return users, np.full(len(users), "", dtype=object)
        given = requests["domain"].to_numpy(dtype=object)
        domains = np.array(["" if pd.isna(name) else name for name in given], dtype=object)
        wrong = [row for row, name in enumerate(domains) if name != "" and name not in self._shelves]
        wrong += [row for row, name in enumerate(given) if isinstance(name, str) and not name]
        if wrong:
            raise DataError(
                f"domain {given[wrong[0]]!r} in row {wrong[0]}" + _and_more(wrong),
                "one of " + ", ".join(repr(name) for name in self._shelves) + ", or nothing for all of them",
                "column 'domain'",
            )
        return users, domains

    def check(self, candidates: Sequence[str], domains: Sequence[str]) -> None:
        """Check that each candidate is an item of one of these domains.

        Raises:
            DataError: One is not.
        """
        names = np.unique(np.asarray(candidates, dtype=object))
        unknown = np.ones(len(names), dtype=bool)
        for domain in domains:
            unknown &= self._shelves[domain].items.get_indexer(names) < 0
        if domains and unknown.any():
            raise DataError(
                f"candidate {names[unknown][0]!r}" + _and_more(list(names[unknown])),
                "items of the domains asked for: " + ", ".join(repr(name) for name in domains),
                "candidates",
                "leave out items that the model was not trained on",
            )


@dataclass(frozen=True, eq=False)
class _Shelf:
    """One domain, ready to be asked: indexes of external ids, and popularity for users it does not know."""

    domain: ServedDomain
    users: pd.Index
    items: pd.Index
    popularity: ItemScorer


@dataclass(frozen=True, eq=False)
class _Wish:
    """What is wanted in one domain: how many items, which to leave out, which to choose from (None: all).

    `k` is no larger than the number of items to choose from.
    """

    k: int
    excluded: np.ndarray
    candidates: np.ndarray | None

    def block_users(self) -> int:
        """Return how many users are ranked at a time, so that no table of them outgrows memory."""
        widest = max(1, self.k, len(self.excluded), 0 if self.candidates is None else len(self.candidates))
        return max(1, min(_BLOCK, _ENTRIES // widest))


@dataclass(frozen=True, eq=False)
class _Part:
    """A block of rankings, one entry a ranked item; `rows` and `place` order it among the others."""

    rows: np.ndarray
    place: int
    ranks: np.ndarray
    users: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    known: np.ndarray
    domain: str


def _shelf(domain: ServedDomain) -> _Shelf:
    counts = np.bincount(domain.known.nonzero()[1], minlength=len(domain.item_ids)).astype(np.float32)
    users, items = (pd.Index(ids, dtype=object) for ids in (domain.user_ids, domain.item_ids))
    for index in (users, items):
        index.get_indexer(index[:1])  # builds the table now: not in the first request, and not in two threads at once
    return _Shelf(domain, users, items, ItemScorer(torch.from_numpy(counts), n_users=1))


def _wish(shelf: _Shelf, k: int, exclude: Sequence[str], candidates: Sequence[str]) -> _Wish:
    chosen = _indices(shelf.items, candidates) if len(candidates) else None
    return _Wish(min(k, len(shelf.items if chosen is None else chosen)), _indices(shelf.items, exclude), chosen)


def _ranked(shelf: _Shelf, users: np.ndarray, rows: np.ndarray, wish: _Wish, place: int) -> _Part:
    """Rank for the requests `rows` in one domain."""
    positions = shelf.users.get_indexer(users[rows])
    known = positions >= 0
    width = wish.k
    items = np.full((len(rows), width), -1, dtype=np.int64)
    scores = np.full((len(rows), width), -np.inf, dtype=np.float32)
    if width and known.any():
        own = positions[known]
        hidden = _with_columns(shelf.domain.known[own], wish.excluded)
        items[known], scores[known] = _best(shelf.domain.scorer, own, width, hidden, wish.candidates)
    if width and not known.all():
        hidden = _with_columns(sparse.csr_array((1, len(shelf.items)), dtype=np.int8), wish.excluded)
        items[~known], scores[~known] = _best(shelf.popularity, np.zeros(1, np.int64), width, hidden, wish.candidates)
    request, rank = np.nonzero(items >= 0)
    return _Part(
        rows[request],
        place,
        rank + 1,
        users[rows][request],
        shelf.domain.item_ids[items[request, rank]],
        scores[request, rank],
        known[request],
        shelf.domain.name,
    )


def _best(
    scorer: Scorer, users: np.ndarray, k: int, hidden: sparse.csr_array, candidates: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k best items that are not hidden, of all or of the ascending `candidates`; -1 where none is left."""
    if candidates is None:
        return top_k(scorer, users, k, hidden)
    scores = _candidate_scores(scorer, users, candidates)
    scores[hidden[:, candidates].toarray() != 0] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    return np.where(np.isneginf(best), -1, candidates[order]), best


def _candidate_scores(scorer: Scorer, users: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Score the candidates for each user: pair by pair where they are few, else out of whole rows."""
    few = len(candidates) * _FEW < scorer.n_items
    size = max(1, _PAIRS // len(candidates) if few else _ENTRIES // scorer.n_items)
    result = np.empty((len(users), len(candidates)), dtype=np.float32)
    for start in range(0, len(users), size):
        block = users[start : start + size]
        if few:
            rows, columns = np.repeat(block, len(candidates)), np.tile(candidates, len(block))
            scores = scorer.pairs(torch.from_numpy(rows), torch.from_numpy(columns)).view(len(block), -1)
        else:
            scores = scorer.scores(torch.from_numpy(block))[:, torch.from_numpy(candidates)]
        result[start : start + size] = scores.cpu().numpy()
    if not np.isfinite(result).all():
        raise TrainingError("scores that are NaN or infinite", "finite scores", "candidates", "train the model again")
    return result


def _with_columns(matrix: sparse.csr_array, columns: np.ndarray) -> sparse.csr_array:
    """Set whole columns of a CSR matrix."""
    if not len(columns):
        return matrix
    rows = matrix.shape[0]
    starts = np.arange(rows + 1) * len(columns)
    ones = np.ones(rows * len(columns), dtype=matrix.dtype)
    return sparse.csr_array(matrix + sparse.csr_array((ones, np.tile(columns, rows), starts), shape=matrix.shape))


def _indices(index: pd.Index, names: Sequence[str]) -> np.ndarray:
    """Return the internal indices of those `names` that are known, ascending, each once."""
    found = index.get_indexer(np.asarray(names, dtype=object))
    return np.unique(found[found >= 0]).astype(np.int64)


def _table(parts: Sequence[_Part]) -> pd.DataFrame:
    def joined(name: str, dtype: Any) -> np.ndarray:
        return np.concatenate([np.empty(0, dtype), *(np.asarray(getattr(part, name), dtype) for part in parts)])

    rows, ranks = joined("rows", np.int64), joined("ranks", np.int64)
    places = np.concatenate([np.empty(0, np.int64), *(np.full(len(part.rows), part.place) for part in parts)])
    domains = np.concatenate([np.empty(0, object), *(np.full(len(part.rows), part.domain, object) for part in parts)])
    columns = (
        joined("users", object),
        domains,
        ranks,
        joined("items", object),
        joined("scores", np.float32),
        joined("known", np.bool_),
    )
    order = np.lexsort((ranks, places, rows))
    return pd.DataFrame({name: column[order] for name, column in zip(COLUMNS, columns, strict=True)})


def _check_size(rows: int, most_rows: int | None) -> None:
    if most_rows is not None and rows > most_rows:
        raise DataError(
            f"up to {rows:,} rows of answer",
            f"at most {most_rows:,}",
            "request",
            "ask for fewer users at a time or a smaller k; `raymm recommend` ranks for everybody",
        )


def _sendable(text: str) -> bool:
    """Whether a text is short enough, and something that UTF-8 can write: half of a surrogate pair is not."""
    return len(text) <= LONGEST_ID and (text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text))


def _check_texts(name: str, values: Sequence[str]) -> None:
    wrong = [value for value in values if not isinstance(value, str)]
    if isinstance(values, str) or wrong:
        raise DataError(f"{wrong[0] if wrong else values!r}", "a list of item ids as texts", name)


def _and_more(wrong: Sequence[Any]) -> str:
    return f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
