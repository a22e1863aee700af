from __future__ import annotations

import runpy
from pathlib import Path

import mlflow.models.model

import raymm.tracking
from raymm.tracking.served_model import ServedModel


def test_running_the_code_names_the_served_model() -> None:
    path = Path(raymm.tracking.__file__).with_name("model_code.py")
    mlflow.models.model.__mlflow_model__ = None
    runpy.run_path(str(path))
    assert isinstance(mlflow.models.model.__mlflow_model__, ServedModel)
