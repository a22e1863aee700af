import pytest

from raymm import config
from raymm.data.prepared import open_prepared
from raymm.errors import ConfigError, DataError
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
    ("scale", "carrier"),
    [({}, "deepspeed"), ({"engine": "torch"}, "torch"), ({"workers": 0}, "torch")],
)
def test_without_workers_torch_carries_the_steps(scale, carrier):
    assert build_experiment({"scale": scale}).scale.carrier == carrier


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": "sieou"}, "sieou"),
        ({"preset": "fast"}, "default, paper"),
        ({"settings": {"transfer": {"user": 3}}}, "settings.transfer.user: unknown"),
        ({"settings": {"views": {"learned": True, "mix": "attention"}}}, "views.learned"),
        ({"scale": {"workers": 4, "data_parallel": 3}}, "divisor of workers"),
        ({"train": {"loop": {"epochs": 0}}}, "train.loop.epochs: found 0"),
        ({"train": {"candidates": -1}}, "train.candidates: found -1"),
        ({"train": {"candidates": 18}}, "candidates: found 18 with a cutoff of 20, expected at least 19, or 0"),
        ({"model": "mimnet", "train": {"candidates": 99}}, "train.candidates: found 99, but a model of ratings"),
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


def test_a_model_in_closed_form_has_settings_of_its_own_and_refuses_those_of_steps():
    names = {name for name, _, _ in describe_experiment("ease")}
    assert {"settings.ridge", "train.cutoffs", "train.domain", "train.test_hides", "train.loop.selection"} <= names
    assert not [name for name in names if name.startswith(("scale.", "train.optimizer.", "train.batch_size"))]
    changed = build_experiment({"model": "ease", "settings": {"ridge": 5}, "train": {"loop": {"selection": "hr@5"}}})
    assert build_experiment(changed.plain()).plain() == changed.plain()
    with pytest.raises(ConfigError, match="train.loop.epochs: found 3, but a model in closed form"):
        build_experiment({"model": "ease", "train": {"loop": {"epochs": 3}}})
    with pytest.raises(ConfigError, match="train.optimizer.learning_rate"):
        build_experiment({"model": "popularity", "train": {"optimizer": {"learning_rate": 0.5}}})


def test_a_run_of_one_domain_sees_that_domain_alone(prepared_sample):
    prepared = open_prepared(prepared_sample)
    whole, one = build_experiment({}), build_experiment({"train": {"domain": "office"}})
    assert whole.scope(prepared) is prepared
    scoped = one.scope(prepared)
    assert [domain.name for domain in scoped.train_data("true").domains] == ["office"]
    assert len(scoped.train_data("true").shared) == 0
    assert [holdout.domain for holdout in scoped.validation()] == ["office"]
    with pytest.raises(DataError, match="'arts', 'office'"):
        build_experiment({"train": {"domain": "books"}}).scope(prepared)
