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

import raymm
from raymm.artefacts import MANIFEST, hash_file
from raymm.errors import ArtefactError, RaymmError
from raymm.tracking.recommender import Recommender
from raymm.tracking.served import read_served
from raymm.tracking.store import quiet

ARTEFACT = "recommender"
_DEFAULT_K = 10
_MOST_ROWS = 200_000  # of one answer; `raymm recommend` is for more
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, "user"), ColSpec(DataType.string, "domain", required=False)]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "user"),
            ColSpec(DataType.string, "domain"),
            ColSpec(DataType.long, "rank"),
            ColSpec(DataType.string, "item"),
            ColSpec(DataType.float, "score"),
            ColSpec(DataType.boolean, "known"),
        ]
    ),
    params=ParamSchema(
        [
            ParamSpec("k", DataType.long, _DEFAULT_K),
            ParamSpec("exclude", DataType.string, [], shape=(-1,)),
            ParamSpec("candidates", DataType.string, [], shape=(-1,)),
        ]
    ),
)

_CODE = Path(__file__).with_name("model_code.py")
_DIGEST = "manifest_sha256"
_PACKAGES = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "scipy", "torch")


class ServedModel(PythonModel):
    """What `mlflow.pyfunc.load_model` returns the inside of; see `Recommender.recommend` for what it answers."""

    def __init__(self) -> None:
        self._recommender: Recommender | None = None

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
        self._recommender = Recommender(read_served(folder))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Rank items for the users of `model_input`.

        Args:
            context: Not used; files are read once, in `load_context`.
            model_input: Column `user`, and optionally `domain`.
            params: `k`, `exclude` and `candidates`.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE with the four parts of raymm's own message, so that a scoring
                server answers with 400 and says why.
        """
        del context
        if self._recommender is None:
            raise MlflowException("the model was not loaded; use mlflow.pyfunc.load_model")
        chosen = params or {}
        try:
            return self._recommender.recommend(
                model_input,
                chosen.get("k", _DEFAULT_K),
                _texts(chosen, "exclude"),
                _texts(chosen, "candidates"),
                _MOST_ROWS,
            )
        except RaymmError as error:
            raise MlflowException.invalid_parameter_value(f"The request cannot be answered.\n{error}") from error


def save_served_model(served: Path, target: Path, example_user: str, model: Model) -> str:
    """Write an MLflow model around a served folder, from code: no object is pickled.

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
            signature=SIGNATURE,
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
