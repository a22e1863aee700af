"""`mlflow models serve`, as a user starts it: good requests are answered, malformed ones refused, none with 500."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from raymm.tracking.candidate import Candidate
from raymm.tracking.registry import register
from raymm.tracking.runs import start_or_resume_run
from raymm.tracking.store import open_tracking
from tests.tracking.toys import write_prepared, write_run

JOB = Path(__file__).parents[2] / "jobs" / "bench_serving.py"


@pytest.mark.slow
def test_a_real_server_answers_and_refuses(tmp_path: Path) -> None:
    tracking = open_tracking(None, tmp_path)
    prepared = write_prepared(tmp_path / "prepared")
    run = start_or_resume_run(tracking, tmp_path / "tracking", "toy")
    made = Candidate(run.run_id, write_run(tmp_path / "run", prepared), prepared.folder)
    register(tracking, made, "raymm-served", "champion")
    command = [sys.executable, str(JOB), "models:/raymm-served@champion", "--requests", "50", "--users", "3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "50 requests of 3 users, k = 10, 2 domains: {200: 50}" in done.stdout
    assert "each was refused" in done.stdout
