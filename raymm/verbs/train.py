"""Train: a prepared set and an experiment to a run folder, tracked while it runs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import raymm
from raymm.artefacts import MANIFEST, verify
from raymm.data.prepared import KnownPairs, PreparedSet, open_prepared
from raymm.errors import ArtefactError, ConfigError
from raymm.experiment import Experiment
from raymm.launch.session import connect
from raymm.launch.train import run_training
from raymm.models.registry import find_model
from raymm.models.spec import ModelSpec, RatingSpec
from raymm.tracking.identity import begin_anew, has_ended, mark_ended, run_tags
from raymm.tracking.runs import Run, open_run, start_or_resume_run
from raymm.tracking.store import Tracking
from raymm.verbs.fit import fit
from raymm.verbs.journal import Journal
from raymm.verbs.ownership import owned
from raymm.verbs.rate import Made, rate_in_stages
from raymm.verbs.run import RunFolder, is_run, open_run_folder, storage_folder, tracking_folder, write_run

_EPOCHS = "epochs.jsonl"
_LOGGED = ("losses", "validation", "diagnostics", "seconds")


@dataclass(frozen=True, eq=False)
class TrainRequest:
    """What to train, on what, and where to leave it.

    Attributes:
        experiment: What to run.
        prepared: The prepared folder.
        folder: The run folder to write; an interrupted run of the same name goes on.
        known_pairs: Which shared users training knows.
        address: Ray's address, see `launch.session.connect`.
    """

    experiment: Experiment
    prepared: Path
    folder: Path
    known_pairs: KnownPairs = "drawn"
    address: str | None = None


def train(
    request: TrainRequest, tracking: Tracking | None, on_epoch: Callable[[Mapping[str, Any]], None]
) -> tuple[RunFolder, Run | None]:
    """Train, and write the run folder.

    A model in closed form is fitted in this process, one of ratings runs its stages here, and so does any other where
    the run has no workers; Ray is not started for them.

    Args:
        request: What to train.
        tracking: Where to track it; None does not.
        on_epoch: Called with each epoch's plain record.

    Returns:
        The run folder, and the tracked run. If a finished run of this name, experiment and data is there already, it is
        returned as it is.

    Raises:
        ConfigError: The name is taken by another run, or somebody trains it now.
        RaymmError: Whatever else stops a training.
    """
    prepared = prepared_for(request.experiment, request.prepared)
    if not is_run(request.folder):
        _check_place(request.folder)
    storage = storage_folder(request.folder)
    with owned(storage, "a training"):
        if is_run(request.folder):
            return _finished(request, prepared, storage, tracking), None
        return _trained(request, prepared, storage, tracking, on_epoch)


def _trained(
    request: TrainRequest,
    prepared: PreparedSet,
    storage: Path,
    tracking: Tracking | None,
    on_epoch: Callable[[Mapping[str, Any]], None],
) -> tuple[RunFolder, Run | None]:
    journal = Journal(storage / _EPOCHS)
    run = _tracked(request, tracking, prepared.fingerprint)
    start = time.time()

    def follow(record: dict[str, Any]) -> None:
        noted = journal.add(record, request.experiment.train.loop.selection)
        if noted is None:
            return
        if run is not None:
            run.log_epoch({name: noted[name] for name in _LOGGED}, noted["epoch"])
        on_epoch(noted)

    try:
        made = _made(request, prepared, storage, follow)
    except BaseException as error:
        if run is not None:
            run.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    facts = {
        "known_pairs": request.known_pairs,
        "structure": dict(made.facts),
        "source": made.source,
        "seconds": time.time() - start,
        "workers": _workers(request.experiment),
    }
    written = write_run(
        request.folder, request.experiment, prepared, journal.records(), made.scorers, facts, made.write
    )
    shutil.rmtree(storage)
    if run is not None:
        _close(run, written, prepared)
    return written, run


def prepared_for(experiment: Experiment, folder: Path) -> PreparedSet:
    """Open a prepared set as an experiment sees it, and check that the two fit.

    Raises:
        ArtefactError: A file differs from what was prepared.
        ConfigError: A cutoff above the number of items.
        DataError: The model is for another number of domains.
    """
    prepared = experiment.scope(open_prepared(folder.absolute()))  # workers have another working directory
    verify(prepared.folder, prepared.manifest)
    find_model(experiment.model).check([facts.name for facts in prepared.domains])
    _check_cutoffs(experiment, prepared)
    return prepared


def _made(
    request: TrainRequest, prepared: PreparedSet, storage: Path, follow: Callable[[dict[str, Any]], None]
) -> Made:
    experiment, spec = request.experiment, find_model(request.experiment.model)
    if isinstance(spec, ModelSpec):
        if experiment.scale.workers:
            connect(request.address, cpus=experiment.scale.workers + 2)
        outcome = run_training(experiment, prepared, storage, follow, request.known_pairs)
        return Made(outcome.scorers, outcome.structure_facts)
    storage.mkdir(parents=True, exist_ok=True)
    if isinstance(spec, RatingSpec):
        return rate_in_stages(spec, experiment, prepared, request.known_pairs, storage, follow)
    scorers, record = fit(spec, experiment, prepared, request.known_pairs)
    follow(record.plain())
    return Made(scorers, {})


def _workers(experiment: Experiment) -> int:
    return experiment.scale.workers if isinstance(find_model(experiment.model), ModelSpec) else 0


def _check_place(folder: Path) -> None:
    """Look before hours of training at where the run will be written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "a folder with content that is no run" if folder.is_dir() else "a file"
        raise ArtefactError(found, "a new or empty folder", str(folder), "choose another --name")


