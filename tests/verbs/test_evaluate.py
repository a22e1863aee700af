import json
import shutil

import numpy as np
import pytest

from raymm.data.sealed import open_sealed
from raymm.errors import ArtefactError
from raymm.evaluation.values import read_values
from raymm.verbs.evaluate import BASELINE, NEIGHBOURS, evaluate, matching_prepared, report_folder
from raymm.verbs.register import RegisterRequest, register

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def evaluated(trained):
    return evaluate(trained.folder.folder, None, trained.tracking)


def test_metrics_follow_from_scores_sorted_by_hand(evaluated, trained):
    import torch

    holdout = open_sealed(trained.request.prepared)[0]
    scorer = trained.folder.scorers()[holdout.domain]
    ndcg = []
    for row in range(200):
        scores = scorer.scores(torch.tensor([holdout.users[row]]))[0].numpy().astype(np.float64)
        hidden = holdout.hidden.indices[holdout.hidden.indptr[row] : holdout.hidden.indptr[row + 1]]
        scores[hidden] = -np.inf
        target = holdout.targets.indices[holdout.targets.indptr[row]]
        place = np.argsort(-scores, kind="stable").tolist().index(target) + 1
        ndcg.append(1 / np.log2(1 + place) if place <= 10 else 0.0)
    stored = read_values(report_folder(trained.folder.folder) / f"{holdout.domain}.sieoug.npz")
    np.testing.assert_allclose(stored.values["ndcg@10"][:200], ndcg)
    assert len(stored.users) == len(holdout.users)
    assert sum(ndcg) > 0


def test_the_report_holds_model_and_popularity_of_every_domain(evaluated):
    assert evaluated.problem == ""
    assert evaluated.page.stat().st_size > 10_000
    assert [result.facts.name for result in evaluated.record.domains] == ["arts", "office"]
    for result in evaluated.record.domains:
        assert set(result.means) == {"sieoug", BASELINE, NEIGHBOURS}
    assert evaluated.metrics()["test.arts.ndcg@10"] == evaluated.record.domains[0].means["sieoug"]["ndcg@10"]


def test_the_test_set_is_read_once(evaluated, trained, tmp_path):
    page = evaluated.page.stat().st_mtime_ns
    again = evaluate(trained.folder.folder, None, None)
    assert again.page.stat().st_mtime_ns == page
    assert again.metrics() == evaluated.metrics()


def test_test_metrics_and_report_reach_mlflow(evaluated, trained):
    run = trained.tracking.reach("looking", lambda client: client.get_run(trained.tracked.run_id))
    assert run.data.metrics["test.arts.ndcg_at_10"] == pytest.approx(evaluated.metrics()["test.arts.ndcg@10"])
    files = trained.tracking.reach("looking", lambda client: client.list_artifacts(run.info.run_id, "report"))
    assert "report/report.html" in {file.path for file in files}


def test_another_prepared_set_is_refused(trained, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained.request.prepared, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "f" * 16}))
    with pytest.raises(ArtefactError, match="was trained"):
        matching_prepared(trained.folder, other)


def test_an_evaluated_run_is_registered_and_an_unevaluated_one_is_not(evaluated, trained, tmp_path):
    registered = register(RegisterRequest(trained.folder.folder, name="raymm-test"), trained.tracking).model
    assert registered.uri == "models:/raymm-test@champion"
    assert registered.metrics == pytest.approx(evaluated.metrics())
    assert registered.data_fingerprint == trained.folder.data_fingerprint
    bare = tmp_path / "bare"
    shutil.copytree(trained.folder.folder, bare, ignore=shutil.ignore_patterns("report"))
    with pytest.raises(ArtefactError, match="raymm evaluate"):
        register(RegisterRequest(bare, name="raymm-test"), trained.tracking)
