"""The table of rate and memory has a row a size, and what it prepares is what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raymm.data.prepared import open_prepared

JOB = Path(__file__).parents[2] / "jobs" / "bench_prepare.py"


@pytest.mark.ray
@pytest.mark.slow
def test_each_size_has_a_row(tmp_path: Path) -> None:
    command = [sys.executable, str(JOB), "--output", str(tmp_path / "bench"), "--rows", "20000", "40000"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in shown.splitlines()]
    assert [row[0] for row in rows] == ["rows", "20,000", "40,000"]
    facts = open_prepared(tmp_path / "bench" / "40000" / "prepared").domains[0]
    assert f"{facts.n_train:,}" == rows[-1][rows[0].index("kept") - 1]
