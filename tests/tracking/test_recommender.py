from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch

from raymm.errors import DataError
from raymm.tracking.recommender import COLUMNS, Recommender
from raymm.tracking.served import ServedDomain
from tests.tracking.toys import SHARED, item_ids, make_domain, user_ids

Row = tuple[str, str, int, str, float, bool]


@pytest.fixture(scope="module")
def domains() -> dict[str, ServedDomain]:
    return {name: make_domain(name, seed) for seed, name in enumerate(("arts", "office"))}


@pytest.fixture(scope="module")
def recommender(domains: dict[str, ServedDomain]) -> Recommender:
    return Recommender(list(domains.values()))


def ranked_by_hand(
    domain: ServedDomain, user: str, k: int, exclude: Sequence[str] = (), candidates: Sequence[str] = ()
) -> list[Row]:
    """Rank by a loop over plain numbers."""
    users, items = list(domain.user_ids), list(domain.item_ids)
    known = domain.known.toarray() != 0
    if user in users:
        row = users.index(user)
        scores, taken = domain.scorer.scores(torch.tensor([row]))[0].tolist(), known[row]
    else:
        scores, taken = known.sum(axis=0).astype(float).tolist(), np.zeros(len(items), dtype=bool)
    left = [
        (-scores[place], place)
        for place, item in enumerate(items)
        if not taken[place] and item not in exclude and (not candidates or item in candidates)
    ]
    return [
        (user, domain.name, rank, items[place], -score, user in users)
        for rank, (score, place) in enumerate(sorted(left)[:k], start=1)
    ]


def rows(answer: pd.DataFrame) -> list[Row]:
    assert tuple(answer.columns) == COLUMNS
    return list(answer.itertuples(index=False, name=None))


@pytest.mark.parametrize("k", [1, 4, 20, 1000])
@pytest.mark.parametrize(
    ("exclude", "candidates"),
    [
        ((), ()),
        (("arts-003", "arts-004", "office-001", "of no domain"), ()),
        ((), ("arts-017", "arts-001", "arts-002", "office-000", "arts-001", "office-009")),
        (("arts-001",), ("arts-001", "arts-002", "office-000")),
        (item_ids("arts"), ()),
    ],
)
def test_rankings_equal_those_made_by_hand(
    domains: dict[str, ServedDomain],
    recommender: Recommender,
    k: int,
    exclude: Sequence[str],
    candidates: Sequence[str],
) -> None:
    users = [*user_ids("arts"), "nobody", *user_ids("office")[::-1], "user 0", "user 0"]
    answer = recommender.recommend(pd.DataFrame({"user": users}, index=users), k, exclude, candidates)
    expected = [
        row
        for user in users
        for domain in domains.values()
        for row in ranked_by_hand(domain, user, k, exclude, candidates)
    ]
    assert len(expected) > len(users) // 2
    assert rows(answer) == expected


def test_a_domain_is_ranked_alone_where_it_is_asked_for(
    domains: dict[str, ServedDomain], recommender: Recommender
) -> None:
    requests = pd.DataFrame(
        {"user": ["user 1", "user 2", "nobody", "user 1"], "domain": ["office", None, "arts", np.nan]}
    )
    expected = [
        *ranked_by_hand(domains["office"], "user 1", 3),
        *ranked_by_hand(domains["arts"], "user 2", 3),
        *ranked_by_hand(domains["office"], "user 2", 3),
        *ranked_by_hand(domains["arts"], "nobody", 3),
        *ranked_by_hand(domains["arts"], "user 1", 3),
        *ranked_by_hand(domains["office"], "user 1", 3),
    ]
    assert rows(recommender.recommend(requests, 3)) == expected


def test_somebody_of_the_other_domain_is_unknown_here(recommender: Recommender) -> None:
    stranger = user_ids("arts")[SHARED]
    answer = recommender.recommend(pd.DataFrame({"user": [stranger]}), 2)
    assert answer.groupby("domain")["known"].all().to_dict() == {"arts": True, "office": False}


def test_types_are_those_of_the_signature_even_without_rows(recommender: Recommender) -> None:
    for users in (["user 0"], []):
        answer = recommender.recommend(pd.DataFrame({"user": np.array(users, dtype=object)}), 2)
        assert [str(answer[name].dtype) for name in ("rank", "score", "known")] == ["int64", "float32", "bool"]
        assert len(answer) == 4 * len(users)


def test_blocks_do_not_show(
    domains: dict[str, ServedDomain], recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = pd.DataFrame({"user": [*user_ids("arts"), "nobody", *user_ids("office")]})
    whole = recommender.recommend(requests, 5)
    monkeypatch.setattr("raymm.tracking.recommender._BLOCK", 7)
    pd.testing.assert_frame_equal(recommender.recommend(requests, 5), whole)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"customer": ["a"]}, "columns \\['customer'\\]"),
        ({"user": ["a"], "domian": ["arts"]}, "domian"),
        ({"user": ["a", None]}, "nan in row 1"),
        ({"user": [np.nan, "a", np.nan]}, "nan in row 0 \\(and 1 more\\)"),
        ({"user": [17]}, "17 in row 0"),
        ({"user": [""]}, "'' in row 0"),
        ({"user": ["a"], "domain": ["Arts"]}, "'Arts' in row 0"),
        ({"user": ["a"], "domain": [3]}, "3 in row 0"),
        ({"user": ["a"], "domain": [""]}, "'' in row 0"),
    ],
)
def test_malformed_requests_are_named(recommender: Recommender, frame: dict[str, list[object]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        recommender.recommend(pd.DataFrame(frame), 3)


def test_malformed_wishes_are_named(recommender: Recommender) -> None:
    frame = pd.DataFrame({"user": ["user 0"]})
    for k in (0, -1, 2.5, True, "3", None):
        with pytest.raises(DataError, match="a whole number from 1"):
            recommender.recommend(frame, k)
    for wrong in ("arts-001", [1], [None]):
        with pytest.raises(DataError, match="exclude"):
            recommender.recommend(frame, 3, exclude=wrong)
    with pytest.raises(DataError, match="'arts-999'"):
        recommender.recommend(frame, 3, candidates=["arts-001", "arts-999"])
    with pytest.raises(DataError, match="'office-001'"):
        recommender.recommend(frame.assign(domain="arts"), 3, candidates=["office-001"])
    two = pd.concat([frame, frame], axis=1)
    with pytest.raises(DataError, match="columns"):
        recommender.recommend(two, 3)
