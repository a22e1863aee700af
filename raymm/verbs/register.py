"""Register: an evaluated run to a version in the model registry."""

from __future__ import annotations

from pathlib import Path

from raymm import artefacts
from raymm.errors import ArtefactError
from raymm.report.page import PAGE, RECORD
from raymm.report.record import read_record
from raymm.tracking import registry
from raymm.tracking.registry import RegisteredModel
from raymm.tracking.runs import start_or_resume_run
from raymm.tracking.store import Tracking
from raymm.verbs import evaluate
from raymm.verbs.evaluate import Evaluation, matching_prepared, report_folder
from raymm.verbs.run import open_run_folder


def register(
    run_folder: Path, prepared_folder: Path | None, tracking: Tracking, name: str | None, alias: str
) -> RegisteredModel:
    """Register an evaluated run, with its test metrics and its lineage.

    Args:
        run_folder: The run.
        prepared_folder: The prepared set, if it was moved since the training.
        tracking: Store and registry.
        name: Name in the registry; by default `raymm-` and the model's.
        alias: Alias to set.

    Raises:
        ArtefactError: The run is missing, damaged or not evaluated.
        TrackingError: The registry does not answer, or refuses.
    """
    run = open_run_folder(run_folder)
    folder = report_folder(run.folder)
    if not (folder / artefacts.MANIFEST).is_file():
        raise ArtefactError("no report", "an evaluated run", str(run.folder), f"first: raymm evaluate {run.folder}")
    artefacts.verify(folder, artefacts.read_manifest(folder, evaluate.KIND, evaluate.SCHEMA))
    evaluation = Evaluation(run, read_record(folder / RECORD), folder / PAGE)
    prepared = matching_prepared(run, prepared_folder)
    tracked = start_or_resume_run(tracking, run.tracking_folder, run.name)
    tracked.finish()
    tracked.flush()
    return registry.register(
        tracking,
        tracked.run_id,
        run.folder,
        prepared.folder,
        name or f"raymm-{run.experiment.model}",
        alias,
        evaluation.metrics(),
    )
