"""What is said of evaluated runs, against their stored values and by hand."""

import time

import numpy as np
import pytest

from raymm.artefacts import Manifest
from raymm.data.prepared import open_prepared
from raymm.evaluation.rating import RatingValues, write_predictions
from raymm.experiment import build_experiment
from raymm.verbs.compare import stored_values
from raymm.verbs.evaluate import evaluate, report_folder
from raymm.verbs.family_results import ArmRuns, family_cells
from raymm.verbs.run import RunFolder, open_run_folder
from raymm.verbs.train import TrainRequest, train


@pytest.fixture(scope="module")
def arms(prepared_sample, tmp_path_factory):
    base = tmp_path_factory.mktemp("arms")
    prepared = open_prepared(prepared_sample).only("office")
    found = {}
    # Neighbours of three sizes stand for three seeds.
    for name, values in {"popularity": {}, "a": {"neighbours": 2}, "b": {"neighbours": 5}, "c": {}}.items():
        model = "popularity" if name == "popularity" else "item_knn"
        experiment = build_experiment({"model": model, "settings": values, "train": {"domain": "office"}})
        run, _ = train(TrainRequest(experiment, prepared_sample, base / name), None, lambda _: None)
        evaluate(run.folder, None, None)
        found[name] = open_run_folder(run.folder)
    seeds = {seed: found[name] for seed, name in enumerate("abc")}
    return (
        ArmRuns("popularity", "", prepared, {0: found["popularity"]}),
        ArmRuns("neighbours", "popularity", prepared, seeds),
        ArmRuns("failed", "popularity", prepared, {}),
    )


def test_means_spreads_and_differences_are_those_of_the_stored_values(arms):
    cells, notes = family_cells(arms, ("recall@20",), ("item popularity",), "")
    assert not notes
    values = [stored_values(run, "office").values["recall@20"] for run in arms[1].runs.values()]
    base = stored_values(arms[0].runs[0], "office").values["recall@20"]
    whole = next(cell for cell in cells if (cell.label, cell.family) == ("neighbours", "all"))
    means = [one.mean() for one in values]
    assert list(whole.seeds.values()) == pytest.approx(means)
    assert (whole.mean, whole.spread) == (pytest.approx(np.mean(means)), pytest.approx(np.std(means, ddof=1)))
    assert whole.difference == pytest.approx(np.mean(means) - base.mean())
    low, high = whole.interval
    assert low < whole.difference < high
    # One held-out item a user: the slices of the head and the tail add up to the whole.
    wanted = ("neighbours", "item popularity", "recall@20")
    parts = {cell.part: cell for cell in cells if (cell.label, cell.family, cell.metric) == wanted}
    together = sum(parts[name].mean * parts[name].n_users for name in ("head", "tail"))
    assert together == pytest.approx(whole.mean * whole.n_users)
    assert {cell.label for cell in cells} == {"popularity", "neighbours"}
    for family in ("catalogue", "item popularity"):
        assert {"coverage@20", "gini@20", "popularity@20"} <= {cell.metric for cell in cells if cell.family == family}


def test_other_held_out_items_are_not_compared(arms, monkeypatch):
    def other(run, domain):
        values = stored_values(run, domain)
        if run.experiment.model == "popularity":
            return values
        items = (values.items + 1) % values.items.max()
        return type(values)(
            values.domain, values.cutoffs, values.users, values.starts, items, values.ranks, values.values
        )

    monkeypatch.setattr("raymm.verbs.family_results.stored_values", other)
    cells, notes = family_cells(arms, ("recall@20",), (), "")
    assert len(notes) == 1
    assert "not paired" in notes[0]
    assert all(cell.difference is None for cell in cells)


def test_another_domain_is_left_out(arms):
    assert family_cells(arms, ("recall@20",), (), "arts") == ([], [])


def test_models_of_ratings_are_compared_by_errors_of_users_of_which_less_is_better(tmp_path):
    generator = np.random.default_rng(0)
    users, items = np.repeat(np.arange(30), 3), np.tile([4, 2, 7], 30)
    truth = generator.uniform(1, 5, 90)
    experiment = build_experiment({"model": "mimnet"})
    arms = []
    for name, noise in {"good": 0.1, "bad": 1.0}.items():
        predicted = truth + generator.normal(0, noise, 90)
        manifest = Manifest("run", 1, "", {}, {}, {"domains": ["music"]}, {}, "", time.time())
        run = RunFolder(tmp_path / name, manifest, experiment, ())
        report_folder(run.folder).mkdir(parents=True)
        path = report_folder(run.folder) / "music.mimnet.npz"
        write_predictions(RatingValues(users, truth, predicted, predicted), items, path)
        arms.append(ArmRuns(name, "" if name == "good" else "good", None, {0: run}))
        mean = ((predicted - truth) ** 2).reshape(30, 3).mean(axis=1).mean()
    (good, bad), notes = family_cells(arms, ("mse",), (), "")
    assert not notes
    assert bad.mean == pytest.approx(mean)
    assert bad.difference == pytest.approx(bad.mean - good.mean)
    assert bad.difference > 0
    assert bad.verdict == "worse"
