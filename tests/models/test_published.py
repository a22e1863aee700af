from __future__ import annotations

import pytest

from tests.models.published import ABLATION, METRICS, MODELS, REPEATED, as_printed, published

DATA = ("baby", "sports", "clothing", "electronics")


def test_the_table_repeats_three_models_of_baby_on_clothing_and_no_others() -> None:
    same = {
        (model, other)
        for model in MODELS
        for data in DATA
        for other in DATA
        if data < other and as_printed(data, model) == as_printed(other, model)
    }
    assert {model for model, _ in same} == set(REPEATED)
    assert all(model not in published("clothing", metric) for model in REPEATED for metric in METRICS)
    assert len(published("clothing", "recall@20")) == 7
    assert len(published("electronics", "recall@20")) == 9


@pytest.mark.parametrize(
    ("data", "metric", "gain"),
    [
        ("sports", "recall@20", 2.28),
        ("clothing", "recall@20", 3.54),
        ("electronics", "recall@20", 3.82),
        ("baby", "ndcg@20", 2.22),
        ("sports", "ndcg@20", 3.13),
        ("clothing", "ndcg@20", 5.67),
        ("electronics", "ndcg@20", 2.65),
    ],
)
def test_claimed_gains_follow_from_the_table(data: str, metric: str, gain: float) -> None:
    values = published(data, metric)
    best_other = max(value for model, value in values.items() if model != "gume")
    assert 100 * (values["gume"] / best_other - 1) == pytest.approx(gain, abs=0.006)


def test_gume_does_not_lead_on_baby_recall() -> None:
    for metric in ("recall@10", "recall@20"):
        assert published("baby", metric)["gume"] < published("baby", metric)["mentor"]


@pytest.mark.parametrize("data", DATA)
def test_the_ablation_agrees_with_the_table_and_alignment_matters_most(data: str) -> None:
    variants = ABLATION[data]
    assert variants["gume"] == (published(data, "recall@20")["gume"], published(data, "ndcg@20")["gume"])
    assert variants["gume"][0] > variants["links"][0] > variants["user"][0] > variants["alignment"][0]
