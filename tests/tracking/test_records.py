from __future__ import annotations

import math

import numpy as np
import pytest

from raymm.errors import TrackingError
from raymm.tracking.records import MAX_VALUE, metric_values, parameter_values, tracked_name


def test_names_become_what_mlflow_takes() -> None:
    assert tracked_name("ndcg@10") == "ndcg_at_10"
    assert tracked_name("validation.Arts & Crafts.hr@20") == "validation.Arts _ Crafts.hr_at_20"
    for wrong in ("", "/absolute", "../up", "a//b", "x" * 300):
        with pytest.raises(TrackingError, match="found"):
            tracked_name(wrong)


def test_settings_are_flat_and_long_ones_are_marked() -> None:
    long = "a" * 3000
    values = parameter_values({"model": {"layers": [1, 2], "name": "sieoug", "on": True}, "text": long, "empty": ""})
    assert values["model.layers"] == "[1, 2]"
    assert values["model.name"] == "sieoug"
    assert values["model.on"] == "true"
    assert values["empty"] == ""
    assert len(values["text"]) == MAX_VALUE
    assert "3000 characters" in values["text"]
    assert parameter_values({"text": long[:-1] + "b"})["text"] != values["text"]  # they differ after the cut


def test_numbers_survive_as_text() -> None:
    values = {"a": 0.1 + 0.2, "b": math.nan, "c": -math.inf, "d": np.float32(0.1), "e": 3, "f": {"g": True}}
    texts = metric_values(values)
    assert float(texts["a"]) == 0.1 + 0.2
    assert math.isnan(float(texts["b"]))
    assert float(texts["c"]) == -math.inf
    assert float(texts["d"]) == float(np.float32(0.1))
    assert float(texts["e"]) == 3
    assert float(texts["f.g"]) == 1


@pytest.mark.parametrize("value", ["0.5", None, [1.0]])
def test_what_is_no_number_is_named(value: object) -> None:
    with pytest.raises(TrackingError, match="loss.cfm"):
        metric_values({"loss": {"cfm": value}})


def test_two_names_that_become_one_are_refused() -> None:
    with pytest.raises(TrackingError, match="hr_at_5"):
        metric_values({"hr@5": 1.0, "hr_at_5": 1.0})


def test_settings_that_are_no_plain_data_are_refused() -> None:
    with pytest.raises(TrackingError, match="plain data"):
        parameter_values({"a": object()})
