from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raymm.data.clean import core_rows, in_history_order, k_core, long_histories, without_repeats


def brute_core(pairs: set[tuple[int, int]], users: int, items: int) -> set[tuple[int, int]]:
    """Remove one user or one item at a time, whichever comes first, until nothing is left to remove."""
    pairs = set(pairs)
    while True:
        for side, least in ((0, users), (1, items)):
            names = [pair[side] for pair in pairs]
            low = next((name for name in sorted(set(names)) if names.count(name) < least), None)
            if low is not None:
                pairs = {pair for pair in pairs if pair[side] != low}
                break
        else:
            return pairs


@pytest.mark.parametrize(("users", "items"), [(1, 1), (2, 3), (3, 2), (4, 4), (9, 9)])
@pytest.mark.parametrize("seed", range(6))
def test_k_core_equals_removal_one_by_one(seed: int, users: int, items: int) -> None:
    generator = np.random.default_rng(seed)
    pairs = {(int(u), int(i)) for u, i in generator.integers(0, (25, 20), size=(110, 2))}
    rows = np.array(sorted(pairs))
    n_items = 20
    parts = [rows[rows[:, 0] % 3 == part] for part in range(3)]  # spread by user, as over machines

    def counted(core: np.ndarray) -> np.ndarray:
        kept = [part[core_rows(part[:, 0], part[:, 1], core, users)] for part in parts]
        return np.bincount(np.concatenate(kept)[:, 1], minlength=n_items)

    core, passes = k_core(counted, n_items, items)
    left = rows[core_rows(rows[:, 0], rows[:, 1], core, users)]
    assert {tuple(pair) for pair in left.tolist()} == brute_core(pairs, users, items)
    assert passes >= 1


def test_some_k_core_takes_several_passes() -> None:
    users = np.repeat(np.arange(6), 2)
    items = np.stack((np.arange(6), np.arange(1, 7)), axis=1).ravel()  # a chain falls apart from both ends

    def counted(core: np.ndarray) -> np.ndarray:
        return np.bincount(items[core_rows(users, items, core, 2)], minlength=7)

    core, passes = k_core(counted, 7, 2)
    assert not core.any()
    assert passes >= 4


def test_core_rows_of_nothing_are_nothing() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert len(core_rows(nothing, nothing, np.ones(3, dtype=bool), 2)) == 0


def history(rows: list[tuple[int, int, str, str, int, int, int]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["domain", "hash", "user", "item", "key", "piece", "line"])


def test_repeats_keep_the_earliest_and_ties_the_order_of_the_files() -> None:
    rows = history(
        [
            (0, 5, "u", "i", 9, 0, 0),
            (0, 5, "u", "i", 2, 0, 7),
            (0, 5, "u", "j", 2, 0, 3),
            (0, 5, "u", "k", 2, 1, 0),
            (1, 5, "u", "i", 1, 0, 1),
            (0, 1, "v", "i", 4, 0, 2),
        ]
    )
    kept = without_repeats(in_history_order(rows))
    found = list(zip(kept["domain"], kept["user"], kept["item"], kept["key"], strict=True))
    assert found == [(0, "v", "i", 4), (0, "u", "j", 2), (0, "u", "i", 2), (0, "u", "k", 2), (1, "u", "i", 1)]


def test_history_order_does_not_depend_on_the_order_of_the_input() -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 4, size=(200, 4))
    rows = history([(d, u, f"u{u % 2}", f"i{i}", k, 0, line) for line, (d, u, i, k) in enumerate(values.tolist())])
    expected = in_history_order(rows)
    shuffled = in_history_order(rows.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(expected, shuffled)
    order = ["domain", "hash", "user", "key", "piece", "line"]
    assert list(map(tuple, expected[order].to_numpy().tolist())) == sorted(map(tuple, rows[order].to_numpy().tolist()))


def test_short_histories_go_whole() -> None:
    users = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    rows = np.array([1, 1, 1, 1, 1, 1, 0, 1], dtype=bool)
    assert long_histories(users, rows, 3).tolist() == [True] * 3 + [False] * 5
