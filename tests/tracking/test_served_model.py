from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
import pytest
import safetensors.torch
import uvicorn
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from mlflow.pyfunc.model import PythonModelContext

from raymm.errors import ArtefactError
from raymm.tracking.pulled import pull
from raymm.tracking.recommender import Recommender
from raymm.tracking.served import read_served
from raymm.tracking.served_model import SIGNATURE, ServedModel
from raymm.tracking.store import Tracking
from tests.tracking.conftest import Toy
from tests.tracking.test_registry import stored_files

FRESH_PROCESS = """
import json, sys
unpickled = []
sys.addaudithook(lambda event, arguments: unpickled.append(arguments) if event == "pickle.find_class" else None)
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
before = len(unpickled)
model = mlflow.pyfunc.load_model(sys.argv[2])
answer = model.predict(pandas.DataFrame({"user": ["user 1", "nobody"]}), params={"k": 3})
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {"ray", "deepspeed", "dgl"})
layers = sorted(name for name in sys.modules if name.startswith(("raymm.launch", "raymm.models", "raymm.training")))
print(json.dumps({
    "answer": answer.to_dict("list"), "heavy": heavy + layers, "unpickled": len(unpickled) - before,
}))
"""


@pytest.fixture(scope="module")
def folder(tracking: Tracking, toy: Toy) -> Path:
    return stored_files(tracking, toy)


@pytest.fixture(scope="module")
def model(folder: Path) -> mlflow.pyfunc.PyFuncModel:
    return mlflow.pyfunc.load_model(str(folder))


def test_the_champion_answers_in_a_fresh_process(
    store_folder: Path, tracking: Tracking, toy: Toy, tmp_path: Path
) -> None:
    uri = f"sqlite:///{store_folder}/mlflow.db"
    command = [sys.executable, "-c", FRESH_PROCESS, uri, toy.model.uri]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    said = json.loads(result.stdout)
    assert said["heavy"] == []
    assert said["unpickled"] == 0
    served = read_served(pull(tracking, toy.model, tmp_path / "served"))
    expected = Recommender(served).recommend(pd.DataFrame({"user": ["user 1", "nobody"]}), 3)
    assert len(expected) == 12
    assert said["answer"] == expected.to_dict("list")
    assert [line for line in result.stderr.splitlines() if "WARNING" in line] == []


