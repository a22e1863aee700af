"""Where a model is good: results by item popularity and by length of history, and what of the catalogue it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from raymm.contracts import Domain
from raymm.errors import ConfigError, DataError
from raymm.evaluation.values import RankingValues, restrict

WHOLE = ("all", "everybody")
"""The slice that holds every held-out pair."""
COLD_ITEMS, COLD_USERS = "not in training", "0 (cold)"
"""Items that nobody chose in training, which are ranked by their features alone; users who chose nothing."""
HISTORY = (0, 1, 2, 5, 10, 20)
"""Upper ends of the slices by length of history."""


@dataclass(frozen=True)
class Slice:
    """The result on a part of the held-out pairs.

    Attributes:
        family: What the slices were made by, `item popularity` or `user history`.
        name: Which slice it is.
        n_users: Users who have a held-out item in it.
        n_pairs: Held-out pairs in it.
        means: Metric key to mean over these users; empty where there are none.
        shown: What lists show of the catalogue here, see `shown_by_slice`; empty where nobody looked.
    """

    family: str
    name: str
    n_users: int
    n_pairs: int
    means: Mapping[str, float]
    shown: Mapping[str, float] = field(default_factory=dict)


def by_item_popularity(values: RankingValues, domain: Domain, groups: int = 5) -> tuple[Slice, ...]:
    """Slice by how often the held-out item was chosen in training.

    Items are ordered by training degree (equal degrees by index) and cut into `groups` parts of equally many items;
    the first is the head, the others together are the tail. A user's positives are restricted to the slice, their ranks
    among all items stay, and users without a positive in it do not count. Items without any training interaction are a
    slice of their own too.

    Args:
        values: A full ranking of the domain.
        domain: Its training data.
        groups: How many parts.

    Raises:
        ConfigError: More groups than items, or fewer than two.
        DataError: The values belong to another domain.
    """
    parts = popularity_parts(values, domain, groups)
    return tuple(_slice("item popularity", name, restrict(values, pairs)) for name, pairs in parts.items())


def popularity_parts(values: RankingValues, domain: Domain, groups: int = 5) -> dict[str, np.ndarray]:
    """Say which held-out pairs fall into which slice of `by_item_popularity`: name to (P,) bool.

    Raises:
        ConfigError: More groups than items, or fewer than two.
        DataError: The values belong to another domain.
    """
    _check_domain(values, domain)
    return {name: items[values.items] for name, items in _item_groups(domain, groups).items()}


def by_history_length(values: RankingValues, domain: Domain, bounds: Sequence[int] = HISTORY) -> tuple[Slice, ...]:
    """Slice by the number of training interactions that the user has in this domain; users without any are cold.

    Args:
        values: A full ranking of the domain.
        domain: Its training data.
        bounds: Ascending upper ends of the slices, themselves included; one more slice takes what is longer.

    Returns:
        The slices that hold at least one user.

    Raises:
        ConfigError: Bounds that do not ascend from 0 or more.
        DataError: The values belong to another domain.
    """
    parts = history_parts(values, domain, bounds)
    return tuple(_slice("user history", name, restrict(values, pairs)) for name, pairs in parts.items())


def history_parts(values: RankingValues, domain: Domain, bounds: Sequence[int] = HISTORY) -> dict[str, np.ndarray]:
    """Say which held-out pairs fall into which slice of `by_history_length`: name to (P,) bool, none of them empty.

    Raises:
        ConfigError: Bounds that do not ascend from 0 or more.
        DataError: The values belong to another domain.
    """
    _check_domain(values, domain)
    counts = np.diff(values.starts)
    parts = {name: np.repeat(users, counts) for name, users in _user_groups(values, domain, bounds).items()}
    return {name: pairs for name, pairs in parts.items() if pairs.any()}


def slice_parts(values: RankingValues, domain: Domain) -> dict[tuple[str, str], np.ndarray]:
    """Say which held-out pairs fall into which slice of every kind: (what it was made by, its name) to (P,) bool.

    The first, `WHOLE`, holds all of them.

    Raises:
        DataError: The values belong to another domain.
    """
    parts = {WHOLE: np.ones(len(values.items), dtype=bool)}
    if domain.n_items > 1:
        groups = popularity_parts(values, domain, min(5, domain.n_items))
        parts |= {("item popularity", name): pairs for name, pairs in groups.items()}
    return parts | {("user history", name): pairs for name, pairs in history_parts(values, domain).items()}


def shown_by_slice(values: RankingValues, domain: Domain, lists: np.ndarray) -> dict[tuple[str, str], dict[str, float]]:
    """Measure what lists show of the catalogue, slice by slice of `slice_parts`.

    Of a slice of users, `catalogue` of their lists. Of a slice of items, `catalogue` of these items alone (coverage is
    the share of them that anybody is recommended, Gini among them), and `share@k`, the share of all recommendations
    that falls on them; where none does, nothing but a coverage and a share of 0.

    Args:
        values: A full ranking of the domain.
        domain: Its training data.
        lists: (H, k) best items of the users of `values`, row by row, -1 for places that stayed empty.

    Raises:
        DataError: The values belong to another domain, or there is not one list a user.
    """
    _check_domain(values, domain)
    if len(lists) != len(values.users):
        raise DataError(f"{len(lists)} lists", f"{len(values.users)}, one a user", "slices")
    k, degrees = lists.shape[1], item_degrees(domain)
    counts = recommendation_counts(lists, domain.n_items)
    found = {}
    if domain.n_items > 1:
        for name, items in _item_groups(domain, min(5, domain.n_items)).items():
            found["item popularity", name] = _shown_of(counts[items], degrees[items], k, int(counts.sum()))
    for name, users in _user_groups(values, domain, HISTORY).items():
        if (lists[users] >= 0).any():
            own = recommendation_counts(lists[users], domain.n_items)
            found["user history", name] = catalogue(own, degrees, k)
    return found


def item_degrees(domain: Domain) -> np.ndarray:
    """Count the training users of each item: (I,) int64."""
    return np.bincount(domain.interactions.indices, minlength=domain.n_items)


def recommendation_counts(items: np.ndarray, n_items: int) -> np.ndarray:
    """Count how often each item is recommended; counts of several ranks add up.

    Args:
        items: (B, k) recommended items, -1 for places that stayed empty.
        n_items: Number of items I.

    Returns:
        (I,) int64.
    """
    return np.bincount(items[items >= 0], minlength=n_items)


def catalogue(counts: np.ndarray, degrees: np.ndarray, k: int) -> dict[str, float]:
    """Measure what a model's recommendations show of the catalogue.

    `coverage@k` is the share of items that at least one user was recommended (0 to 1). `gini@k` is the Gini coefficient
    of the recommendations over all items: 0 if every item is recommended equally often, near 1 if a few take all.
    `popularity@k` is the mean number of training users of what was recommended.

    Args:
        counts: (I,) recommendations of each item, over all users (see `recommendation_counts`).
        degrees: (I,) training users of each item.
        k: Length of the lists.

    Raises:
        DataError: Nothing was recommended, or the arrays are of different lengths.
    """
    total = int(counts.sum())
    if not total or counts.shape != degrees.shape:
        raise DataError(
            f"{total} recommendations of {len(counts)} items, degrees of {len(degrees)}",
            "some recommendations, one degree an item",
            "catalogue measures",
        )
    n_items = len(counts)
    place = np.arange(1, n_items + 1)
    gini = 2.0 * float(place @ np.sort(counts)) / (n_items * total) - (n_items + 1) / n_items
    return {
        f"coverage@{k}": float((counts > 0).mean()),
        f"gini@{k}": gini,
        f"popularity@{k}": float(counts @ degrees) / total,
    }


def _item_groups(domain: Domain, groups: int) -> dict[str, np.ndarray]:
    """Name each group of items: (I,) bool."""
    if not 2 <= groups <= domain.n_items:
        raise ConfigError(f"{groups} groups", f"2 to {domain.n_items}, the number of items", "popularity groups")
    degrees = item_degrees(domain)
    group = np.empty(domain.n_items, dtype=np.int64)
    for number, items in enumerate(np.array_split(np.argsort(-degrees, kind="stable"), groups)):
        group[items] = number
    ends = {0: ", most popular", groups - 1: ", least popular"}
    parts = {"head": group == 0, "tail": group > 0}
    parts |= {f"group {part + 1} of {groups}{ends.get(part, '')}": group == part for part in range(groups)}
    return parts | ({COLD_ITEMS: degrees == 0} if (degrees == 0).any() else {})


def _user_groups(values: RankingValues, domain: Domain, bounds: Sequence[int]) -> dict[str, np.ndarray]:
    """Name each group of evaluated users: (H,) bool."""
    if not bounds or bounds[0] < 0 or any(low >= high for low, high in zip(bounds, bounds[1:], strict=False)):
        raise ConfigError(f"bounds {list(bounds)}", "ascending whole numbers from 0", "history bounds")
    lengths = np.diff(domain.interactions.indptr)[values.users]
    lows = [0, *(bound + 1 for bound in bounds)]
    names = [str(high) if low == high else f"{low} to {high}" for low, high in zip(lows, bounds, strict=False)]
    names = [COLD_USERS if name == "0" else name for name in names]
    part = np.searchsorted(np.array(bounds), lengths)
    return {name: part == number for number, name in enumerate([*names, f"{lows[-1]} or more"])}


def _shown_of(counts: np.ndarray, degrees: np.ndarray, k: int, total: int) -> dict[str, float]:
    own = int(counts.sum())
    measures = catalogue(counts, degrees, k) if own else {f"coverage@{k}": 0.0}
    return {**measures, f"share@{k}": own / total if total else 0.0}


def _slice(family: str, name: str, values: RankingValues) -> Slice:
    means = values.means() if len(values.users) else {}
    return Slice(family, name, len(values.users), len(values.items), means)


def _check_domain(values: RankingValues, domain: Domain) -> None:
    fits = not len(values.users) or (values.users.max() < domain.n_users and values.items.max() < domain.n_items)
    if values.domain != domain.name or not fits:
        raise DataError(
            f"values of domain {values.domain!r}",
            f"{domain.name!r} with {domain.n_users} users and {domain.n_items} items",
            "slices",
        )
