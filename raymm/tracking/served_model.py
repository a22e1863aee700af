"""The served model as MLflow sees it: logged from code, with a typed signature, and without pickle."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array

import raymm
from raymm.artefacts import MANIFEST, hash_file
from raymm.errors import ArtefactError, RaymmError
from raymm.tracking.rater import HISTORY, RATINGS, Rater
from raymm.tracking.recommender import Recommender
from raymm.tracking.served import read_served
from raymm.tracking.served_rater import FOLDER
from raymm.tracking.store import quiet

ARTEFACT = "recommender"
_DEFAULT_K = 10
_MOST_ROWS = 200_000  # of one answer; `raymm recommend` is for more
_PARAMS = ParamSchema(
    [
        ParamSpec("k", DataType.long, _DEFAULT_K),
        ParamSpec("exclude", DataType.string, [], shape=(-1,)),
        ParamSpec("candidates", DataType.string, [], shape=(-1,)),
    ]
)
_RANKED = {
    "user": DataType.string,
    "domain": DataType.string,
    "rank": DataType.long,
    "item": DataType.string,
    "score": DataType.float,
    "known": DataType.boolean,
}
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "user"), ColSpec(DataType.string, "domain", required=False)]),
    outputs=Schema([ColSpec(kind, name) for name, kind in _RANKED.items()]),
    params=_PARAMS,
)
RATING_SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.string, "user"),
            ColSpec(DataType.string, "domain", required=False),
            ColSpec(DataType.string, "item", required=False),
            ColSpec(Array(DataType.string), HISTORY, required=False),
            ColSpec(Array(DataType.double), RATINGS, required=False),
        ]
    ),
    outputs=Schema(
        [
            *(ColSpec(kind, name, name not in ("rank", "score")) for name, kind in _RANKED.items()),
            ColSpec(DataType.float, "rating", required=False),
        ]
    ),
    params=_PARAMS,
)
"""Of a model of ratings: with an item a row asks for a rating, without one for a ranking."""

_CODE = Path(__file__).with_name("model_code.py")
_DIGEST = "manifest_sha256"
_PACKAGES = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "scipy", "torch")


class ServedModel(PythonModel):
    """What `mlflow.pyfunc.load_model` returns the inside of.

    See `Recommender.recommend` for what it answers, and `Rater` for what a model of ratings answers besides.
    """

    def __init__(self) -> None:
        self._recommender: Recommender | None = None
        self._rater: Rater | None = None

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model's files, each compared with its hash first.

        Raises:
            ArtefactError: A file is missing or was changed.
        """
        folder = Path(context.artifacts[ARTEFACT])
        expected = (context.model_config or {}).get(_DIGEST)
        if not (folder / MANIFEST).is_file() or hash_file(folder / MANIFEST) != expected:
            raise ArtefactError(
                "a manifest that is missing or was changed",
                f"one with SHA-256 {expected}",
                str(folder / MANIFEST),
                "load the model from its registry, or register it again",
            )
        domains = read_served(folder)
        self._recommender = Recommender(domains)
        self._rater = next((Rater(domain, domain.rater) for domain in domains if domain.rater is not None), None)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Rank items for the users of `model_input`, or predict ratings where it names items.

        Args:
            context: Not used; files are read once, in `load_context`.
            model_input: Column `user`, and optionally `domain`; of a model of ratings also `item`, and `history` with
                `ratings`.
            params: `k`, `exclude` and `candidates` of a ranking.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE with the four parts of raymm's own message, so that a scoring
                server answers with 400 and says why.
        """
        del context
        if self._recommender is None:
            raise MlflowException("the model was not loaded; use mlflow.pyfunc.load_model")
        chosen = params or {}
        try:
            wish = (chosen.get("k", _DEFAULT_K), _texts(chosen, "exclude"), _texts(chosen, "candidates"))
            return self._answer(self._recommender, model_input, wish)
        except RaymmError as error:
            raise MlflowException.invalid_parameter_value(f"The request cannot be answered.\n{error}") from error

    def _answer(
        self, recommender: Recommender, requests: pd.DataFrame, wish: tuple[int, Sequence[str], Sequence[str]]
    ) -> pd.DataFrame:
        if self._rater is None:
            return recommender.recommend(requests, *wish, _MOST_ROWS)
        requests = requests.dropna(axis=1, how="all")  # what a schema adds where nothing was given
        if "item" in requests.columns:
            return self._rater.rate(requests)
        if HISTORY in requests.columns:
            return self._rater.rank(requests, *wish, _MOST_ROWS)
        return recommender.recommend(requests, *wish, _MOST_ROWS)


def save_served_model(served: Path, target: Path, example_user: str, model: Model) -> str:
    """Write an MLflow model around a served folder, from code: no object is pickled.

    The signature is that of what the folder holds: rankings, or ratings too.

    Args:
        served: A folder called `recommender`, written by `raymm.tracking.served.write_served`.
        target: Where the MLflow model will stand; nothing stands there yet.
        example_user: External id of a user, for the input example.
        model: MLflow's description of the model, with its ids; completed here.

    Returns:
        SHA-256 of the manifest inside, which names the SHA-256 of every other file.
    """
    digest = hash_file(served / MANIFEST)
    with quiet():
        mlflow.pyfunc.save_model(
            path=str(target),
            python_model=str(_CODE),
            artifacts={ARTEFACT: str(served)},
            signature=RATING_SIGNATURE if any(served.glob(f"domains/*/{FOLDER}")) else SIGNATURE,
            input_example=(pd.DataFrame({"user": [example_user]}), {"k": 3}),
            pip_requirements=_requirements(),
            model_config={_DIGEST: digest},
            mlflow_model=model,
        )
    flavour = model.flavors[mlflow.pyfunc.FLAVOR_NAME]
    flavour.pop("cloudpickle_version", None)  # MLflow notes it for every model; nothing here is pickled
    flavour["artifacts"] = {ARTEFACT: {"path": f"artifacts/{ARTEFACT}", "uri": f"artifacts/{ARTEFACT}"}}
    model.save(str(target / "MLmodel"))
    return digest


def _requirements() -> list[str]:
    """List what serving needs, as installed here; the training stack is not among it."""
    return [f"raymm=={raymm.__version__}", *(f"{name}=={version(name).partition('+')[0]}" for name in _PACKAGES)]


def _texts(params: dict[str, Any], name: str) -> Sequence[str]:
    values = params.get(name)
    return [] if values is None else [str(value) for value in np.atleast_1d(np.asarray(values, dtype=object))]
