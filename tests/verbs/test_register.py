"""What is registered answers for external ids without Ray and DeepSpeed, and replaces only what it is better than."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from raymm.data.prepared import open_prepared
from raymm.errors import TrackingError
from raymm.evaluation.ranking import top_k
from raymm.scorers import DotScorer
from raymm.tracking import registry
from raymm.tracking.store import Tracking, open_tracking
from raymm.verbs.evaluate import evaluate
from raymm.verbs.register import RegisterRequest, register
from raymm.verbs.run import open_run_folder, write_run

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

ASK = """
import json, sys
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
answer = model.predict(pandas.DataFrame({"user": [sys.argv[3]], "domain": ["arts"]}), params={"k": 5})
loaded = [name for name in ("ray", "deepspeed") if name in sys.modules]
print(json.dumps({"items": answer["item"].tolist(), "scores": answer["score"].tolist(), "loaded": loaded}))
"""


def test_the_registered_model_gives_the_lists_of_the_run(trained):
    evaluate(trained.folder.folder, None, None)
    made = register(RegisterRequest(trained.folder.folder, alias="challenger"), trained.tracking)
    registered = made.model
    assert made.has_alias
    assert made.words == "nobody had the alias 'challenger'"
    assert registered.uri == "models:/raymm-sieoug@challenger"
    prepared = open_prepared(trained.request.prepared)
    user = 7
    uri = f"sqlite:///{trained.folder.folder.parents[1] / 'mlflow.db'}"
    command = [sys.executable, "-c", ASK, uri, registered.uri, str(prepared.user_ids("arts")[user])]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    from scipy import sparse

    facts = prepared.facts("arts")
    known = [prepared.train_pairs("arts"), prepared.validation_pairs("arts")]
    items = np.concatenate([pair[1][pair[0] == user] for pair in known])
    hidden = sparse.csr_array((np.ones(len(items)), (np.zeros(len(items), int), items)), shape=(1, facts.n_items))
    expected, scores = top_k(trained.folder.scorers()["arts"], np.array([user]), 5, hidden)
    assert answer["items"] == [str(prepared.item_ids("arts")[item]) for item in expected[0]]
    assert answer["scores"] == pytest.approx(scores[0].tolist())
    assert answer["loaded"] == []


@dataclass(frozen=True)
class Contest:
    """Evaluated runs on one prepared set: one that knows half of the validation items, two that know none."""

    tracking: Tracking
    prepared: Path
    good: Path
    bad: Path
    worse: Path


@pytest.fixture(scope="module")
def contest(trained, tmp_path_factory):
    base = tmp_path_factory.mktemp("contest")
    prepared = open_prepared(trained.request.prepared)
    folders = []
    for number, share in enumerate((0.5, 0.0, 0.0)):
        experiment = replace(trained.request.experiment, train=replace(trained.request.experiment.train, seed=number))
        scorers = {facts.name: _knowing(prepared, facts.name, share, number) for facts in prepared.domains}
        facts = {**trained.folder.manifest.facts, "structure": {}}
        folders.append(base / "runs" / f"run{number}")
        write_run(folders[-1], experiment, prepared, trained.folder.history, scorers, facts)
        evaluate(folders[-1], prepared.folder, None)
    return Contest(trained.tracking, prepared.folder, *folders)


def _knowing(prepared, domain, share, seed):
    """Score items at random, alike for all users, and the validation item of a share of the users above the others."""
    facts, generator = prepared.facts(domain), torch.Generator().manual_seed(seed)
    users, items = (torch.from_numpy(np.array(side)) for side in prepared.validation_pairs(domain))
    chosen = torch.rand(len(users), generator=generator) < share
    codes = torch.nn.functional.normalize(torch.randn(facts.n_items, 32, generator=generator))
    wishes = torch.zeros(facts.n_users, 32)
    wishes[users[chosen]] = codes[items[chosen]]
    return DotScorer(wishes + 0.01, codes)


def test_only_a_better_run_becomes_champion(contest):
    def ask(run, **more):
        return register(RegisterRequest(run, contest.prepared, "raymm-contest", **more), contest.tracking)

    assert "nobody had the alias" in ask(contest.bad).words
    with pytest.raises(TrackingError, match=r"version 1 .*difference") as caught:
        ask(contest.worse)
    assert "--force" in caught.value.remedy
    assert registry.find(contest.tracking, "raymm-contest", "champion").version == 1
    with pytest.raises(TrackingError, match="nobody has this alias"):
        registry.resolve(contest.tracking, "models:/raymm-contest@challenger")
    without = ask(contest.worse, alias_or_none=True)
    assert (without.has_alias, without.model.uri) == (False, "models:/raymm-contest/2")
    won = ask(contest.good)
    assert (won.has_alias, won.model.version) == (True, 3)
    assert "validation ndcg@10" in won.words
    assert won.model.tags["raymm.comparison"] == won.words
    assert "the same run as version 3" in ask(contest.good).words
    with pytest.raises(TrackingError, match="version 3"):
        ask(contest.bad)
    assert ask(contest.bad, force=True).model.version == 1
    assert registry.find(contest.tracking, "raymm-contest", "champion").version == 1
    card = registry.find(contest.tracking, "raymm-contest", "champion").tags
    assert "--force" in card["raymm.comparison"]


def test_models_of_other_data_are_not_compared(contest, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(contest.prepared, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "f" * 16}))
    run = tmp_path / "runs" / "elsewhere"
    source = open_run_folder(contest.good)
    write_run(run, source.experiment, open_prepared(other), source.history, source.scorers(), source.manifest.facts)
    evaluate(run, other, None)
    register(RegisterRequest(contest.bad, contest.prepared, "raymm-elsewhere"), contest.tracking)
    asked = RegisterRequest(run, other, "raymm-elsewhere")
    with pytest.raises(TrackingError, match="not comparable: trained on f{16}"):
        register(asked, contest.tracking)
    assert register(replace(asked, force=True), contest.tracking).has_alias


def test_of_two_at_the_same_time_the_better_one_is_champion_in_the_end(contest):
    def ask(run):
        request = RegisterRequest(run, contest.prepared, "raymm-race", alias_or_none=True)
        return register(request, open_tracking(None, contest.good.parents[2] / "race"))

    open_tracking(None, contest.good.parents[2] / "race")
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(ask, (contest.good, contest.bad)))
    assert {one.model.version for one in made} == {1, 2}
    tracking = open_tracking(None, contest.good.parents[2] / "race")
    assert registry.find(tracking, "raymm-race", "champion").version == made[0].model.version
