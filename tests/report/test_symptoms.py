"""Each sign fires on a planted failure, and not on a training that is well."""

import pytest

from raymm.report.symptoms import PREFIX, WORDS, lines_of, metrics_of, symptoms

WELL = {
    "arts.hypergraph.effective_share": 0.9,
    "office.hypergraph.effective_share": 0.8,
    "arts.fusion.least_trust": 1.0,
    "office.fusion.least_trust": 1.0,
    "match.converged": 1.0,
    "population.reached": 1.0,
    "match.leaked": 0.0,
    "match.spread": 0.2,
    "guidance.gradient_ratio": 0.3,
    "arts.over_popularity": 1.4,
    "office.over_popularity": 1.1,
}
RISING = [0.01 * epoch for epoch in range(1, 10)]


def _history(arts, office, epochs_before=3, **changes):
    """Epochs whose validation follows the two curves, the last with other diagnostics."""
    records = []
    for epoch, (first, second) in enumerate(zip(arts, office, strict=True), start=1):
        diagnostics = {**WELL, "transfer.active": float(epoch > epochs_before)}
        validation = {"ndcg@10": (first + second) / 2, "arts.ndcg@10": first, "office.ndcg@10": second}
        records.append({"epoch": epoch, "validation": validation, "diagnostics": diagnostics})
    records[-1]["diagnostics"].update(changes)
    return records


def test_a_training_that_is_well_shows_no_sign_and_every_sign_is_looked_for():
    found = symptoms(_history(RISING, RISING), "ndcg@10")
    assert found == dict.fromkeys(WORDS, False)
    assert set(metrics_of(found).values()) == {0.0}


@pytest.mark.parametrize(
    ("name", "figure", "value"),
    [
        ("hypergraph_collapse", "office.hypergraph.effective_share", 0.1),
        ("poor_modality", "office.fusion.least_trust", 0.1),
        ("unconverged_matching", "match.converged", 0.4),
        ("unconverged_matching", "population.reached", 0.0),
        ("leaking_mask", "match.leaked", 0.3),
        ("flat_plan", "match.spread", 0.95),
        ("pulling_guidance", "guidance.gradient_ratio", 17.0),
        ("below_popularity", "office.over_popularity", 0.7),
    ],
)
def test_a_planted_failure_fires_its_own_sign_alone(name, figure, value):
    found = symptoms(_history(RISING, RISING, **{figure: value}), "ndcg@10")
    assert [sign for sign, there in found.items() if there] == [name]


def test_a_domain_that_falls_once_matching_begins_is_negative_transfer():
    falling = [0.02, 0.04, 0.05, 0.045, 0.04, 0.04, 0.04, 0.04, 0.04]
    assert symptoms(_history(RISING, falling), "ndcg@10")["negative_transfer"]
    assert not symptoms(_history(RISING, [*falling[:-1], 0.049]), "ndcg@10")["negative_transfer"]
    for history in (
        _history(RISING[:6], falling[:6]),  # too soon to say
        _history(RISING, falling, epochs_before=99),
        _history(RISING, falling, epochs_before=0),
    ):
        assert "negative_transfer" not in symptoms(history, "ndcg@10")


def test_a_training_is_below_popularity_by_its_best_epoch():
    early = _history(RISING, RISING)
    early[0]["diagnostics"]["arts.over_popularity"] = 0.2
    assert not symptoms(early, "ndcg@10")["below_popularity"]


def test_models_without_such_figures_have_no_signs():
    assert symptoms([], "ndcg@10") == {}
    assert symptoms([{"epoch": 1, "validation": {}, "diagnostics": {}}], "ndcg@10") == {}


def test_the_report_names_what_was_there_at_the_end_and_since_when():
    history = _history(RISING, RISING)
    for epoch, record in enumerate(history, start=1):
        record["diagnostics"] |= {PREFIX + "leaking_mask": float(epoch >= 7), PREFIX + "flat_plan": float(epoch < 5)}
    (line,) = lines_of(history)
    assert line.startswith("leaking mask, since epoch 7: ")
    assert "mask_weight" in line
