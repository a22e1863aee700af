"""A run of ratings from its folder to the registry and back: pairs, rankings, histories, and wrong requests."""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from raymm.data.prepared import open_prepared
from raymm.errors import TrackingError
from raymm.tracking.rater import RATED
from raymm.tracking.registry import resolve
from raymm.tracking.served_model import RATING_SIGNATURE
from raymm.tracking.store import open_tracking
from raymm.verbs.evaluate import evaluate
from raymm.verbs.recommend import RecommendRequest, recommend
from raymm.verbs.register import RegisterRequest, register
from raymm.verbs.train import TrainRequest, train
from tests.verbs.ratings import COMPAT, DEFAULT, experiment, made

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_a_registered_model_rates_ranks_and_reads_histories(prepared_ratings, tmp_path, monkeypatch) -> None:
    tracking = open_tracking(None, tmp_path / "store")
    request = TrainRequest(experiment("mimnet", DEFAULT), prepared_ratings, tmp_path / "runs" / "one")
    run, tracked = train(request, tracking, lambda _: None)
    assert tracked is not None
    assert evaluate(run.folder, None, tracking).problem == ""
    logged = tracking.reach("looking", lambda client: client.get_run(tracked.run_id)).data.metrics
    assert {"validation.-rmse", "losses.meta.loss", "test.films.rmse"} <= set(logged)
    made_of = register(RegisterRequest(run.folder, name="rated"), tracking).model
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.shown_uri)
    model = mlflow.pyfunc.load_model(made_of.uri)
    assert model.metadata.signature == RATING_SIGNATURE

    prepared = open_prepared(prepared_ratings)
    users, items = prepared.user_ids("films"), prepared.item_ids("films")
    rated = model.predict(pd.DataFrame({"user": [users[3], "stranger"], "item": [items[5], items[5]]}))
    assert tuple(rated.columns) == RATED
    predicted = run.scorers()["films"].pairs(torch.tensor([3]), torch.tensor([5]))
    assert rated["rating"][0] == pytest.approx(float(predicted.clip(1, 5)), abs=1e-5)
    assert rated["known"].tolist() == [True, False]
    ranked = model.predict(pd.DataFrame({"user": [users[3]]}), params={"k": 4})
    assert ranked["rank"].tolist() == [1, 2, 3, 4]
    books = list(prepared.item_ids("books")[:3])
    history = pd.DataFrame({"user": ["stranger"], "history": [books], "ratings": [[5.0, 4.0, 1.0]]})
    assert len(model.predict(history, params={"k": 4})) == 4
    own = model.predict(history.assign(item=items[5]))
    assert own["known"].tolist() == [True]
    assert own["rating"][0] != rated["rating"][1]
    for wrong in (
        pd.DataFrame({"user": ["a"], "item": ["none such"]}),
        history.assign(ratings=[[5.0, 4.0, 99.0]]),
        history.assign(history=[["a", "b", "c"]]),
        pd.DataFrame({"item": [items[0]]}),
        pd.DataFrame({"user": ["a"], "colour": ["red"], "item": [3]}),
    ):
        with pytest.raises(MlflowException) as refused:
            model.predict(wrong)
        assert refused.value.get_http_status_code() == 400
    folder = recommend(
        RecommendRequest(made_of.uri, tmp_path / "ranked", k=3, workers=0), tracking, lambda *_: None
    ).folder
    assert len(pd.read_parquet(folder / "films")) == 3 * len(users)

    worse = made("mimnet", prepared_ratings, tmp_path / "runs" / "two", COMPAT, "compat")
    evaluate(worse.folder, None, tracking)
    with pytest.raises(TrackingError, match="-mse"):
        register(RegisterRequest(worse.folder, name="rated"), tracking)
    aside = register(RegisterRequest(worse.folder, name="rated", alias="challenger"), tracking).model
    with pytest.raises(MlflowException, match="no history"):
        mlflow.pyfunc.load_model(aside.uri).predict(history)
    assert resolve(tracking, "models:/rated@champion").version == made_of.version
    assert np.isfinite(list(made_of.metrics.values())).all()
