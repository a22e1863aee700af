"""The comparison of structures measures both methods, says what stopped POT, and draws."""

from __future__ import annotations

import itertools
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

JOB = Path(__file__).parents[2] / "jobs" / "bench_structure.py"


def test_generated_items_lie_around_their_kind() -> None:
    job = runpy.run_path(str(JOB))
    features, kinds = job["generated"](600, 64)
    assert np.bincount(kinds).tolist() == [40] * 15
    values = features["text"]
    centres = np.stack([values[kinds == kind].mean(axis=0) for kind in range(15)])
    nearest = ((values[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == kinds).mean() > 0.9


def test_users_choose_mostly_of_one_kind() -> None:
    job = runpy.run_path(str(JOB))
    _, kinds = job["generated"](600, 4)
    chosen = job["chosen_items"](kinds)
    assert chosen.shape == (300, 600)
    assert set(chosen.data.tolist()) == {1.0}
    counts = [np.bincount(kinds[chosen.indices[start:end]]) for start, end in itertools.pairwise(chosen.indptr)]
    assert all(5 <= count.sum() <= 10 for count in counts)
    assert np.mean([count.max() / count.sum() for count in counts]) > 0.75


def test_the_table_says_what_was_measured_and_what_stopped_a_method() -> None:
    job = runpy.run_path(str(JOB))
    row = {"method": "raymm", "items": 25_000, "graph": 12.34, "hypergraph": 5.0, "cpu": 30.0, "tree": 2**30}
    lines = job["table"]([row | {"purity": 0.9}, {"method": "pot_dense", "items": 9, "failure": "more than 8 GiB"}])
    assert "| raymm | 25,000 | 12.3 | 5.0 | 30.0 | 1,024 | 0.900 |  |" in lines
    assert "more than 8 GiB |" in lines


@pytest.mark.ray
@pytest.mark.slow
def test_both_methods_are_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(JOB), "--output", str(tmp_path), "--sizes", "20000", "--columns", "16"]
    command += ["--pot-sizes", "400", "40000"]
    subprocess.run(command, check=True, capture_output=True, timeout=500)
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [(row["method"], row["items"]) for row in rows] == [
        ("pot_dense", 400),
        ("pot_dense", 40_000),
        ("raymm", 20_000),
    ]
    assert "GiB" in rows[1]["failure"]
    assert rows[2]["purity"] > 0.9
    assert rows[2]["tree"] > 0
    assert (tmp_path / "structure.png").is_file()
