"""A pulled model answers where the training stack is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from raymm.errors import ArtefactError, TrackingError
from raymm.tracking.candidate import Candidate
from raymm.tracking.recommender import Recommender
from raymm.tracking.registry import register
from raymm.tracking.runs import start_or_resume_run
from raymm.tracking.served import read_served
from raymm.tracking.store import Tracking, open_tracking
from raymm.verbs.pull import pull
from tests.tracking.toys import user_ids, write_prepared, write_run

# A machine without the training stack: importing any of it fails, as where it was never installed.
BARE = """
import sys
import importlib.abc

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {stack}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Absent())
for name in {stack}:
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    raise SystemExit("still there: " + name)
unpickled = []
sys.addaudithook(lambda event, arguments: unpickled.append(arguments) if event == "pickle.find_class" else None)
from raymm.cli.main import main
before = len(unpickled)
store, folder, output = sys.argv[1:]
assert main(["pull", "models:/raymm-pulled@champion", "--store", store, "--output", folder]) == 0
assert main(["recommend", folder, "--workers", "0", "--k", "3", "--output", output]) == 0
assert len(unpickled) == before, unpickled
"""
STACK = ("ray", "deepspeed", "dgl", "optuna", "ot", "sklearn", "matplotlib", "transformers", "sentence_transformers")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tracking]:
    base = tmp_path_factory.mktemp("pull")
    tracking = open_tracking(None, base / "store")
    prepared = write_prepared(base / "prepared")
    run = start_or_resume_run(tracking, base / "tracking", "toy")
    made = Candidate(run.run_id, write_run(base / "run", prepared), prepared.folder, {"test.arts.ndcg@10": 0.25})
    register(tracking, made, "raymm-pulled", "champion")
    return base / "store", tracking


def test_what_is_pulled_is_described(stored, tmp_path):
    found = pull("models:/raymm-pulled@champion", tmp_path / "model", stored[1])
    assert found.domains == ("arts", "office")
    assert found.card == tmp_path / "model" / "card.md"
    assert "0.2500" in found.card.read_text()
    assert found.files == 13
    assert found.size_bytes == sum(path.stat().st_size for path in found.folder.rglob("*") if path.is_file())
    with pytest.raises(ArtefactError, match="a folder with content"):
        pull("models:/raymm-pulled/1", tmp_path / "model", stored[1])
    with pytest.raises(TrackingError, match="nobody has this alias"):
        pull("models:/raymm-pulled@nobody", tmp_path / "other", stored[1])


def test_it_is_pulled_and_answers_without_the_training_stack(stored, tmp_path):
    arguments = [str(stored[0]), str(tmp_path / "model"), str(tmp_path / "ranked")]
    command = [sys.executable, "-c", BARE.replace("{stack}", repr(STACK)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    ranked = pd.read_parquet(next((tmp_path / "ranked" / "arts").glob("*.parquet")))
    model = Recommender(read_served(tmp_path / "model"))
    requests = pd.DataFrame({"user": user_ids("arts")}).assign(domain="arts")
    expected = model.recommend(requests, 3)
    assert len(expected) == 90
    assert ranked.to_dict("list") == expected.to_dict("list")
    assert json.loads((tmp_path / "model" / "card.json").read_text())["metrics"] == {"test.arts.ndcg@10": 0.25}
