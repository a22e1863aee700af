"""MLflow: runs, the model registry and the served model; nothing else in raymm imports it."""
