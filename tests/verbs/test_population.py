import pytest

from raymm.errors import ConfigError
from raymm.experiment import build_experiment
from raymm.launch.space import Dimension
from raymm.launch.tune import ScheduleConfig
from raymm.report.sweep_record import TrialRecord
from raymm.verbs.lineage import begin
from raymm.verbs.population import check_population, values_now

RATE = {"train.optimizer.learning_rate": Dimension("loguniform", (1e-4, 1e-1))}
LIGHT = build_experiment({"model": "lightgcn", "train": {"loop": {"epochs": 20, "validate_every": 2}}})


def _refused(start=LIGHT, space=RATE, interval=4):
    with pytest.raises(ConfigError) as caught:
        check_population(ScheduleConfig("pbt", interval=interval), start, space)
    return str(caught.value)


def test_what_cannot_change_within_a_training_is_refused_by_name():
    check_population(ScheduleConfig("pbt", interval=4), LIGHT, RATE)
    mixed = {**RATE, "settings.width": Dimension("choice", (8, 16)), "settings.layers": Dimension("randint", (1, 4))}
    words = _refused(space=mixed)
    assert "settings.width: choice, settings.layers: randint" in words
    assert "--set settings.width=VALUE --set settings.layers=VALUE" in words
    assert "learning_rate" not in words


def test_intervals_and_models_without_an_exchange_are_refused():
    assert "multiple of train.loop.validate_every (2)" in _refused(interval=3)
    assert "below train.loop.epochs (20)" in _refused(interval=20)
    assert "trained by epochs" in _refused(start=build_experiment({"model": "ease"}))
    assert "without workers" in _refused(start=build_experiment({"model": "lightgcn", "scale": {"workers": 0}}))


def test_an_interrupted_trial_goes_on_with_what_its_storage_says(tmp_path):
    trial = TrialRecord("t", "lightgcn", 0, {"a": 1.0})
    assert values_now(tmp_path / "t", trial) == {"a": 1.0}
    begin(tmp_path / "t", "t", {"a": 2.0})
    assert values_now(tmp_path / "t", trial) == {"a": 2.0}
