"""Rating runs on the test set: errors by hand, yardsticks in every report, a warning above the floor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raymm.data.sealed import open_sealed_ratings
from raymm.errors import ArtefactError, ConfigError
from raymm.evaluation.rating import read_predictions
from raymm.report.rating_record import YARDSTICKS, RatingRecord
from raymm.verbs.compare import compare
from raymm.verbs.evaluate import evaluate, report_folder
from tests.verbs.ratings import COMPAT, DEFAULT, made

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_the_report_has_errors_yardsticks_ranking_and_users_to_look_at(prepared_ratings, tmp_path) -> None:
    run = made("mimnet", prepared_ratings, tmp_path / "first", DEFAULT)
    found = evaluate(run.folder, None, None)
    record = found.record
    assert isinstance(record, RatingRecord)
    held = open_sealed_ratings(prepared_ratings)[0]
    scorer = run.scorers()["films"]
    wrong = (
        scorer.pairs(torch.from_numpy(held.users.copy()), torch.from_numpy(held.items.copy())).numpy() - held.ratings
    )
    assert record.errors["mimnet"]["rmse"] == pytest.approx(float(np.sqrt(np.mean(wrong**2))), rel=1e-5)
    assert record.errors["mimnet"]["mae"] == pytest.approx(float(np.mean(np.abs(wrong))), rel=1e-5)
    assert found.metrics()["test.films.rmse"] == record.errors["mimnet"]["rmse"]
    assert set(record.errors) == {"mimnet", *YARDSTICKS}
    assert record.errors["mimnet"]["rmse"] < record.errors["floor"]["rmse"]
    assert record.saved["floor"].difference > 0
    squares = wrong.astype(float) ** 2
    by_user = [squares[held.users == user].mean() for user in np.unique(held.users)]
    assert record.saved["mean"].second == pytest.approx(np.mean(by_user), rel=1e-5)
    assert set(record.ranking) == {"mimnet", "popularity", "co_occurrence"}
    assert sum(part.n_ratings for part in record.slices if part.family.endswith("item")) == len(held.users)
    stored, items = read_predictions(report_folder(run.folder) / "films.mimnet.npz")
    assert np.array_equal(items, held.items)
    assert np.array_equal(stored.truth, held.ratings)
    page = found.page.read_text()
    assert "&lt;b&gt;" in page
    assert "<b>1" not in page
    assert record.examples
    assert all(sum(kind) == pytest.approx(1) for one in record.examples for p in one.predictions for kind in p.picked)
    before = found.page.stat().st_mtime_ns
    assert evaluate(run.folder, None, None).record == record
    assert found.page.stat().st_mtime_ns == before


def test_rating_runs_are_compared_by_their_errors_and_not_with_rankings(prepared_ratings, tmp_path) -> None:
    runs = [
        made(model, prepared_ratings, tmp_path / model) for model in ("rating_floor", "scalar_bridge", "cross_ridge")
    ]
    errors = [evaluate(run.folder, None, None).record.saved["mean"].second for run in runs[:2]]
    found = compare([run.folder for run in runs[:2]], None, tmp_path / "compared")
    mse, mae = found.record.domains
    assert (mse.domain, mse.metric, mae.metric) == ("films", "mse", "mae")
    assert list(mse.parts[0].means.values()) == pytest.approx(errors)
    assert mse.parts[0].tests["scalar_bridge"].difference == pytest.approx(errors[1] - errors[0])
    assert "scalar_bridge" in found.page.read_text()
    evaluate(runs[2].folder, None, None)
    with pytest.raises(ConfigError, match="predict ratings"):
        compare([runs[0].folder, runs[2].folder], None, tmp_path / "mixed")


def test_the_published_form_is_warned_of_and_its_best_test_epoch_stands_apart(prepared_ratings, tmp_path) -> None:
    run = made("mimnet", prepared_ratings, tmp_path / "compat", COMPAT, "compat")
    record = evaluate(run.folder, None, None).record
    own = record.errors["mimnet"]
    assert own["rmse"] > record.errors["floor"]["rmse"]
    assert any("more than floor" in warning for warning in record.warnings)
    assert record.parity["parity_rmse"] <= own["rmse"]
    assert record.parity["parity_mae"] <= own["mae"]
    assert record.ranking["mimnet"]


def test_predictions_that_were_cut_are_refused(tmp_path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ArtefactError, match="unreadable"):
        read_predictions(tmp_path / "a.npz")
