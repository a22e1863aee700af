"""Training on Ray Train or in this process: structures, ranks on a grid, checkpoints, resume by the run's name."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.train import CheckpointConfig, FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from raymm import errors
from raymm.artefacts import fingerprint
from raymm.contracts import Scorer
from raymm.data.prepared import KnownPairs, PreparedSet
from raymm.errors import ClusterError, ConfigError, RaymmError, TrainingError
from raymm.experiment import Experiment, ScaleConfig
from raymm.launch.alone import last_checkpoint, train_alone
from raymm.launch.background import start_errands
from raymm.launch.board import start_board
from raymm.launch.ingest import WholeShards, check_memory, training_dataset
from raymm.launch.rank import RankWork, best_scorers
from raymm.launch.room import wait_for_room
from raymm.launch.structures import Made, make_structures
from raymm.launch.worker import train_worker
from raymm.models.registry import find_trained

_REQUEST, _BY_RAY, _POLL_S = "request.json", "checkpoints", 0.2


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a training: its workers end at an epoch, and others go on from their checkpoint later.

    Attributes:
        until: Epoch after which it ends, where the training does not end before; a validated one.
        start: Folder of the checkpoint that it goes on from where `storage` has none of its own: maybe of a training
            with other settings, but with the same parameters in the same shapes. None starts anew.
    """

    until: int
    start: Path | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a training, or a part of one, left.

    Attributes:
        scorers: Domain to the scorer of the best validated epoch.
        structure_facts: `domain.fact` to value, what was observed when graphs, clusters and votes were made; what hangs
            on all domains has the names of all, joined by hyphens.
        checkpoint: Folder of the last checkpoint, in the training's storage.
    """

    scorers: Mapping[str, Scorer]
    structure_facts: Mapping[str, float]
    checkpoint: Path


def run_training(
    experiment: Experiment,
    prepared: PreparedSet,
    storage: Path,
    on_epoch: Callable[[dict[str, Any]], None],
    known_pairs: KnownPairs = "drawn",
    part: Part | None = None,
) -> Outcome:
    """Train on the Ray cluster that this process is connected to; in this process where the run has no workers.

    Args:
        experiment: What to run.
        prepared: The data, as `experiment.scope` shows them; every worker must be able to read the folder at the same
            path.
        storage: Folder of checkpoints, on storage that all nodes share; a run that was interrupted goes on from what is
            there, if experiment and data are the same. What a process without workers left, workers go on from, but
            not the other way round.
        on_epoch: Called with the plain record of each epoch, in order; with workers, in a thread of its own. After an
            interruption an epoch may come again.
        known_pairs: Which shared users are known, see `PreparedSet.train_data`.
        part: What to do of it now; None for all.

    Raises:
        ConfigError: `storage` belongs to another experiment or other data, or to workers where there are none.
        ClusterError: The cluster has not the resources, or the workers died more often than allowed.
        RaymmError: Whatever went wrong on a worker.
    """
    find_trained(experiment.model).check([facts.name for facts in prepared.domains])
    check_memory(prepared, experiment.scale.rows_gib)
    _claim(storage, experiment, prepared, known_pairs)
    run = _Run(experiment, prepared, storage, known_pairs, part or Part(experiment.train.loop.epochs))
    made, checkpoint = (_on_ray if experiment.scale.workers else _here)(run, on_epoch)
    scorers = best_scorers(checkpoint, tuple(facts.name for facts in prepared.domains))
    facts = {f"{structure.name}.{name}": value for structure in made for name, value in structure.facts.items()}
    return Outcome(scorers, facts, checkpoint)


@dataclass(frozen=True, eq=False)
class _Run:
    experiment: Experiment
    prepared: PreparedSet
    storage: Path
    known_pairs: KnownPairs
    part: Part


def _here(run: _Run, on_epoch: Callable[[dict[str, Any]], None]) -> tuple[tuple[Made, ...], Path]:
    if any((run.storage / _BY_RAY).glob("checkpoint_*")):
        raise ConfigError(
            "a run that has checkpoints of Ray Train workers",
            "one that was always without workers",
            str(run.storage),
            "go on with --workers 1 or more, choose another --name, or remove this folder",
        )
    made = make_structures(run.experiment, run.prepared, run.known_pairs)
    opened = tuple(structure.open() for structure in made)
    work = RankWork(run.experiment, run.prepared, run.known_pairs, opened, run.part.start, run.part.until)
    return made, train_alone(work, run.storage, on_epoch)


def _on_ray(run: _Run, on_epoch: Callable[[dict[str, Any]], None]) -> tuple[tuple[Made, ...], Path]:
    resources = _resources(run.experiment)
    made = make_structures(run.experiment, run.prepared, run.known_pairs)
    board = start_board()
    start = last_checkpoint(run.storage) or run.part.start
    request = {
        "experiment": run.experiment.plain(),
        "prepared": str(run.prepared.folder),
        "known_pairs": run.known_pairs,
        "structures": made,
        "board": board,
        "errands": start_errands(),
        "storage": str(run.storage.absolute()),
        "until": run.part.until,
        "start": str(start.absolute()) if start is not None else None,
    }
    with _following(board, on_epoch):
        result = _fit(_trainer(request, run.experiment, run.prepared, run.storage, resources), board)
    if result.checkpoint is None:
        if start is not None:  # it was at its end already
            return made, start
        raise TrainingError("no checkpoint", "one at the end of training", str(run.storage))
    return made, Path(result.checkpoint.path)


def _trainer(
    request: dict[str, Any],
    experiment: Experiment,
    prepared: PreparedSet,
    storage: Path,
    resources: dict[str, float],
) -> TorchTrainer:
    scale = experiment.scale
    return TorchTrainer(
        train_worker,
        train_loop_config=request,
        scaling_config=ScalingConfig(
            num_workers=scale.workers, use_gpu=scale.device == "cuda", resources_per_worker=resources
        ),
        # Ray's annotations know the first version of Train only.
        run_config=RunConfig(  # type: ignore[call-arg]
            name=_BY_RAY,
            storage_path=str(storage.absolute()),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=scale.max_failures),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
        datasets={facts.name: training_dataset(prepared, facts.name) for facts in prepared.domains},
        dataset_config=WholeShards(),
    )


def _claim(storage: Path, experiment: Experiment, prepared: PreparedSet, known_pairs: str) -> None:
    """Note in `storage` whose checkpoints it holds, or check that they are this run's."""
    request = {"mathematics": experiment.mathematics(), "data": prepared.fingerprint, "known_pairs": known_pairs}
    path = storage / _REQUEST
    if path.is_file():
        stored = json.loads(path.read_text())
        if fingerprint(stored) != fingerprint(request):
            different = ", ".join(name for name in request if stored.get(name) != request[name])
            raise ConfigError(
                f"checkpoints of a run with another {different}",
                "the same experiment on the same data",
                str(storage),
                "choose another --name, or remove this folder",
            )
        return
    storage.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(request, indent=1, sort_keys=True) + "\n")


