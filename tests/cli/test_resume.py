"""A driver that is killed: the run goes on from its last checkpoint when it is started again by its name."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from raymm.verbs.run import open_run_folder, storage_folder

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]


def _command(prepared: Path, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "raymm.cli.main", "train", "sieoug", "--data", str(prepared), "--name", "killed"]
    command += ["--runs", str(folder / "runs"), "--store", str(folder), "--address", "local"]
    for change in ("settings.width=16", "train.loop.epochs=40", "train.loop.patience=40", "scale.checkpoint_every=5"):
        command += ["--set", change]
    return command


def test_a_killed_driver_goes_on_by_name(prepared_sample, tmp_path):
    command = _command(prepared_sample, tmp_path)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    journal = storage_folder(tmp_path / "runs" / "killed") / "epochs.jsonl"
    seen = 0
    while seen < 12 and process.poll() is None:
        seen = len(journal.read_text().splitlines()) if journal.is_file() else 0
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for child in children:
        child.kill()
    assert 12 <= seen < 40, "the driver was to be killed in the middle"
    subprocess.run(command, check=True, capture_output=True)
    run = open_run_folder(tmp_path / "runs" / "killed")
    epochs = [record["epoch"] for record in run.history]
    assert epochs == list(range(1, 41))
    again = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # finished: nothing to do
    assert "epoch 1" not in again
    identity = json.loads((tmp_path / "runs" / ".tracking" / "killed" / "tracking.json").read_text())
    from raymm.tracking.store import open_tracking

    tracking = open_tracking(None, tmp_path)
    found = tracking.reach(
        "looking", lambda client: client.search_runs([client.get_run(identity["run_id"]).info.experiment_id])
    )
    assert len(found) == 1
