"""What is registered answers for external ids in a process of its own, without Ray and DeepSpeed."""

import json
import subprocess
import sys

import pytest

from raymm.data.prepared import open_prepared
from raymm.evaluation.ranking import top_k
from raymm.verbs.evaluate import evaluate
from raymm.verbs.register import register

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
    registered = register(trained.folder.folder, None, trained.tracking, None, "challenger")
    assert registered.uri == "models:/raymm-sieoug@challenger"
    prepared = open_prepared(trained.request.prepared)
    user = 7
    uri = f"sqlite:///{trained.folder.folder.parents[1] / 'mlflow.db'}"
    command = [sys.executable, "-c", ASK, uri, registered.uri, str(prepared.user_ids("arts")[user])]
    answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    import numpy as np
    from scipy import sparse

    facts = prepared.facts("arts")
    known = [prepared.train_pairs("arts"), prepared.validation_pairs("arts")]
    items = np.concatenate([pair[1][pair[0] == user] for pair in known])
    hidden = sparse.csr_array((np.ones(len(items)), (np.zeros(len(items), int), items)), shape=(1, facts.n_items))
    expected, scores = top_k(trained.folder.scorers()["arts"], np.array([user]), 5, hidden)
    assert answer["items"] == [str(prepared.item_ids("arts")[item]) for item in expected[0]]
    assert answer["scores"] == pytest.approx(scores[0].tolist())
    assert answer["loaded"] == []
