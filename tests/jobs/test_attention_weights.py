"""The job trains by the letter, and its weights are those of the model."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

JOB = Path(__file__).parents[2] / "jobs" / "attention_weights.py"


def test_the_table_has_medians_by_domain_and_group() -> None:
    job = runpy.run_path(str(JOB))
    weights = {"arts": np.tile([0.7, 0.2, 0.1], (10, 1))}
    weights["arts"][:2] = [0.5, 0.3, 0.2]
    lines = job["table"](weights, {"arts": np.array_split(np.arange(10), 5)}).splitlines()
    assert len(lines) == 2 + 1 + 5
    assert lines[2] == "| arts | all | 0.700 | 0.200 | 0.100 |"
    assert lines[3] == "| arts | group 1 of 5 | 0.500 | 0.300 | 0.200 |"


@pytest.mark.slow
def test_a_training_is_drawn(prepared_sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = tmp_path / "weights.png"
    words = [str(JOB), "--prepared", str(prepared_sample), "--epochs", "1", "--figure", str(figure)]
    monkeypatch.setattr("sys.argv", [*words, "--set", "settings.width=8"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(JOB), run_name="__main__")
    assert ended.value.code == 0
    assert figure.stat().st_size > 1000
