"""What each Ray Train worker does: make the model on its place of the grid, train, validate, checkpoint."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist

from raymm.contracts import Engine, Holdout, RecModel, Scorer
from raymm.data.prepared import PreparedSet, open_prepared
from raymm.data.sampling import TripleSource
from raymm.errors import RaymmError, TrainingError
from raymm.evaluation.ranking import rank
from raymm.evaluation.values import means_from_sums, means_over_domains
from raymm.experiment import Experiment, build_experiment
from raymm.launch.background import OnRay
from raymm.launch.held import note_held
from raymm.launch.ingest import read_positives
from raymm.models.baselines import popularity
from raymm.models.registry import find_trained
from raymm.models.spec import Place, Resumable
from raymm.parallel.grid import Grid, make_grid, share, single
from raymm.scorers import load_scorer, save_scorer
from raymm.training.checkpoint import read_whole, write_checkpoint
from raymm.training.deepspeed_engine import DeepSpeedEngine
from raymm.training.engine import TorchEngine
from raymm.training.loop import EpochRecord, LoopState, Pause, train

LOOP_FILE, BEST, ENGINE, EXTRA = "loop.json", "best", "engine", "extra"


def train_worker(request: dict[str, Any]) -> None:
    """Train one run on this rank; called by Ray Train with the request that `launch.train` made.

    An error of raymm itself is noted on the board: it would come again after a restart, so a restarted worker gives up
    at once, and the driver shows it instead of Ray's account of it.

    Args:
        request: `experiment` (plain), `prepared` (folder), `known_pairs`, `structures` (where they are),
            `board` (actor), `errands` (actor), `storage` (folder), `until` (epoch, or None for all), `start` (folder
            of the checkpoint to go on from where the run has none of its own, or None).
    """
    if ray.train.get_context().get_world_rank() == 0:
        note_held(Path(request["storage"]))
    board = request["board"]
    failure = ray.get(board.facts.remote()).get("failure")
    if failure is not None:
        raise TrainingError(failure["found"], failure["expected"], failure["where"], failure["remedy"])
    try:
        _train(request)
    except RaymmError as error:
        ray.get(board.note.remote({"failure": described(error)}))
        raise


def described(error: RaymmError) -> dict[str, str]:
    """Turn an exception into plain data."""
    return {
        "kind": type(error).__name__,
        "found": error.found,
        "expected": error.expected,
        "where": error.where,
        "remedy": error.remedy,
    }


def _train(request: dict[str, Any]) -> None:
    experiment = build_experiment(request["experiment"])
    prepared = experiment.scope(open_prepared(Path(request["prepared"])))
    grid = make_grid(experiment.scale.column_parallel, experiment.scale.data_parallel)
    device = torch.device(experiment.scale.device)
    data = prepared.train_data(request["known_pairs"])
    structures = tuple(made.open() for made in request["structures"])
    spec = find_trained(experiment.model)
    place = Place(grid, device, experiment.train.seed, _background(request["errands"], grid))
    model = spec.build(experiment.settings, data, structures, place)
    engine = _engine(model, grid, experiment, device)
    train_config = experiment.train
    source = TripleSource(
        read_positives(prepared), train_config.batch_size, train_config.seed, grid, train_config.negatives
    )
    validation = Validation(model, prepared, train_config.cutoffs, grid)
    popular = popularity.fit(popularity.PopularityConfig(), data)
    floor = Floor(validation.means(popular), train_config.loop.selection)
    with tempfile.TemporaryDirectory() as folder:
        keeper = _Keeper((model, engine), Path(folder), experiment.scale.checkpoint_every, grid, request["board"])
        pause = Pause(experiment.scale.checkpoint_steps, keeper.pause)
        state, until = keeper.resume(request["start"]), request["until"] or train_config.loop.epochs
        if state is not None and state.epoch >= until:
            return
        for record in train(model, engine, source, validation, train_config.loop, state, pause):
            last = record.finished or record.epoch >= until
            keeper.keep(record, validation.scorers, floor.compared(record.validation), last)
            if last:
                return


class Validation:
    """Ranks the validation holdouts: each rank takes its share of the users, and sums are added over all ranks.

    Args:
        model: What is validated.
        prepared: Where the holdouts are.
        cutoffs: Cutoffs K.
        grid: The grid of ranks.
    """

    def __init__(self, model: RecModel, prepared: PreparedSet, cutoffs: tuple[int, ...], grid: Grid) -> None:
        self._model, self._cutoffs, self._grid = model, cutoffs, grid
        self._holdouts: tuple[Holdout, ...] = prepared.validation()
        self.scorers: dict[str, Scorer] = {}

    def __call__(self) -> dict[str, float]:
        """Return `metric@K` as the mean over the domains, and `domain.metric@K`; equal on every rank."""
        self.scorers = {holdout.domain: self._model.scorer(holdout.domain) for holdout in self._holdouts}
        return self.means(self.scorers)

    def means(self, scorers: Mapping[str, Scorer]) -> dict[str, float]:
        """Return the same of any scorers; collective."""
        means = {}
        for holdout in self._holdouts:
            rows = share(len(holdout.users), self._grid.rank, self._grid.world_size)
            sums = rank(scorers[holdout.domain], holdout, self._cutoffs, rows).sums()
            means[holdout.domain] = means_from_sums([_added(sums)])
        return means_over_domains(means)


class Floor:
    """What popularity reaches on validation, which every epoch is compared with.

    Args:
        means: Popularity's means, as `Validation.means` returns them.
        selection: The metric that is compared, by domain.
    """

    def __init__(self, means: Mapping[str, float], selection: str) -> None:
        ends = f".{selection}"
        self._means = {name: value for name, value in means.items() if name.endswith(ends) and value > 0}
        self._ends = ends

    def compared(self, validation: Mapping[str, float]) -> dict[str, float]:
        """Return `domain.over_popularity`, a multiple of what popularity reaches; empty without a validation."""
        return {
            f"{name.removesuffix(self._ends)}.over_popularity": validation[name] / value
            for name, value in self._means.items()
            if name in validation
        }


class _Keeper:
    """Writes checkpoints and the best scorers, and goes on from them."""

    def __init__(self, trained: tuple[RecModel, Engine], folder: Path, every: int, grid: Grid, board: Any) -> None:
        self._model, self._engine = trained
        self._best, self._every, self._grid, self._board = folder / BEST, every, grid, board

    def resume(self, start: str | None) -> LoopState | None:
        """Go on from the run's last checkpoint, else from the one in `start`, if there is one."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None if start is None else self._load(Path(start))
        with checkpoint.as_directory() as folder:
            return self._load(Path(folder))

    def keep(self, record: EpochRecord, scorers: Mapping[str, Scorer], facts: Mapping[str, float], last: bool) -> None:
        """Keep what an epoch gave, `facts` among its diagnostics; collective, as all ranks write their columns."""
        if self._grid.rank == 0:
            if record.improved:
                for domain, scorer in scorers.items():
                    save_scorer(scorer, self._best / domain)
            plain = record.plain()
            ray.get(self._board.post.remote({**plain, "diagnostics": {**plain["diagnostics"], **facts}}))
        if last or record.epoch % self._every == 0:
            self._report(record.state, _reported(record))

    def pause(self, state: LoopState) -> None:
        """Write a checkpoint within an epoch; collective."""
        self._report(state, {"epoch": float(state.epoch), "step": float(state.step)})

    def _load(self, path: Path) -> LoopState:
        self._engine.load(path / ENGINE)
        if isinstance(self._model, Resumable) and (path / EXTRA).is_dir():
            self._model.load_extra_state(read_whole(path / EXTRA))
        if self._grid.rank == 0 and (path / BEST).is_dir():  # none before the first validation
            shutil.copytree(path / BEST, self._best)
        return LoopState(**json.loads((path / LOOP_FILE).read_text()))

    def _report(self, state: LoopState, metrics: dict[str, float]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._write(Path(folder), state)
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def _write(self, folder: Path, state: LoopState) -> None:
        (folder / ENGINE).mkdir()
        self._engine.save(folder / ENGINE)
        if self._grid.rank == 0:
            (folder / LOOP_FILE).write_text(json.dumps(asdict(state)) + "\n")
            extra = self._model.extra_state() if isinstance(self._model, Resumable) else {}
            if extra:
                (folder / EXTRA).mkdir()
                write_checkpoint(folder / EXTRA, single(), extra, {})
            if self._best.exists():
                shutil.copytree(self._best, folder / BEST)


def best_scorers(folder: Path, domains: tuple[str, ...]) -> dict[str, Scorer]:
    """Read the best scorers of a run's checkpoint.

    Raises:
        TrainingError: The run ended without a validation.
    """
    if not (folder / BEST).is_dir():
        raise TrainingError("no validated epoch", "at least one", str(folder), "train for more epochs")
    return {domain: load_scorer(folder / BEST / domain) for domain in domains}


def _background(errands: Any, grid: Grid) -> OnRay:
    """Join those who share the work beside the training; what workers before these asked for is forgotten first."""
    if grid.rank == 0:
        ray.get(errands.clear.remote())
    if grid.world_size > 1:
        dist.barrier()
    return OnRay(errands, asks=grid.rank == 0)


def _engine(model: RecModel, grid: Grid, experiment: Experiment, device: torch.device) -> Engine:
    if experiment.scale.engine == "torch":
        return TorchEngine(model, grid, experiment.train.optimizer, device)
    return DeepSpeedEngine(model, grid, experiment.train.optimizer, experiment.scale.deepspeed, device)


def _added(sums: Mapping[str, float]) -> dict[str, float]:
    """Add sums over all ranks; the number of users is one of them, so means of unequal shares are exact."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return dict(sums)
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    values = torch.tensor(list(sums.values()), dtype=torch.float64, device=device)
    dist.all_reduce(values)
    return dict(zip(sums, values.tolist(), strict=True))


def _reported(record: EpochRecord) -> dict[str, float]:
    return {"epoch": float(record.epoch), **record.losses, **record.validation}
