from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raymm.config import build, plain
from raymm.data.split import (
    LEFT_OUT,
    TEST,
    TRAIN,
    VALIDATION,
    Split,
    by_time,
    counts_of,
    hold_out,
    places_in_history,
    split_disagreements,
    without_unseen,
)
from raymm.errors import ConfigError

USERS = np.array([3, 3, 3, 3, 8, 8, 8, 9, 9, 11])


def labels(split: Split, users: np.ndarray, draws: np.ndarray | None = None) -> np.ndarray:
    return hold_out(users, counts_of(split), draws)


def test_last_is_for_the_test_and_the_one_before_for_validation() -> None:
    expected = [TRAIN, TRAIN, VALIDATION, TEST, TRAIN, VALIDATION, TEST, TRAIN, TEST, TRAIN]
    assert labels(Split(), USERS).tolist() == expected
    assert places_in_history(USERS).tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 0]


def test_last_two_leave_one_for_training_and_serve_the_test_first() -> None:
    users = np.repeat([1, 2, 3, 4, 5], [1, 2, 3, 4, 6])
    found = labels(Split("leave_last_two"), users)
    expected = [[0], [0, 2], [0, 2, 2], [0, 1, 2, 2], [0, 0, 1, 1, 2, 2]]
    assert [found[users == user].tolist() for user in (1, 2, 3, 4, 5)] == expected


@pytest.mark.parametrize("kind", ["leave_last_out", "leave_last_two", "ratio", "mmrec"])
def test_every_user_keeps_something_to_train_on(kind: Any) -> None:
    users = np.sort(np.random.default_rng(0).integers(0, 400, size=1_000))
    found = labels(Split(kind), users)
    assert np.array_equal(np.unique(users), np.unique(users[found == TRAIN]))
    assert {VALIDATION, TEST} < set(found.tolist()) or kind == "ratio"


def test_mmrec_holds_out_as_many_as_its_rule_says() -> None:
    lengths = np.arange(3, 60)
    users = np.repeat(lengths, lengths)
    draws = np.random.default_rng(0).permutation(len(users)).astype(np.uint64)
    found = labels(Split("mmrec"), users, draws)
    for length in lengths:
        held = int(length * 0.2)
        validation, test = (1, 1) if length < 10 else (int(held / 2), held - int(held / 2))
        mine = found[users == length]
        assert ((mine == VALIDATION).sum(), (mine == TEST).sum()) == (validation, test)
        order = np.argsort(draws[users == length])
        expected = [TRAIN] * (length - validation - test) + [VALIDATION] * validation + [TEST] * test
        assert mine[order].tolist() == expected


def test_shares_are_rounded_together_and_the_last_are_held_out() -> None:
    split = Split("ratio", validation_share=0.1, test_share=0.1)
    users = np.repeat(np.arange(1, 41), np.arange(1, 41))
    found = labels(split, users)
    for length in range(1, 41):
        mine = found[users == length]
        held, test = int(0.2 * length + 0.5), int(0.1 * length + 0.5)
        assert mine.tolist() == [TRAIN] * (length - held) + [VALIDATION] * (held - test) + [TEST] * test
    assert abs((found == TRAIN).mean() - 0.8) < 0.01


def test_draws_are_uniform_over_a_history() -> None:
    users = np.repeat(np.arange(20_000), 10)
    draws = np.random.default_rng(0).integers(0, 2**63, size=len(users)).astype(np.uint64)
    found = labels(Split("ratio", pick="random"), users, draws).reshape(-1, 10)
    np.testing.assert_allclose((found == TEST).mean(axis=0), 0.1, atol=0.01)
    np.testing.assert_allclose((found == VALIDATION).mean(axis=0), 0.1, atol=0.01)


def test_no_users_split_to_nothing() -> None:
    nothing = np.empty(0, dtype=np.int64)
    assert len(labels(Split(), nothing)) == 0
    assert without_unseen(nothing.astype(np.int8), nothing, nothing, np.ones(1, bool), "leave_out")[1:] == (0, 0)


