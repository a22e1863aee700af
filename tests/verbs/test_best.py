import json
import tomllib
from dataclasses import replace

import pytest

from raymm import config
from raymm.errors import ConfigError
from raymm.experiment import build_experiment
from raymm.report.sweep_record import Finalist, ModelSweep, Stage, TrialRecord
from raymm.verbs.best import to_toml, write_best
from raymm.verbs.trial import nested


def _swept(values):
    trial = TrialRecord("lightgcn-004", "lightgcn", 0, values, state="finished", value=0.2)
    return ModelSweep("lightgcn", (trial,), (Finalist("lightgcn-004", values, {"0": 0.2, "1": 0.3}),))


def test_the_file_builds_the_winner_and_says_what_it_is(tmp_path):
    start = {"model": "lightgcn", "train": {"domain": "arts", "cutoffs": [5, 10, 20]}, "scale": {"workers": 1}}
    values = {"settings.width": 32, "train.optimizer.learning_rate": 1e-05}
    path = tmp_path / "best.toml"
    write_best(path, start, _swept(values), "ndcg@10")
    read = config.read_toml(path)
    assert "scale" not in read
    assert build_experiment(read).mathematics() == build_experiment(nested(start, values)).mathematics()
    assert "0.25000, mean over 2 seeds, standard deviation 0.07071" in path.read_text()


def test_without_a_winner_there_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="no winner"):
        write_best(tmp_path / "best.toml", {"model": "ease"}, ModelSweep("ease", ()), "ndcg@10")
    assert not list(tmp_path.iterdir())


def test_toml_comes_back_as_it_was():
    values = {
        "text": 'a "quoted" \\ word, é',
        "yes": True,
        "whole": 3,
        "small": 1e-05,
        "list": [1, 2.5, "x"],
        "table": {"deep": {"value": 1}, "odd name": {"a.b": False}},
    }
    assert tomllib.loads(to_toml(values)) == values
    with pytest.raises(ConfigError, match="None"):
        to_toml({"a": None})


def test_settings_that_changed_are_written_as_what_they_are(tmp_path):
    name = "train.optimizer.learning_rate"
    schedule = (Stage(0, {name: 0.1}), Stage(20, {name: 0.08}, "lightgcn-001"))
    swept = _swept({name: 0.08})
    changed = replace(swept, finalists=(replace(swept.finalists[0], schedule=schedule),))
    path = tmp_path / "best_lightgcn.toml"
    write_best(path, {"model": "lightgcn"}, changed, "ndcg@10")
    text = path.read_text()
    assert "the last of 2 settings" in text
    assert "best_lightgcn.schedule.json" in text
    assert build_experiment(tomllib.loads(text)).train.optimizer.learning_rate == 0.08
    stored = json.loads((tmp_path / "best_lightgcn.schedule.json").read_text())
    assert tuple(Stage(**stage) for stage in stored["schedule"]) == schedule
    write_best(path, {"model": "lightgcn"}, swept, "ndcg@10")  # a later winner without a schedule
    assert "the last of" not in path.read_text()
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
