import pytest

from raymm.errors import ArtefactError
from raymm.report.sweep_record import Stage
from raymm.verbs.ledger import Ledger, Start


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        self.now += 1.0
        return self.now


def _filled(path):
    ledger = Ledger(path, Clock())
    ledger.begin_session()
    ledger.begin_phase("search m")
    ledger.started("m-000", {"a": 1}, Start("m", 0))
    ledger.reported("m-000", 0.1, 1, 1)
    ledger.reported("m-000", 0.3, 2, 2)
    ledger.ended("m-000", "finished")
    ledger.started("m-001", {"a": 2}, Start("m", 0))
    ledger.reported("m-001", 0.5, 1, 1)
    ledger.ended("m-001", "failed", "DataError: no data")
    ledger.started("m-002", {"a": 3}, Start("m", 0))
    ledger.reported("m-002", 0.2, 3, 3)
    return ledger


def test_what_is_read_is_what_was_written(tmp_path):
    ledger = _filled(tmp_path / "trials.jsonl")
    again = Ledger(tmp_path / "trials.jsonl")
    assert again.trials == ledger.trials
    assert [trial.state for trial in again.trials] == ["finished", "failed", "running"]
    assert again.trial("m-000").curve == ((1, 0.1), (2, 0.3))
    assert again.seconds("search m") == ledger.seconds("search m") == 9.0


def test_a_failed_trial_has_a_reason_and_no_value(tmp_path):
    trial = _filled(tmp_path / "trials.jsonl").trial("m-001")
    assert (trial.value, trial.reason) == (None, "DataError: no data")


def test_a_trial_that_goes_on_is_the_same_trial(tmp_path):
    _filled(tmp_path / "trials.jsonl")
    ledger = Ledger(tmp_path / "trials.jsonl", Clock())
    ledger.begin_session()
    ledger.begin_phase("search m")
    ledger.started("m-002", {"a": 3}, Start("m", 0))
    ledger.reported("m-002", 0.25, 2, 2)  # goes on from a checkpoint before epoch 3
    trial = ledger.trial("m-002")
    assert (trial.attempts, trial.epochs, trial.curve) == (2, 2, ((2, 0.25),))
    assert trial.seconds == 2.0  # one in each attempt, none between the sessions
    assert ledger.sessions == 2
    assert len(ledger.of("m")) == 3


def test_runs_that_repeat_a_trial_are_kept_apart(tmp_path):
    ledger = _filled(tmp_path / "trials.jsonl")
    ledger.started("m-000-seed1", {"a": 1, "train.seed": 1}, Start("m", 1, "m-000"))
    assert [trial.name for trial in ledger.of("m", repeats=True)] == ["m-000-seed1"]
    assert len(ledger.of("m")) == 3


def test_a_line_that_was_cut_off_is_dropped_and_another_is_refused(tmp_path):
    path = tmp_path / "trials.jsonl"
    _filled(path)
    whole = path.read_text()
    path.write_text(whole + '{"event": "ended", "tri')
    assert Ledger(path).trial("m-002").state == "running"
    assert path.read_text() == whole
    path.write_text(whole.replace('"event"', '"evnt"', 1))
    with pytest.raises(ArtefactError, match="line 1"):
        Ledger(path)


def test_settings_that_changed_are_read_back_with_all_that_led_to_them(tmp_path):
    ledger = _filled(tmp_path / "trials.jsonl")
    schedule = (Stage(0, {"a": 2.0}), Stage(4, {"a": 2.4}, "m-000"))
    ledger.reported("m-002", 0.25, 6, 6)
    ledger.changed("m-002", schedule, [(2, 0.3), (4, 0.4)])
    ledger.reported("m-002", 0.5, 5, 5)
    trial = Ledger(tmp_path / "trials.jsonl").trial("m-002")
    assert trial == ledger.trial("m-002")
    assert (trial.values, trial.schedule, trial.stages) == ({"a": 2.4}, schedule, schedule)
    assert trial.curve == ((2, 0.3), (4, 0.4), (5, 0.5))  # of the weights that it has; those it gave up are gone
    assert ledger.trial("m-000").stages == (Stage(0, {"a": 1}),)
