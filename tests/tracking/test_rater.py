"""Ratings by external ids, users who bring a history, and every way to ask wrongly."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from raymm.errors import ArtefactError, DataError
from raymm.tracking.rater import RATED, Rater
from raymm.tracking.served import ServedDomain, read_served, write_served
from raymm.tracking.served_rater import ServedRater
from tests.models.mimnet.test_newcomers import SMALL, _trained


@pytest.fixture(scope="module")
def trained():
    return _trained(SMALL)


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory) -> ServedDomain:
    """A trained toy, written and read back; the source user of target user n is 239 - n."""
    model, problem = trained
    users, items = problem.target.n_users, problem.target.n_items
    rater = ServedRater(
        source="books",
        source_item_ids=np.array([f"b{item}" for item in range(problem.source.n_items)], dtype=object),
        scorer=model.scorer(),
        scale=(-5.0, 11.0),
        source_scale=problem.source.scale,
        usual=np.linspace(2, 4, items, dtype=np.float32),
        newcomers=model.newcomers(),
    )
    names = (
        np.array([f"{kind}{n}" for n in range(count)], dtype=object) for kind, count in (("u", users), ("f", items))
    )
    domain = ServedDomain("films", model.ranker(), *names, sparse.csr_array((users, items)), rater)
    folder = tmp_path_factory.mktemp("served") / "model"
    write_served(folder, [domain], {"run": "f00d"}, {})
    return read_served(folder)[0]


@pytest.fixture(scope="module")
def rater(served) -> Rater:
    assert served.rater is not None
    return Rater(served, served.rater)


def _history(problem, target_user):
    rows = problem.source.users == problem.target.n_users - 1 - target_user
    return [f"b{item}" for item in problem.source.items[rows]], problem.source.ratings[rows].tolist()


def test_pairs_are_the_scorers_and_strangers_get_what_is_usual(rater, trained) -> None:
    model, _ = trained
    asked = pd.DataFrame(
        {"user": ["u3", "nobody", "u200"], "item": ["f5", "f39", "f0"], "domain": ["films", None, None]}
    )
    answer = rater.rate(asked)
    assert tuple(answer.columns) == RATED
    assert answer["known"].tolist() == [True, False, True]
    wanted = model.scorer().pairs(torch.tensor([3, 200]), torch.tensor([5, 0])).numpy()
    assert answer["rating"].to_numpy()[[0, 2]] == pytest.approx(wanted)
    assert answer["rating"][1] == pytest.approx(4.0)
    assert answer["rating"].dtype == np.float32


def test_a_stranger_with_the_history_of_a_known_user_gets_that_users_ratings_and_ranking(rater, trained) -> None:
    model, problem = trained
    items, ratings = _history(problem, 17)
    asked = pd.DataFrame(
        {
            "user": ["new", "u17", "u4"],
            "item": ["f1", "f1", "f1"],
            "history": [items, None, None],
            "ratings": [ratings, None, None],
        }
    )
    answer = rater.rate(asked)
    assert answer["known"].all()
    assert answer["rating"][0] == pytest.approx(answer["rating"][1], abs=1e-4)
    assert answer["rating"][0] != pytest.approx(answer["rating"][2], abs=1e-4)
    ranked = rater.rank(pd.DataFrame({"user": ["new"], "history": [items], "ratings": [ratings]}), 5, exclude=["f0"])
    scores = model.ranker().scores(torch.tensor([17]))[0]
    scores[0] = -np.inf
    assert ranked["item"].tolist() == [f"f{place}" for place in scores.argsort(descending=True, stable=True)[:5]]
    assert ranked["user"].tolist() == ["new"] * 5
    assert ranked["rank"].tolist() == [1, 2, 3, 4, 5]


def test_items_that_the_model_never_saw_say_nothing(rater, trained) -> None:
    items, ratings = _history(trained[1], 17)
    both = [[*items, "never seen"], items], [[*ratings, 3.0], ratings]
    answer = rater.rate(
        pd.DataFrame({"user": ["a", "b"], "item": ["f1", "f1"], "history": both[0], "ratings": both[1]})
    )
    assert answer["rating"][0] == answer["rating"][1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"item": ["none such"]}, "item 'none such'"),
        ({"user": [""]}, "user ''"),
        ({"user": [7]}, "user '7'"),
        ({"user": ["x" * 5000]}, "external ids"),
        ({"domain": ["books"]}, "domain 'books'"),
        ({"colour": ["red"]}, "colour"),
        ({"history": [["b1"]]}, "together"),
        ({"history": ["b1"], "ratings": [[4.0]]}, "no list"),
        ({"history": [["b1"]], "ratings": [[4.0, 3.0]]}, "equally many"),
        ({"history": [["b1", "b1"]], "ratings": [[4.0, 3.0]]}, "each item once"),
        ({"history": [["b1"]], "ratings": [[99.0]]}, "off the scale"),
        ({"history": [["b1"]], "ratings": [[float("nan")]]}, "off the scale"),
        ({"history": [["b1"]], "ratings": [["five"]]}, "no number"),
        ({"history": [[None]], "ratings": [[4.0]]}, "no text"),
        ({"history": [["zzz"]], "ratings": [[4.0]]}, "none of 1 items"),
        ({"history": [[]], "ratings": [[]]}, "none of 0 items"),
    ],
)
def test_wrong_requests_say_what_is_wrong(rater, changes, words) -> None:
    asked = pd.DataFrame({"user": ["u1"], "item": ["f1"], **changes})
    with pytest.raises(DataError, match=words):
        rater.rate(asked)


def test_a_model_that_reads_no_histories_says_so_and_ratings_need_items(rater, served) -> None:
    from dataclasses import replace

    deaf = Rater(served, replace(served.rater, newcomers=None))
    with pytest.raises(DataError, match="no history"):
        deaf.rate(pd.DataFrame({"user": ["u1"], "item": ["f1"], "history": [["b1"]], "ratings": [[4.0]]}))
    with pytest.raises(DataError, match="item"):
        rater.rate(pd.DataFrame({"user": ["u1"]}))
    with pytest.raises(DataError, match="without a history"):
        rater.rank(pd.DataFrame({"user": ["a", "b"], "history": [["b1"], None], "ratings": [[4.0], None]}), 3)
    assert rater.rate(pd.DataFrame({"user": [], "item": []}, dtype=object)).empty


def test_parts_that_do_not_fit_are_refused(served) -> None:
    from dataclasses import replace

    with pytest.raises(ArtefactError, match="items in all parts"):
        replace(served.rater, usual=np.zeros(3, np.float32))
    with pytest.raises(ArtefactError, match="NaN"):
        replace(served.rater, usual=np.full_like(served.rater.usual, np.nan))
