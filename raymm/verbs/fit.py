"""Fit: a model in closed form, in this process."""

from __future__ import annotations

import time
from collections.abc import Mapping

from raymm.contracts import Scorer
from raymm.data.prepared import KnownPairs, PreparedSet
from raymm.evaluation.ranking import rank
from raymm.evaluation.values import means_over_domains
from raymm.experiment import Experiment
from raymm.models.spec import FitSpec
from raymm.training.loop import EpochRecord, LoopState


def fit(
    spec: FitSpec, experiment: Experiment, prepared: PreparedSet, known_pairs: KnownPairs
) -> tuple[Mapping[str, Scorer], EpochRecord]:
    """Fit a model and rank the validation set with it.

    Args:
        spec: The model.
        experiment: Its settings, the cutoffs, and what is ranked.
        prepared: The data, as `experiment.scope` shows them.
        known_pairs: Which shared users are known, see `PreparedSet.train_data`.

    Returns:
        Domain to scorer, and a history of one epoch without losses, so that a sweep chooses settings by the same
        validation metrics as those of models that learn by steps.
    """
    start = time.perf_counter()
    scorers = spec.fit(experiment.settings, prepared.train_data(known_pairs))
    fitted = time.perf_counter()
    cutoffs, candidates = experiment.train.cutoffs, experiment.train.candidates
    metrics = means_over_domains(
        {
            holdout.domain: rank(scorers[holdout.domain], holdout, cutoffs, candidates=candidates).means()
            for holdout in prepared.validation()
        }
    )
    seconds = {"train": fitted - start, "validate": time.perf_counter() - fitted}
    state = LoopState(epoch=1, best=metrics.get(experiment.train.loop.selection), best_epoch=1)
    return scorers, EpochRecord(1, {}, metrics, {}, seconds, improved=True, finished=True, state=state)
