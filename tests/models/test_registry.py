import dataclasses

import pytest

from raymm.errors import ConfigError
from raymm.models.registry import MODELS, RATING, TRAINED, find_model, find_trained


def test_every_model_has_a_default_preset_of_its_config():
    assert MODELS
    for name, spec in MODELS.items():
        assert spec.name == name
        assert spec.summary
        assert "default" in spec.presets
        for preset in spec.presets.values():
            assert isinstance(preset, spec.config)
            assert dataclasses.is_dataclass(preset)


def test_an_unknown_model_is_refused_with_the_known_ones():
    assert find_model("sieoug") is MODELS["sieoug"]
    with pytest.raises(ConfigError, match="sieoug"):
        find_model("sieug")


def test_models_that_are_trained_and_those_in_closed_form_are_told_apart():
    fitted = {"popularity", "item_knn", "ease", "cross_ridge", "co_occurrence"}
    assert set(MODELS) - set(TRAINED) - set(RATING) == fitted
    assert {"mimnet", "rating_floor", "scalar_bridge", "tgt", "cmf", "emcdr", "ptupcdr", "remit"} == set(RATING)
    assert find_trained("gume") is MODELS["gume"]
    with pytest.raises(ConfigError, match="ease, which is made in one process"):
        find_trained("ease")