def test_nothing_in_the_model_is_pickled(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    allowed = {".safetensors", ".parquet", ".json", ".md", ".py", ".yaml", ".txt", ""}
    assert {path.suffix for path in files} <= allowed
    for path in files:
        if path.suffix == ".safetensors":
            assert safetensors.torch.load_file(path)
        elif path.suffix == ".parquet":
            assert path.read_bytes()[:4] == b"PAR1"
        else:
            assert "pickle" not in path.read_text(), path
    assert {path.name for path in files if not path.suffix} <= {"MLmodel", "registered_model_meta"}


def test_the_description_names_no_folder_of_this_machine(folder: Path) -> None:
    text = (folder / "MLmodel").read_text()
    assert "raymm-register-" not in text
    assert "model_code.py" in text
    requirements = (folder / "requirements.txt").read_text().split()
    names = [line.partition("==")[0] for line in requirements]
    assert all("==" in line for line in requirements)
    assert {"raymm", "mlflow", "torch"} <= set(names)
    assert not {"ray", "deepspeed", "dgl"} & set(names)


def test_the_signature_is_typed(model: mlflow.pyfunc.PyFuncModel) -> None:
    assert model.metadata.signature == SIGNATURE
    answer = model.predict(pd.DataFrame({"user": ["user 0"]}))
    assert len(answer) == 20  # k = 10 by default, in both domains
    assert list(answer.columns) == SIGNATURE.outputs.input_names()
    assert model.input_example is not None


def test_wishes_reach_the_model(model: mlflow.pyfunc.PyFuncModel) -> None:
    frame = pd.DataFrame({"user": ["nobody"], "domain": ["arts"]})
    best = model.predict(frame, params={"k": 5})["item"].tolist()
    less = model.predict(frame, params={"k": 4, "exclude": best[:1]})["item"].tolist()
    assert less == best[1:]
    chosen = model.predict(frame, params={"k": 9, "candidates": [best[3], best[0]]})
    assert chosen["item"].tolist() == [best[0], best[3]]
    assert not chosen["known"].any()


@pytest.mark.parametrize(
    ("frame", "params", "said"),
    [
        ({"customer": ["a"]}, {}, "user"),
        ({"user": [7]}, {}, "user"),
        ({"user": ["user 0", None]}, {}, "in row 1"),
        ({"user": ["user 0"], "domain": ["toys"]}, {}, "'toys'"),
        ({"user": ["user 0"]}, {"k": 0}, "k = 0"),
        ({"user": ["user 0"]}, {"k": "many"}, "k"),
        ({"user": ["user 0"]}, {"candidates": ["what"]}, "'what'"),
        ({"user": ["user 0"]}, {"candidates": "what"}, "candidates"),
    ],
)
def test_malformed_requests_are_refused_with_a_reason(
    model: mlflow.pyfunc.PyFuncModel, frame: dict[str, Any], params: dict[str, Any], said: str
) -> None:
    with pytest.raises(MlflowException, match=said) as caught:
        model.predict(pd.DataFrame(frame), params=params)
    assert caught.value.get_http_status_code() == 400


def test_a_model_that_was_tampered_with_is_refused(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    inside = Path("artifacts") / "recommender"
    for name in ("domains/arts/scorer/scorer.safetensors", "domains/office/known.parquet", "manifest.json"):
        shutil.copytree(folder, copy)
        content = bytearray((copy / inside / name).read_bytes())
        content[-2] ^= 1
        (copy / inside / name).write_bytes(content)
        with pytest.raises(ArtefactError, match="changed"):
            mlflow.pyfunc.load_model(str(copy))
        shutil.rmtree(copy)


def test_a_model_that_was_not_loaded_says_so() -> None:
    with pytest.raises(MlflowException, match="not loaded"):
        ServedModel().predict(PythonModelContext({}, None), pd.DataFrame({"user": ["a"]}))


@pytest.fixture
def address(model: mlflow.pyfunc.PyFuncModel, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run MLflow's own scoring server."""
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # it sets this for good otherwise
    server = uvicorn.Server(uvicorn.Config(scoring_server.init(model), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/invocations"
    server.should_exit = True
    thread.join()


def test_a_scoring_server_answers_and_never_with_500(address: str) -> None:
    def post(body: bytes) -> tuple[int, str]:
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    good = {"dataframe_records": [{"user": "user 1", "domain": "arts"}], "params": {"k": 2}}
    status, text = post(json.dumps(good).encode())
    assert status == 200
    answer = json.loads(text)["predictions"]
    assert [row["rank"] for row in answer] == [1, 2]
    assert set(answer[0]) == {"user", "domain", "rank", "item", "score", "known"}

    frame = {"columns": ["user"], "data": [["user 1"]]}
    bad: list[tuple[Any, str]] = [
        ({"dataframe_split": frame, "params": {"k": 0}}, "k = 0"),
        ({"dataframe_split": frame, "params": {"k": "x"}}, "k"),
        ({"dataframe_split": {"columns": ["user", "domain"], "data": [["user 1", "toys"]]}}, "toys"),
        ({"dataframe_split": {"columns": ["user"], "data": [[None]]}}, "user"),
        ({"dataframe_split": {"columns": ["item"], "data": [["user 1"]]}}, "user"),
        ({"dataframe_split": {"columns": ["user"], "data": [[{"a": 1}]]}}, ""),
        ({"dataframe_split": {"columns": ["user"], "data": [["a", "b"]]}}, ""),
        ({"inputs": 5}, ""),
        ({}, ""),
        ([], ""),
    ]
    bodies = [(json.dumps(body).encode(), said) for body, said in bad] + [(b"{", ""), (b"\xff\xfe", ""), (b"", "")]
    for body, said in bodies:
        status, text = post(body)
        assert status == 400, (body, status, text[:300])
        assert said in text