def test_times_at_a_point_belong_to_the_later_part() -> None:
    found = by_time(np.array([0, 9, 10, 11, 19, 20, 99]), (10, 20))
    assert found.tolist() == [TRAIN, TRAIN, VALIDATION, VALIDATION, VALIDATION, TEST, TEST]


@pytest.mark.parametrize("unseen", ["leave_out_users", "leave_out", "keep"])
def test_unseen_users_and_items_are_left_out_and_counted(unseen: Any) -> None:
    generator = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"user": np.sort(generator.integers(0, 60, 150)), "item": generator.integers(0, 50, 150)}
    ).assign(label=generator.choice([TRAIN, VALIDATION, TEST], size=150))
    train = frame[frame["label"] == TRAIN]
    held = frame["label"] != TRAIN
    new_user, new_item = held & ~frame["user"].isin(train["user"]), held & ~frame["item"].isin(train["item"])
    train_items = np.isin(np.arange(50), train["item"])
    given = (frame["label"].to_numpy(np.int8), frame["user"].to_numpy(), frame["item"].to_numpy())
    found, users, items = without_unseen(*given, train_items, unseen)
    assert (users, items) == (new_user.sum(), new_item.sum())
    assert min(users, items, (new_user & new_item).sum()) > 0
    gone = {"leave_out_users": new_user, "leave_out": new_user | new_item, "keep": new_user & False}[unseen]
    np.testing.assert_array_equal(found, np.where(gone, LEFT_OUT, frame["label"]))


def test_defaults_are_those_of_the_kind_and_survive_the_gate() -> None:
    assert (Split().seed, Split().validation_share) == (None, None)
    ratio = build(Split, {"kind": "ratio"})
    assert (ratio.validation_share, ratio.test_share, ratio.pick, ratio.seed) == (0.1, 0.1, "last", None)
    cold = build(Split, {"kind": "cold_start", "cold_share": 0.5})
    assert (cold.cold_share, cold.validation_share, cold.target, cold.seed, cold.unseen) == (0.5, 0.1, "", 0, None)
    for split in (ratio, cold, Split("time", by="time"), Split("mmrec"), Split("given")):
        assert build(Split, plain(split)) == split
        assert dataclasses.replace(split) == split


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seed": 1}, "seed: found 1, but a split of kind 'leave_last_out' has no such setting"),
        ({"kind": "given", "cold_share": 0.2}, "cold_share"),
        ({"kind": "ratio", "pick": "last", "seed": 3}, "seed: found 3"),
        ({"kind": "ratio", "validation_share": 0.5, "test_share": 0.5}, "expected a sum below 1"),
        ({"kind": "ratio", "test_share": 0.0}, "test_share: found 0.0, expected greater than 0"),
        ({"kind": "time", "by": "order"}, "by: found 'order', expected 'time'"),
        ({"kind": "time", "by": "time", "test_from": 5}, "expected both, the earlier one first"),
        ({"kind": "time", "by": "time", "validation_from": 5, "test_from": 5}, "the earlier one first"),
        ({"kind": "time", "by": "time", "validation_from": 5, "test_from": 6, "test_share": 0.1}, "test_share"),
        ({"kind": "leave_one_out"}, "kind: found 'leave_one_out'"),
    ],
)
def test_settings_at_odds_with_the_kind_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Split, values)
    assert message in caught.value.found


def test_split_must_fit_the_rest_of_the_recipe() -> None:
    def told(split: Split, domains: tuple[str, ...] = ("a", "b"), least: float | None = None) -> str:
        return "; ".join(split_disagreements(split, domains, least))

    assert told(Split("given")) == told(Split("cold_start", target="a", positive_rating=4.0)) == ""
    assert "expected two domains" in told(Split("cold_start"), ("a",))
    assert "split.target: found 'c'" in told(Split("cold_start", target="c"))
    assert "at least cleaning.min_rating 4.5" in told(Split(positive_rating=4.0), least=4.5)
