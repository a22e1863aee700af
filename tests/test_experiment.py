import pytest

from raymm import config
from raymm.errors import ConfigError
from raymm.experiment import build_experiment, describe_experiment
from raymm.models.registry import MODELS


@pytest.mark.parametrize(("model", "preset"), [(name, preset) for name in MODELS for preset in MODELS[name].presets])
def test_an_experiment_survives_plain_data(model, preset):
    experiment = build_experiment({"model": model, "preset": preset})
    assert experiment.settings == MODELS[model].presets[preset]
    again = build_experiment(experiment.plain())
    assert again.plain() == experiment.plain()
    assert again.settings == experiment.settings


def test_changes_are_laid_over_the_preset():
    changed = build_experiment({"preset": "paper", "settings": {"transfer": {"users": 32}}})
    assert changed.settings.transfer.users == 32
    assert changed.settings.transfer.reduction == MODELS["sieoug"].presets["paper"].transfer.reduction


def test_the_scale_is_no_part_of_the_mathematics():
    one, two = (build_experiment({"scale": {"workers": workers}}) for workers in (1, 2))
    assert one.mathematics() == two.mathematics()
    assert one.plain() != two.plain()
    assert two.scale.column_parallel == 2


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": "sieou"}, "sieou"),
        ({"preset": "fast"}, "default, paper"),
        ({"settings": {"transfer": {"user": 3}}}, "settings.transfer.user: unknown"),
        ({"settings": {"views": {"learned": True, "mix": "attention"}}}, "views.learned"),
        ({"scale": {"workers": 4, "data_parallel": 3}}, "divisor of workers"),
        ({"train": {"loop": {"epochs": 0}}}, "train.loop.epochs: found 0"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(values, words):
    with pytest.raises(ConfigError, match=words):
        build_experiment(values)


def test_every_setting_is_described_once():
    names = [name for name, _, _ in describe_experiment("sieoug")]
    assert len(names) == len(set(names)) > 50
    flat = config.flatten(build_experiment({}).plain())
    assert set(flat) - {"model", "preset"} == set(names)
