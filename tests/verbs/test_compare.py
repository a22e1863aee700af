"""Runs beside each other, against the tests of their stored values."""

import json

import pytest
from scipy import stats

from raymm.errors import ArtefactError, ConfigError
from raymm.evaluation.values import read_values
from raymm.experiment import build_experiment
from raymm.report.comparison import RECORD
from raymm.verbs.compare import compare
from raymm.verbs.evaluate import evaluate, report_folder
from raymm.verbs.train import TrainRequest, train


@pytest.fixture(scope="module")
def runs(prepared_sample, tmp_path_factory):
    base = tmp_path_factory.mktemp("compared")
    folders = []
    for model in ("popularity", "item_knn"):
        experiment = build_experiment({"model": model, "train": {"domain": "office"}})
        run, _ = train(TrainRequest(experiment, prepared_sample, base / model), None, lambda _: None)
        evaluate(run.folder, None, None)
        folders.append(run.folder)
    return folders


def test_whole_and_slices_equal_tests_of_the_stored_values(runs, tmp_path):
    found = compare(runs, None, tmp_path / "page")
    entry = found.record.domains[0]
    assert (entry.domain, entry.metric) == ("office", "recall@20")
    first, second = (read_values(report_folder(run) / f"office.{run.name}.npz") for run in runs)
    differences = second.values["recall@20"] - first.values["recall@20"]
    test = entry.parts[0].tests["item_knn"]
    assert test.difference == pytest.approx(differences.mean())
    assert test.p_t == pytest.approx(stats.ttest_rel(second.values["recall@20"], first.values["recall@20"]).pvalue)
    by_name = {part.name: part for part in entry.parts}
    assert {"head", "tail", "group 1 of 5, most popular", "group 5 of 5, least popular"} <= set(by_name)
    # One held-out item a user, in the head or in the tail.
    assert by_name["head"].n_users + by_name["tail"].n_users == entry.parts[0].n_users
    assert by_name["head"].means["popularity"] > by_name["tail"].means["popularity"]
    stored = json.loads((tmp_path / "page" / RECORD).read_text())
    assert stored["runs"] == ["popularity", "item_knn"]
    assert found.page.read_text().count("<img") == 2


def test_what_cannot_be_compared_is_refused(runs, prepared_sample, tmp_path):
    with pytest.raises(ConfigError, match="two or more"):
        compare(runs[:1], None, tmp_path / "one")
    experiment = build_experiment({"model": "popularity", "train": {"domain": "office"}})
    bare, _ = train(TrainRequest(experiment, prepared_sample, tmp_path / "bare"), None, lambda _: None)
    with pytest.raises(ArtefactError, match="no report"):
        compare([runs[0], bare.folder], None, tmp_path / "two")
    assert not (tmp_path / "two").exists()


def test_runs_ranked_among_other_candidates_are_refused_and_those_among_the_same_say_so(
    runs, prepared_sample, tmp_path
):
    folders = []
    for model in ("popularity", "item_knn"):
        experiment = build_experiment({"model": model, "train": {"domain": "office", "candidates": 99}})
        run, _ = train(TrainRequest(experiment, prepared_sample, tmp_path / f"{model}_99"), None, lambda _: None)
        evaluate(run.folder, None, None)
        folders.append(run.folder)
    with pytest.raises(ConfigError, match="rank among all items, 99 candidates"):
        compare([runs[0], folders[1]], None, tmp_path / "mixed")
    found = compare(folders, None, tmp_path / "page")
    assert found.record.candidates == 99
    assert "ranked among 99 sampled candidates" in found.page.read_text()