def _resources(experiment: Experiment) -> dict[str, float]:
    """Give each worker its share of the CPUs, and leave one: for reading data, later for work beside the training."""
    scale = experiment.scale
    each, short = _shares(scale)
    if short:
        asked = {**each, "CPU": scale.cpus_per_worker or 1.0}  # of nodes that nobody knows yet, no share can be told
        wait_for_room([asked] * scale.workers + [{"CPU": 1.0}], scale.node_wait_s, "--set scale.node_wait_s=0")
        each, short = _shares(scale)
    if short:
        raise ClusterError(
            ", ".join(f"{have:g} {name}" for name, (have, _) in short.items()),
            ", ".join(f"{need:g} {name}" for name, (_, need) in short.items()),
            f"{scale.workers} workers",
            "lower scale.workers or scale.cpus_per_worker, or add nodes; those of an autoscaler may take longer with a"
            " larger scale.node_wait_s",
        )
    return each


def _shares(scale: ScaleConfig) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return what each worker gets, and what there is and must be of whatever is short for that."""
    have = ray.cluster_resources()
    cpus = scale.cpus_per_worker or max(0.01, (have.get("CPU", 0) - 1) / scale.workers)
    cpus = float(int(cpus)) if cpus >= 1 else round(cpus - 0.004, 2)
    each, need = {"CPU": cpus}, {"CPU": cpus * scale.workers + 1}
    if scale.device == "cuda":
        each["GPU"], need["GPU"] = 1.0, float(scale.workers)
    short = {name: (have.get(name, 0.0), amount) for name, amount in need.items() if have.get(name, 0) < amount}
    return each, short


@contextmanager
def _following(board: Any, on_epoch: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Hand records to `on_epoch` while the body runs, and the rest at its end."""
    stop, problems = threading.Event(), []

    def follow() -> None:
        position, ended = 0, False
        while not ended:
            ended = stop.wait(_POLL_S)  # one more look after the end
            try:
                records, position = ray.get(board.since.remote(position))
                for record in records:
                    on_epoch(record)
            except Exception as error:  # noqa: BLE001 - raised by the caller's thread below
                problems.append(error)
                return

    thread = threading.Thread(target=follow, name="epochs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if problems:
        raise problems[0]


def _fit(trainer: TorchTrainer, board: Any) -> Any:
    try:
        return trainer.fit()
    except Exception as error:
        failure = ray.get(board.facts.remote()).get("failure")
        if failure is not None:
            raise rebuilt(failure) from error
        raise ClusterError(
            _first_line(error),
            "workers that end well",
            "Ray Train",
            "look at the workers' logs (`ray logs`, or the dashboard); lower memory use if they were killed",
        ) from error


def rebuilt(failure: Mapping[str, str]) -> RaymmError:
    """Make the exception again that a worker described with `described`."""
    kind = getattr(errors, failure["kind"], TrainingError)
    made: RaymmError = kind(failure["found"], failure["expected"], failure["where"], failure["remedy"])
    return made


def _first_line(error: BaseException) -> str:
    causes = getattr(error, "worker_failures", None) or {0: error}
    rank, cause = next(iter(causes.items()))
    lines = [line for line in str(cause).strip().splitlines() if line.strip()]
    return f"worker {rank}: {lines[-1].strip() if lines else type(cause).__name__}"
