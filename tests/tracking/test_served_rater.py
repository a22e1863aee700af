"""The ratings of a served model, on disk: read as written, and refused when damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from raymm.errors import ArtefactError
from raymm.scorers import DotScorer
from raymm.tracking.served_rater import ServedRater, read_rater, write_rater


def test_a_rater_without_readers_survives_storage_and_damage_is_noticed(tmp_path) -> None:
    scorer = DotScorer(torch.rand(4, 2), torch.rand(3, 2))
    ids = np.array(["a", "b"], dtype=object)
    rater = ServedRater("books", ids, scorer, (1.0, 5.0), (0.5, 5.0), np.array([3, 4, 2], np.float32), None)
    write_rater(rater, tmp_path / "rater")
    read = read_rater(tmp_path / "rater")
    assert read is not None
    assert (read.source, read.scale, read.source_scale, read.newcomers) == ("books", (1.0, 5.0), (0.5, 5.0), None)
    assert list(read.source_item_ids) == ["a", "b"]
    assert np.array_equal(read.usual, rater.usual)
    assert torch.equal(read.scorer.scores(torch.arange(4)), scorer.scores(torch.arange(4)))
    assert read_rater(tmp_path / "none") is None
    label = json.loads((tmp_path / "rater" / "rater.json").read_text())
    for text in ("[]", "{}", json.dumps({**label, "scale": [1]}), json.dumps({**label, "scale": ["a", "b"]})):
        (tmp_path / "rater" / "rater.json").write_text(text)
        with pytest.raises(ArtefactError, match="ratings of a served domain"):
            read_rater(tmp_path / "rater")
