"""The table of rate and memory has a row a size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

JOB = Path(__file__).parents[2] / "jobs" / "bench_recommend.py"


def test_each_size_has_a_row(tmp_path: Path) -> None:
    command = [sys.executable, str(JOB), "--output", str(tmp_path / "bench"), "--workers", "0", "--items", "300"]
    shown = subprocess.run([*command, "--users", "40", "90"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["users", "40", "90"]
    assert len(list((tmp_path / "bench" / "ranked-90").rglob("part-*.parquet"))) == 1
