import tomllib

import pytest

from raymm import config
from raymm.errors import ConfigError
from raymm.experiment import build_experiment
from raymm.report.sweep_record import Finalist, ModelSweep, TrialRecord
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
