"""The code that MLflow copies into a registered model and runs to load it; all it does is name raymm's class."""

from mlflow.models import set_model

from raymm.tracking.served_model import ServedModel

set_model(ServedModel())
