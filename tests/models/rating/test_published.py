"""Published baselines in stages, on ratings whose makers are known."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from raymm.errors import TrainingError
from raymm.models.rating.published import Method, Published, PublishedConfig
from raymm.ratings.pretraining import PretrainConfig
from raymm.verbs.stages import run_stages
from tests.ratings.toys import planted, rmse


def _config(method):
    return PublishedConfig(PretrainConfig(width=6, epochs=6, batch_size=64, learning_rate=0.03), epochs=3)


@pytest.mark.parametrize("method", get_args(Method))
def test_each_method_trains_its_stages_and_predicts(method: str) -> None:
    problem, held, test = planted(n_users=120)
    model = Published(method, _config(method), problem, held, 0)
    with pytest.raises(TrainingError, match="stages were not run"):
        model.scorer()
    stages = {record["stage"] for record in run_stages(model, 0)}
    assert stages == {
        "tgt": {"target"},
        "cmf": {"both"},
    }.get(method, {"target", "source", "bridge"})
    error = rmse(model.scorer(), test)
    assert np.isfinite(error)
    if method == "tgt":
        assert error > 2  # a cold user is a random vector there
    else:
        assert error < 3.2
