"""Ratings for users who are new: a prepared set and an experiment to a model, in stages that can be taken up again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raymm import artefacts
from raymm.contracts import RatingHoldout, Scorer
from raymm.data.prepared import KnownPairs, PreparedSet
from raymm.errors import DataError
from raymm.evaluation.rating import rate
from raymm.experiment import RATING_SELECTION, Experiment
from raymm.models.mimnet.model import Mimnet
from raymm.models.spec import RatingSpec
from raymm.ratings.stage import Ranks, Staged
from raymm.ratings.table import ColdStart, cold_start
from raymm.scorers import save_scorer
from raymm.tracking.candidate import NEWCOMERS, RANKERS
from raymm.tracking.newcomers import save_newcomers
from raymm.verbs.stages import run_stages

EPOCHS, STAGES = "epochs", "stages"


@dataclass(frozen=True, eq=False)
class Made:
    """What a training made.

    Attributes:
        scorers: Domain to the finished model.
        facts: What was observed on the way.
        source: Domain whose histories a model of ratings reads; empty of others.
        write: Writes what the model leaves beside its scorers into the run folder.
    """

    scorers: Mapping[str, Scorer]
    facts: Mapping[str, float]
    source: str = ""
    write: Callable[[Path], None] = field(default=lambda _: None)


@dataclass(frozen=True, eq=False)
class RatingTask:
    """What a model of ratings has to do with a prepared set.

    Attributes:
        source: Domain in which users are known.
        target: Domain in which they are new.
        problem: Training ratings of both.
    """

    source: str
    target: str
    problem: ColdStart


def rating_task(prepared: PreparedSet, known_pairs: KnownPairs) -> RatingTask:
    """Read a prepared set as a cold-start problem.

    Raises:
        DataError: Its split makes nobody new in a domain, or a domain has no ratings.
    """
    target = prepared.split.target
    if prepared.split.kind != "cold_start" or target is None:
        raise DataError(
            f"a split of kind {prepared.split.kind!r}",
            "'cold_start': users who are known in one domain and new in the other",
            str(prepared.folder),
            'prepare the data with `[split] kind = "cold_start"` and `target = "..."`',
        )
    source = next(facts.name for facts in prepared.domains if facts.name != target)
    return RatingTask(source, target, cold_start(prepared.train_data(known_pairs), source, target))


def rate_in_stages(
    spec: RatingSpec,
    experiment: Experiment,
    prepared: PreparedSet,
    known_pairs: KnownPairs,
    storage: Path,
    follow: Callable[[dict[str, Any]], None],
) -> Made:
    """Make a model of ratings in this process, and predict the validation ratings with it.

    Each stage that learns leaves an artefact in `storage` when it is done, from which an interrupted training goes on;
    the stage that it was in starts anew.

    Args:
        spec: The model.
        experiment: Its settings, and the seed.
        prepared: The data.
        known_pairs: Which shared users are known, see `PreparedSet.train_data`.
        storage: Folder for what is unfinished.
        follow: Gets the record of each epoch, see `run_stages`; at last one of the finished model.

    Raises:
        DataError: The data have no cold users, or no ratings.
        ConfigError: `storage` holds stages of another training.
    """
    task = rating_task(prepared, known_pairs)
    validation = next(held for held in prepared.rating_validation() if held.domain == task.target)
    model = spec.make(experiment.settings, task.problem, validation, experiment.train.seed)
    marks = {"experiment": artefacts.fingerprint(experiment.mathematics())}
    inputs = {"prepared": prepared.fingerprint, "known pairs": known_pairs, **marks}

    def on_epoch(record: dict[str, Any]) -> None:
        if model.keeps_epochs and record["diagnostics"]:
            save_scorer(model.scorer(), storage / EPOCHS / f"{record['stage_epoch']:03d}")
        follow(record)

    records = run_stages(model, experiment.train.seed, storage / STAGES, inputs, on_epoch)
    start = time.perf_counter()
    scorer = model.scorer()
    follow(_finished(scorer, validation, task.problem, len(records) + 1, start))

    def write(folder: Path) -> None:
        for name in (EPOCHS, STAGES):
            if (storage / name).is_dir():
                shutil.copytree(storage / name, folder / name, ignore=shutil.ignore_patterns("*.partial"))
        _write_rest(model, task.target, folder)

    return Made({task.target: scorer}, model.facts(), task.source, write)


def _finished(
    scorer: Scorer, validation: RatingHoldout, problem: ColdStart, epoch: int, start: float
) -> dict[str, Any]:
    """Return the record of the finished model; it is the one that sweeps choose settings by."""
    low, high = problem.target.scale
    scale = min(low, float(validation.ratings.min())), max(high, float(validation.ratings.max()))
    errors = rate(scorer, validation.users, validation.items, validation.ratings, scale).errors()
    metrics = {f"-{name}": -value for name, value in errors.items()}
    return {
        "epoch": epoch,
        "stage": "finished",
        "stage_epoch": 1,
        "stage_epochs": 1,
        "losses": {},
        "validation": metrics,
        "diagnostics": {},
        "seconds": {"validate": time.perf_counter() - start},
        "improved": True,
        "finished": True,
        "state": {"best": metrics[RATING_SELECTION], "best_epoch": epoch},
    }


def _write_rest(model: Staged, target: str, folder: Path) -> None:
    """Write what ranks, and what reads newcomers, where the model has them."""
    if isinstance(model, Ranks):
        save_scorer(model.ranker(), folder / RANKERS / target)
    newcomers = model.newcomers() if isinstance(model, Mimnet) else None
    if newcomers is not None:
        save_newcomers(newcomers, folder / NEWCOMERS / target)
