"""The table of rating models, on ratings whose makers are known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.ratings.toys import whole

JOBS = Path(__file__).parents[2] / "jobs"


def test_a_model_that_finds_taste_beats_the_floor_for_sure(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(JOBS))
    import rating_table

    cell = rating_table.judge(whole(n_users=120), 0.3, [0, 1], ["scalar_bridge"])
    rows = cell["models"]
    assert list(rows) == ["mean", "item_bias", "floor", "floor_plus", "scalar_bridge"]
    assert rows["scalar_bridge"]["against"]["high"] < 0 < rows["mean"]["against"]["low"]
    assert rows["floor"]["against"]["difference"] == 0
    assert rows["floor"]["against"]["users"] == pytest.approx(0.51 * 120, abs=10)
    assert len(rows["floor"]["errors"]) == 2
    assert "rating_table" in sys.modules
