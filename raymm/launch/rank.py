"""What one rank does: make the model on its place of the grid, train, validate, checkpoint."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist

from raymm.contracts import Engine, Holdout, RecModel, Scorer
from raymm.data.prepared import KnownPairs, PreparedSet
from raymm.data.sampling import Positives, TripleSource
from raymm.errors import TrainingError
from raymm.evaluation.ranking import rank
from raymm.evaluation.values import means_from_sums, means_over_domains
from raymm.experiment import Experiment
from raymm.launch.board import AGAIN
from raymm.models.baselines import popularity
from raymm.models.registry import find_trained
from raymm.models.spec import Background, Place, Resumable, Structure
from raymm.parallel.grid import Grid, make_grid, share, single
from raymm.scorers import load_scorer, save_scorer
from raymm.training.checkpoint import read_whole, write_checkpoint
from raymm.training.deepspeed_engine import DeepSpeedEngine
from raymm.training.engine import TorchEngine
from raymm.training.loop import EpochRecord, LoopState, Pause, train

LOOP_FILE, RECORDS_FILE, BEST, ENGINE, EXTRA = "loop.json", "records.json", "best", "engine", "extra"


class Host(Protocol):
    """What surrounds a rank: where its rows come from, and where what it makes goes."""

    def positives(self, prepared: PreparedSet) -> tuple[Positives, ...]:
        """Return the training rows of every domain; collective."""
        ...

    def background(self, grid: Grid) -> Background:
        """Return who does long work beside the training; collective."""
        ...

    def checkpoint(self) -> AbstractContextManager[Path | None]:
        """Give the folder of the run's last checkpoint, None where it has none yet."""
        ...

    def report(self, metrics: dict[str, float], folder: Path) -> None:
        """Keep what a rank wrote into `folder` as its part of a checkpoint; collective."""
        ...

    def post(self, record: dict[str, Any]) -> None:
        """Tell an epoch's plain record; called by the first rank.

        A driver that was killed may not have noted what it was told last. Records of a checkpoint are therefore told
        again when a run goes on from it, marked `AGAIN`.
        """
        ...


@dataclass(frozen=True, eq=False)
class RankWork:
    """What a rank is to do.

    Attributes:
        experiment: The run.
        prepared: The data, as the run sees them.
        known_pairs: Which shared users training knows.
        structures: What was made of each domain before, in order.
        start: Folder of the checkpoint to go on from where the run has none of its own; None starts anew.
        until: Epoch after which to end, where the training does not end before.
    """

    experiment: Experiment
    prepared: PreparedSet
    known_pairs: KnownPairs
    structures: tuple[Structure, ...]
    start: Path | None
    until: int


def train_rank(work: RankWork, host: Host) -> None:
    """Train on this rank; every rank of the grid runs it alike.

    Args:
        work: What to do.
        host: What surrounds the rank.

    Raises:
        RaymmError: Whatever stops the training.
    """
    experiment, prepared, train_config = work.experiment, work.prepared, work.experiment.train
    grid = make_grid(experiment.scale.column_parallel, experiment.scale.data_parallel)
    device = torch.device(experiment.scale.device)
    data = prepared.train_data(work.known_pairs)
    spec = find_trained(experiment.model)
    place = Place(grid, device, train_config.seed, host.background(grid))
    model = spec.build(experiment.settings, data, work.structures, place)
    engine = _engine(model, grid, experiment, device)
    positives = host.positives(prepared)
    source = TripleSource(positives, train_config.batch_size, train_config.seed, grid, train_config.negatives)
    validation = Validation(model, prepared, train_config.cutoffs, grid, train_config.candidates)
    popular = popularity.fit(popularity.PopularityConfig(), data)
    floor = Floor(validation.means(popular), train_config.loop.selection)
    with tempfile.TemporaryDirectory() as folder:
        keeper = _Keeper((model, engine), Path(folder), experiment.scale.checkpoint_every, grid, host)
        pause = Pause(experiment.scale.checkpoint_steps, keeper.pause)
        state, until = keeper.resume(work.start), work.until
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
        candidates: Other items to rank among, see `rank`; 0 takes all.
    """

    def __init__(
        self, model: RecModel, prepared: PreparedSet, cutoffs: tuple[int, ...], grid: Grid, candidates: int = 0
    ) -> None:
        self._model, self._cutoffs, self._grid, self._candidates = model, cutoffs, grid, candidates
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
            scorer = scorers[holdout.domain]
            sums = rank(scorer, holdout, self._cutoffs, rows, candidates=self._candidates).sums()
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

    def __init__(self, trained: tuple[RecModel, Engine], folder: Path, every: int, grid: Grid, host: Host) -> None:
        self._model, self._engine = trained
        self._best, self._every, self._grid, self._host = folder / BEST, every, grid, host
        self._records: list[dict[str, Any]] = []

    def resume(self, start: Path | None) -> LoopState | None:
        """Go on from the run's last checkpoint, else from the one in `start`, if there is one."""
        with self._host.checkpoint() as own:
            folder = own or start
            if folder is None:
                return None
            state = self._load(folder)
            if own is not None and self._grid.rank == 0:
                for record in self._records:
                    self._host.post({**record, AGAIN: True})
            return state

    def keep(self, record: EpochRecord, scorers: Mapping[str, Scorer], facts: Mapping[str, float], last: bool) -> None:
        """Keep what an epoch gave, `facts` among its diagnostics; collective, as all ranks write their columns."""
        if self._grid.rank == 0:
            if record.improved:
                for domain, scorer in scorers.items():
                    save_scorer(scorer, self._best / domain)
            plain = record.plain()
            self._records.append({**plain, "diagnostics": {**plain["diagnostics"], **facts}})
            self._host.post(self._records[-1])
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
        if self._grid.rank == 0 and (path / RECORDS_FILE).is_file():  # none in checkpoints of raymm before it kept them
            self._records = json.loads((path / RECORDS_FILE).read_text())
        return LoopState(**json.loads((path / LOOP_FILE).read_text()))

    def _report(self, state: LoopState, metrics: dict[str, float]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self._write(Path(folder), state)
            self._host.report(metrics, Path(folder))

    def _write(self, folder: Path, state: LoopState) -> None:
        (folder / ENGINE).mkdir()
        self._engine.save(folder / ENGINE)
        if self._grid.rank == 0:
            (folder / LOOP_FILE).write_text(json.dumps(asdict(state)) + "\n")
            (folder / RECORDS_FILE).write_text(json.dumps(self._records) + "\n")
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


def _engine(model: RecModel, grid: Grid, experiment: Experiment, device: torch.device) -> Engine:
    if experiment.scale.carrier == "torch":
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
