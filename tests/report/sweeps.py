"""A sweep of two models, with every state that a trial can have and names that look like markup."""

import numpy as np

from raymm.report.importance import importance
from raymm.report.sweep_record import Finalist, ModelSweep, SweepRecord, TrialRecord


def make_sweep(n: int = 12) -> SweepRecord:
    generator = np.random.default_rng(0)
    models = []
    for model in ("lightgcn", "ease"):
        trials = []
        for number in range(n):
            values = {
                "settings.width": int(generator.choice([16, 32])),
                "train.optimizer.learning_rate": float(10 ** generator.uniform(-4, -1)),
                "settings.kind": str(generator.choice(["one", "two"])),
            }
            state = ("finished", "stopped", "finished", "failed")[number % 4]
            failed = state == "failed"
            trials.append(
                TrialRecord(
                    f"{model}-{number:03d}",
                    model,
                    0,
                    values,
                    state=state,
                    value=None if failed else 0.1 + values["settings.width"] / 1000 + number / 1e5,
                    best_epoch=3,
                    epochs=4,
                    seconds=10.0,
                    reason="DataError: <b>none</b>" if failed else "",
                )
            )
        rated = sorted((trial for trial in trials if trial.value), key=lambda trial: -trial.value)
        finalists = tuple(
            Finalist(trial.name, trial.values, {"0": trial.value, "1": trial.value - 0.01}) for trial in rated[:2]
        )
        models.append(ModelSweep(model, tuple(trials), finalists, importance(trials, list(trials[0].values))))
    return SweepRecord("a <i>sweep</i>", "ndcg@10", "toy", "f" * 16, 1e9, 2, tuple(models), {"search": "optuna"})
