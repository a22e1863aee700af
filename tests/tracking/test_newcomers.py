"""What reads newcomers, on disk: the same numbers, and no damaged file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from raymm.errors import ArtefactError
from raymm.ratings.table import RatingTable
from raymm.tracking.newcomers import LABEL, load_newcomers, save_newcomers
from tests.models.mimnet.test_newcomers import SMALL, _trained


def test_files_hold_all_that_reads_a_newcomer(tmp_path) -> None:
    model, problem = _trained(SMALL)
    newcomers = model.newcomers()
    save_newcomers(newcomers, tmp_path)
    table = RatingTable(
        np.zeros(3, np.int64), np.array([1, 5, 7]), np.array([5.0, 4.0, 1.0]), 1, problem.source.n_items
    )
    own, read = (one.ratings(table, model.scorer()) for one in (newcomers, load_newcomers(tmp_path)))
    assert torch.equal(own.scores(torch.zeros(1, dtype=torch.int64)), read.scores(torch.zeros(1, dtype=torch.int64)))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    label = json.loads((tmp_path / LABEL).read_text())
    for text in ("[]", "{", json.dumps({**label, "shares": None}), json.dumps({**label, "habits": {"mean": "x"}})):
        (tmp_path / LABEL).write_text(text)
        with pytest.raises(ArtefactError, match="newcomers"):
            load_newcomers(tmp_path)