def _check_cutoffs(experiment: Experiment, prepared: PreparedSet) -> None:
    """Refuse a cutoff before anything is trained, where validation would refuse it after the first epoch."""
    largest = max(experiment.train.cutoffs)
    small = [f"{facts.name} has {facts.n_items:,}" for facts in prepared.domains if facts.n_items < largest]
    if small:
        raise ConfigError(
            f"a cutoff of {largest}", f"at most the number of items; {', '.join(small)}", "train.cutoffs", "lower it"
        )


def _close(run: Run, written: RunFolder, prepared: PreparedSet) -> None:
    run.log_artefact(written.folder / MANIFEST)
    run.log_artefact(prepared.folder / MANIFEST, "prepared")
    run.finish()
    mark_ended(written.tracking_folder)


def _finished(request: TrainRequest, prepared: PreparedSet, storage: Path, tracking: Tracking | None) -> RunFolder:
    """Open the run that is there already, and do what a process that died after it had written it left undone."""
    run = open_run_folder(request.folder)
    shutil.rmtree(storage)
    same = (
        run.experiment.mathematics() == request.experiment.mathematics()
        and run.data_fingerprint == prepared.fingerprint
    )
    if not same or run.manifest.facts["known_pairs"] != request.known_pairs:
        raise ConfigError(
            "a finished run of another experiment or other data",
            "a name of its own",
            str(request.folder),
            "choose another --name",
        )
    if tracking is not None and not has_ended(run.tracking_folder):
        _close(open_run(tracking, run.tracking_folder), run, prepared)
    return run


def _tracked(request: TrainRequest, tracking: Tracking | None, data: str) -> Run | None:
    folder = tracking_folder(request.folder)
    begin_anew(folder)  # a run of this name had ended, and its folder was removed since
    if tracking is None:
        return None
    tags = run_tags(request.experiment.model, data, Path(raymm.__file__).parent)
    run = start_or_resume_run(tracking, folder, request.folder.name, tags)
    facts = {"known_pairs": request.known_pairs, "data": data, "carrier": request.experiment.scale.carrier}
    run.log_params({**request.experiment.plain(), **facts})
    return run
