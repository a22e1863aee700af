import statistics
from dataclasses import replace

import pytest

from raymm.report.sweep_record import Finalist, ModelSweep, Stage, TrialRecord, distinct, ranked


def _trial(name, state, value, repeats=""):
    return TrialRecord(name, "m", 0, {}, repeats=repeats, state=state, value=value, seconds=2.0)


TRIALS = (
    _trial("a", "finished", 0.1),
    _trial("b", "stopped", 0.3),
    _trial("c", "failed", None),
    _trial("d", "running", 0.9),
    _trial("e", "finished", 0.3),
    _trial("e-seed1", "finished", 0.5, repeats="e"),
)


def test_trials_are_ranked_by_value_and_failed_ones_have_none():
    assert [trial.name for trial in ranked(TRIALS[:5])] == ["b", "e", "a"]


def test_counts_are_of_the_search_and_time_is_of_all():
    model = ModelSweep("m", TRIALS)
    assert [model.count(state) for state in ("finished", "stopped", "failed", "running")] == [2, 1, 1, 1]
    assert model.seconds == 12.0
    assert model.winner is None


def test_mean_and_spread_are_over_seeds():
    finalist = Finalist("e", {}, {"0": 0.3, "1": 0.5, "2": 0.1})
    assert finalist.mean == pytest.approx(0.3)
    assert finalist.spread == pytest.approx(statistics.stdev([0.3, 0.5, 0.1]))
    assert Finalist("e", {}, {"0": 0.3}).spread is None
    assert Finalist("e", {}, {}).mean == float("-inf")


def test_weights_that_several_trials_share_count_once():
    start, changed = Stage(0, {"rate": 0.1}), Stage(4, {"rate": 0.2}, "a")
    donor = TrialRecord("a", "m", 0, start.values, state="finished", value=0.5, best_epoch=4)
    idle = replace(donor, name="b", values=changed.values, schedule=(start, changed))  # not better since epoch 4
    better = replace(idle, name="c", value=0.6, best_epoch=7)
    same_values = replace(better, name="d", schedule=(start, replace(changed, source="b")))  # b had nothing of its own
    other = replace(donor, name="e", values={"rate": 0.3})
    assert [trial.name for trial in distinct(ranked((donor, idle, better, same_values, other)))] == ["c", "a", "e"]
