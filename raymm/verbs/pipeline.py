"""The whole way in one go: prepare, train, evaluate, register."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from raymm.data.prepared import KnownPairs
from raymm.data.summary import PreparedSummary
from raymm.experiment import Experiment
from raymm.launch.session import connect
from raymm.models.registry import TRAINED
from raymm.tracking.store import Tracking
from raymm.verbs.evaluate import Evaluation, evaluate
from raymm.verbs.prepare import prepare
from raymm.verbs.register import RegisterRequest, Registration, register
from raymm.verbs.train import TrainRequest, train

SAMPLE = "arts_office"


@dataclass(frozen=True, eq=False)
class PipelineRequest:
    """What to do.

    Attributes:
        experiment: What to train.
        recipe: What to prepare; None for the bundled sample.
        prepared: Where the prepared set goes, or stands; None for `prepared/` and the recipe's folder name.
        folder: The run folder to write.
        registry_name: Name in the registry; None for `raymm-` and the model's.
        alias: Alias to set.
        known_pairs: Which shared users training knows.
        address: Ray's address.
    """

    experiment: Experiment
    recipe: Path | None
    prepared: Path | None
    folder: Path
    registry_name: str | None
    alias: str
    known_pairs: KnownPairs
    address: str


class Audience(Protocol):
    """Whom the pipeline tells how it goes."""

    def step(self, title: str) -> None:
        """A part of the work begins."""
        ...

    def progress(self, label: str, done: int, total: int, extra: str = "") -> None:
        """A part has come so far."""
        ...

    def prepared(self, summary: PreparedSummary) -> None:
        """The data are prepared."""
        ...

    def epoch(self, record: Mapping[str, Any], epochs: int, selection: str) -> None:
        """An epoch was trained."""
        ...

    def warn(self, words: str) -> None:
        """Something went another way than asked, and the work goes on."""
        ...


@dataclass(frozen=True, eq=False)
class PipelineResult:
    """What came of it: the evaluation, and the registered model."""

    evaluation: Evaluation
    registration: Registration


def run_pipeline(request: PipelineRequest, tracking: Tracking, audience: Audience) -> PipelineResult:
    """Prepare (or reuse what is prepared), train, evaluate on the test set, write the report, register the model.

    Raises:
        RaymmError: Whatever stops one of the verbs.
    """
    experiment, loop = request.experiment, request.experiment.train.loop
    workers = experiment.scale.workers
    recipe = request.recipe or bundled_recipe()
    prepared = request.prepared or Path("prepared") / recipe.absolute().parent.name
    audience.step(f"Preparing {recipe.parent.name}")
    connect(request.address, cpus=workers + 2)
    audience.prepared(prepare(recipe, prepared, progress=audience.progress))
    where = f" on {workers} Ray Train workers" if experiment.model in TRAINED and workers else ""
    audience.step(f"Training {experiment.model} ({experiment.preset}){where}")
    run, tracked = train(
        TrainRequest(experiment, prepared, request.folder, request.known_pairs, request.address),
        tracking,
        lambda record: audience.epoch(record, loop.epochs, loop.selection),
    )
    if tracked is not None and tracked.problem is not None:
        audience.warn(f"tracking: {tracked.problem.found}; {tracked.problem.remedy}")
    audience.step("Evaluating on the test set")
    evaluation = evaluate(run.folder, prepared, tracking, audience.progress)
    audience.step("Registering the model")
    asked = RegisterRequest(run.folder, prepared, request.registry_name, request.alias, alias_or_none=True)
    registration = register(asked, tracking)
    if not registration.has_alias:
        audience.warn(f"registered without the alias {request.alias!r}: {registration.words}")
    return PipelineResult(evaluation, registration)


def bundled_recipe() -> Path:
    """Return the recipe of the data that come with raymm."""
    return Path(str(importlib.resources.files("raymm.data"))) / "samples" / SAMPLE / "recipe.toml"
