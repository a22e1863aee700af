"""Families trained for real: what is done stays, what fails is shown, and nothing is mixed."""

import dataclasses
import json

import pytest

from raymm.errors import ArtefactError, ClusterError, ConfigError
from raymm.report.family import PAGE, RECORD, RESULTS
from raymm.verbs.experiment import RUNS, run_experiment
from raymm.verbs.train import train
from tests.verbs.families import CLOSED, Ear, request_of


@pytest.mark.ray
def test_a_family_is_trained_once_and_a_changed_one_is_not_mixed(prepared_sample, tmp_path):
    request = request_of(CLOSED, tmp_path, prepared_sample)
    part = run_experiment(dataclasses.replace(request, only=("popularity",)), None, Ear())
    assert [run.state for run in part.runs] == ["finished", "waiting"]
    ear = Ear()
    shared = dataclasses.replace(request, runs=request.folder / RUNS)
    record = run_experiment(shared, None, ear)
    states = [(label, 0, state) for label in ("popularity", "item k-NN") for state in ("running", "finished")]
    assert list(dict.fromkeys(ear.states)) == states
    assert not record.failed()
    assert not record.notes
    reports = {path: path.stat().st_mtime_ns for path in (request.folder / RUNS).glob("*/report/manifest.json")}
    assert len(reports) == 2
    for name in (PAGE, RECORD, RESULTS, "figure.png", "figure.svg", "figure_item_popularity.svg"):
        assert (request.folder / name).stat().st_size > 100
    assert json.loads((request.folder / RECORD).read_text())["name"] == "closed"

    # A setting that changes makes a run of its own; one that no data have fails by itself; the others stay as they are.
    wider = CLOSED.replace('model = "item_knn"', 'model = "item_knn"\nsettings.neighbours = 5')
    broken = '[[variants]]\nlabel = "broken"\nmodel = "lightgcn"\ntrain.domain = "nowhere"\n'
    changed = request_of(wider.replace('domain = "office"\n', "") + broken, tmp_path, prepared_sample)
    again = run_experiment(changed, None, Ear())
    assert [run.state for run in again.runs] == ["finished"] * 2 + ["failed"] * 3
    assert all("nowhere" in run.reason for run in again.failed())
    assert any("2 runs of an earlier version" in note for note in again.notes)
    assert {path: path.stat().st_mtime_ns for path in reports} == reports
    with pytest.raises(ConfigError, match="results of 'closed'"):
        run_experiment(request_of(CLOSED, tmp_path, prepared_sample, "other"), None, Ear())


@pytest.mark.ray
def test_a_run_whose_workers_die_fails_by_itself(prepared_sample, tmp_path, monkeypatch):
    def out_of_memory(request, *_):
        if request.experiment.model == "popularity":
            raise ClusterError("workers that were killed", "workers that end well", "Ray Train")
        return train(request, *_)

    monkeypatch.setattr("raymm.verbs.experiment.train", out_of_memory)
    record = run_experiment(request_of(CLOSED, tmp_path, prepared_sample), None, Ear())
    assert [run.state for run in record.runs] == ["failed", "finished"]
    assert "workers that were killed" in record.failed()[0].reason
    monkeypatch.undo()
    assert not run_experiment(request_of(CLOSED, tmp_path, prepared_sample), None, Ear()).failed()


@pytest.mark.ray
def test_a_family_ranked_among_candidates_says_so(prepared_sample, tmp_path):
    text = CLOSED.replace('[base]\nmodel = "popularity"\n', '[base]\nmodel = "popularity"\ntrain.candidates = 99\n')
    request = request_of(text, tmp_path, prepared_sample)
    assert [arm.experiment.train.candidates for arm in request.arms] == [99, 99]
    record = run_experiment(request, None, Ear())
    assert not record.failed()
    assert "ranked among 99 sampled candidates" in record.notes[0]
    assert "ranked among 99 sampled candidates" in (request.folder / PAGE).read_text()
    assert {cell.metric for cell in record.cells} == {"recall@20"}


@pytest.mark.ray
def test_what_cannot_begin_is_refused(prepared_sample, tmp_path):
    request = request_of(CLOSED, tmp_path, prepared_sample)
    with pytest.raises(ConfigError, match="variants among"):
        run_experiment(dataclasses.replace(request, only=("nobody",)), None, Ear())
    other = CLOSED + "prepare.overlap.shared_ratio = 0.1\n"
    wanted = request_of(other, tmp_path, prepared_sample)
    with pytest.raises(ConfigError, match="--recipe"):
        run_experiment(wanted, None, Ear())
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('name = "x"\ndomains = ["x"]\ninteractions = [{ path = "x.tsv" }]\n')
    with pytest.raises(ArtefactError, match="another recipe"):
        run_experiment(dataclasses.replace(wanted, recipe=recipe), None, Ear())
