"""Trials on Ray Tune: as many at once as the cluster carries, stopped early by a scheduler, followed event by event."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from raymm.config import check, setting
from raymm.errors import ClusterError, reason_of
from raymm.experiment import ScaleConfig
from raymm.launch.held import held, release_since
from raymm.launch.population import Population, exchange, in_turns
from raymm.launch.room import wait_for_room
from raymm.launch.search import METRIC, MODE, Past, Trials
from raymm.launch.space import Space

STEP = "epoch"
_BRACKETS = 3  # of hyperband: the second and third spare a trial the first one and two rungs
_NEXT_TO_NOTHING = tune.PlacementGroupFactory([{"memory": 1.0}])  # a byte: some resource it must be
_SPARE_CPUS = 1  # reads data, builds graphs and does the work beside the training, for all trials in turn
_KEPT = ("best_epoch", "finished", "records", "lineage")
_HANDED_KEPT = 4  # checkpoints of a member: another one that was given the oldest has begun long before it goes

Report = Callable[[Mapping[str, Any]], None]
Work = Callable[[str, Mapping[str, Any], Report], None]
HandOver = Callable[[Mapping[str, Any], Path | None], None]
MemberWork = Callable[[str, Mapping[str, Any], Path | None, HandOver], None]


@dataclass(frozen=True)
class ScheduleConfig:
    """Which trials are stopped early, and when; or go on with another one's weights."""

    scheduler: Literal["asha", "hyperband", "fifo", "pbt"] = setting(
        "asha",
        "asha stops the worse ones early, hyperband with three degrees of patience, fifo none; pbt trains all trials"
        " beside each other, and the worse ones take over weights and changed values of the better ones",
    )
    grace_epochs: int = setting(10, "epochs that every trial may run", ge=1)
    reduction: int = setting(3, "one of so many trials goes on at each rung", ge=2)
    interval: int = setting(10, "epochs after which a trial of pbt is compared with the others, again and again", ge=1)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True, eq=False)
class Event:
    """Something that happened to a trial.

    Attributes:
        name: Name of the trial.
        kind: `started`, `reported`, `finished` (it ran to its end), `stopped` (by the scheduler or the time budget) or
            `failed`.
        values: What it tries.
        result: What it reported last: `value`, `epoch`, `finished`, `records`, of a population's member also
            `lineage`; empty before that.
        reason: Why it failed.
    """

    name: str
    kind: Literal["started", "reported", "finished", "stopped", "failed"]
    values: Mapping[str, Any]
    result: Mapping[str, Any]
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Round:
    """Trials that run together.

    Attributes:
        work: Does one trial, in a process of its own: called with its name, its values and a function that takes
            reports. A function of a module of raymm, or `functools.partial` of one. Of a population: called with name,
            values, the folder of the checkpoint that it was given or None, and a function that takes reports with
            the folder of a checkpoint or None.
        folder: Folder of Ray Tune's own files, on storage that all nodes share.
        trials: Where the trials come from; or a population, whose members may be paused, and go on with other values.
        scheduler: From `make_scheduler`.
        concurrent: Trials at the same time, from `concurrency`.
        own: Resources of a trial's own process, where it trains itself; empty where it starts workers, or is a member
            of a population.
        seconds: After which no trial goes on; None for no limit.
        reuse: Start the next trial in the process of the last one, which has everything imported. Only for trials that
            nobody stops, or that end when they report: one that is stopped inside a call that cannot be interrupted,
            such as Ray Train's `fit`, keeps its process busy, on which Ray Tune would wait for ever.
    """

    work: Work | MemberWork
    folder: Path
    trials: Trials | Population
    scheduler: Any
    concurrent: int
    own: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    reuse: bool = False


def run_round(plan: Round, on_event: Callable[[Event], None]) -> None:
    """Run trials on the Ray cluster that this process is connected to, until there are no more.

    A trial's own process asks for no CPU but what `plan.own` says: what it starts does, and whoever is told that a
    trial was stopped must see that it is given back (`held.release`); what is left then goes at the end of the round.
    An exception of a trial ends that trial alone; one of `on_event` ends them all.

    Args:
        plan: What to run.
        on_event: Called in this thread with each event, in order for each trial.

    Raises:
        KeyboardInterrupt: Somebody interrupted; all trials were stopped.
    """
    reasons = plan.folder.absolute() / "reasons"
    reasons.mkdir(parents=True, exist_ok=True)
    listener, start, before = _Listener(on_event, reasons), time.monotonic(), held()
    tuner = _tuner(plan, listener, reasons)
    log = logging.getLogger("ray.tune")
    level = log.level
    try:
        log.setLevel(logging.CRITICAL)  # it shows the traceback of every trial that fails
        tuner.fit()
    except Exception as error:
        if listener.problem is not None:  # of which Ray Tune makes a text
            raise listener.problem from error
        raise
    finally:
        log.setLevel(level)
        release_since(before)
    if listener.running and (plan.seconds is None or time.monotonic() - start < plan.seconds):
        raise KeyboardInterrupt
    listener.stop()  # what ran when the time was up, of which Ray Tune tells nobody


def make_scheduler(schedule: ScheduleConfig, epochs: int, past: Sequence[Past], space: Space | None = None) -> Any:
    """Make Ray Tune's scheduler.

    Both that stop trials are asynchronous (L. Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys
    2020): nobody waits for others at a rung, and no trial is paused.

    Args:
        schedule: Which, and how patient.
        epochs: Most epochs of a trial.
        past: Trials that ended; later ones are compared with them, as if the scheduler had seen them.
        space: What changes within a training; of a population alone, see `population.exchange`.
    """
    if schedule.scheduler == "pbt":
        return exchange(space or {}, schedule.interval)
    if schedule.scheduler == "fifo":
        return FIFOScheduler()
    grace = min(schedule.grace_epochs, epochs)
    scheduler = AsyncHyperBandScheduler(
        time_attr=STEP,
        metric=METRIC,
        mode=MODE,
        max_t=epochs,
        grace_period=grace,
        reduction_factor=schedule.reduction,
        brackets=_BRACKETS if schedule.scheduler == "hyperband" else 1,
        stop_last_trials=False,  # a trial in its last epoch still has to write its run folder
    )
    nobody: Any = None
    for one in past:
        stand_in: Any = SimpleNamespace(trial_id=one.trial.name)
        scheduler.on_trial_add(nobody, stand_in)
        for epoch, value in one.curve:
            scheduler.on_trial_result(nobody, stand_in, {STEP: epoch, METRIC: value})
    return scheduler


def concurrency(scale: ScaleConfig, asked: int) -> int:
    """Say how many trials may run at the same time.

    Each trial's workers take their CPUs for as long as it runs; one CPU stays free, on which the short tasks of all
    trials take turns. So no trial can hold what another one needs to go on.

    Args:
        scale: Of one trial, with `cpus_per_worker` above 0.
        asked: How many are wanted; 0 for as many as there is room for on the nodes that live. An autoscaler is asked
            for what is wanted, or for one where there is room for none.

    Raises:
        ClusterError: There is no room for so many, or for one, and none came.
    """
    workers = max(1, scale.workers)
    each = {"CPU": scale.cpus_per_worker, **({"GPU": 1.0} if scale.device == "cuda" else {})}
    need, spare = {name: workers * amount for name, amount in each.items()}, {"CPU": _SPARE_CPUS}
    wait_for_room([each] * (max(1, asked) * workers) + [spare], scale.node_wait_s, "--set scale.node_wait_s=0")
    have = ray.cluster_resources()
    fit = min(int((have.get(name, 0) - spare.get(name, 0)) / amount + 1e-9) for name, amount in need.items())
    if fit < max(1, asked):
        words = ", ".join(f"{amount:g} {name}" for name, amount in need.items())
        raise ClusterError(
            ", ".join(f"{have.get(name, 0):g} {name}" for name in need),
            f"{words} for each of {max(1, asked)} trials at once, and {_SPARE_CPUS} CPU for all",
            f"{scale.workers or 'no'} workers a trial",
            "lower --concurrent, --workers or scale.cpus_per_worker, or add nodes; those of an autoscaler may take"
            " longer with a larger scale.node_wait_s",
        )
    return asked or fit


def own_resources(scale: ScaleConfig) -> dict[str, float]:
    """Return what a trial's own process takes of the cluster: nothing where it starts workers."""
    if scale.workers:
        return {}
    return {"CPU": scale.cpus_per_worker, **({"GPU": 1.0} if scale.device == "cuda" else {})}


def cpus_wanted(scale: ScaleConfig, asked: int) -> int:
    """Return how many CPUs a local cluster must promise for `asked` trials at once; 0 counts as one."""
    return int(max(1, asked) * max(1, scale.workers) * scale.cpus_per_worker + _SPARE_CPUS + 0.999)


def _tuner(plan: Round, listener: _Listener, reasons: Path) -> tune.Tuner:
    # Under population based training Ray Tune takes no search: nothing proposes trials later.
    search, members = (None, plan.trials) if isinstance(plan.trials, Population) else (plan.trials, None)
    trainable = tune.with_parameters(_member if members else _trainable, work=plan.work, reasons=reasons)
    own = tune.PlacementGroupFactory([dict(plan.own)]) if plan.own else _NEXT_TO_NOTHING
    return tune.Tuner(
        tune.with_resources(trainable, in_turns(plan.concurrent) if members else own),
        param_space=members.param_space() if members else None,
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=plan.scheduler,
            num_samples=1 if members else -1,
            max_concurrent_trials=None if members else plan.concurrent,
            time_budget_s=plan.seconds,
            reuse_actors=plan.reuse,
            trial_name_creator=_name,
            trial_dirname_creator=_name,
        ),
        run_config=tune.RunConfig(
            name=f"session-{time.time_ns():x}",
            storage_path=str(plan.folder.absolute()),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=_HANDED_KEPT),
            callbacks=[listener],
            verbose=0,
        ),
    )


def _name(trial: Any) -> str:
    """Return raymm's name of a trial of Ray Tune that is just made; later its configuration may be another one's."""
    return str(trial.config["trial"])


class _Listener(tune.Callback):  # type: ignore[misc]
    """Turns what Ray Tune tells its callbacks into events."""

    def __init__(self, on_event: Callable[[Event], None], reasons: Path) -> None:
        self._on_event, self._reasons = on_event, reasons
        self.running: dict[str, Any] = {}
        self.problem: Exception | None = None

    def on_trial_start(
        self,
        iteration: int,  # noqa: ARG002 - Ray's signature
        trials: list[Any],  # noqa: ARG002
        trial: Any,
        **_: Any,
    ) -> None:
        """See `ray.tune.Callback`; one that was paused is still the same start."""
        if trial.trial_id not in self.running:
            self.running[trial.trial_id] = trial
            self._tell(trial, "started", {})

    def on_trial_result(
        self,
        iteration: int,  # noqa: ARG002 - Ray's signature
        trials: list[Any],  # noqa: ARG002
        trial: Any,
        result: dict[str, Any],
        **_: Any,
    ) -> None:
        """See `ray.tune.Callback`."""
        self._tell(trial, "reported", result)

    def on_trial_complete(
        self,
        iteration: int,  # noqa: ARG002 - Ray's signature
        trials: list[Any],  # noqa: ARG002
        trial: Any,
        **_: Any,
    ) -> None:
        """See `ray.tune.Callback`."""
        self.running.pop(trial.trial_id, None)
        result = trial.last_result or {}
        self._tell(trial, "finished" if result.get("finished") else "stopped", result)

    def on_trial_error(
        self,
        iteration: int,  # noqa: ARG002 - Ray's signature
        trials: list[Any],  # noqa: ARG002
        trial: Any,
        **_: Any,
    ) -> None:
        """See `ray.tune.Callback`."""
        self.running.pop(trial.trial_id, None)
        path = self._reasons / str(trial)
        reason = path.read_text() if path.is_file() else _last_line(Path(trial.error_file or ""))
        self._tell(trial, "failed", trial.last_result or {}, reason)

    def stop(self) -> None:
        """Say of every trial that still counts as running that it was stopped."""
        for trial in list(self.running.values()):
            self._tell(trial, "stopped", trial.last_result or {})
        self.running.clear()

    def __getstate__(self) -> dict[str, Any]:
        """Keep nothing of it in Ray Tune's own files, which nobody restores from."""
        return {}

    def _tell(self, trial: Any, kind: Any, result: Mapping[str, Any], reason: str = "") -> None:
        kept = {name: result[name] for name in (METRIC, STEP, *_KEPT) if name in result}
        try:
            self._on_event(Event(str(trial), kind, trial.config["values"], kept, reason))
        except Exception as error:
            self.problem = error
            raise


def _trainable(config: dict[str, Any], work: Work, reasons: Path) -> None:
    """Do one trial; why it failed is left in a file, as what Ray Tune tells of it is a traceback."""
    with _reason_left(reasons / config["trial"]):
        work(config["trial"], config["values"], lambda result: tune.report(dict(result)))


def _member(config: dict[str, Any], work: MemberWork, reasons: Path) -> None:
    """Do one trial of a population, with what it was given; see `_trainable`."""
    name, given = tune.get_context().get_trial_name(), tune.get_checkpoint()

    def report(result: Mapping[str, Any], checkpoint: Path | None) -> None:
        tune.report(dict(result), checkpoint=tune.Checkpoint.from_directory(checkpoint) if checkpoint else None)

    with _reason_left(reasons / name), given.as_directory() if given else nullcontext() as folder:
        work(name, config["values"], Path(folder) if folder else None, report)


@contextmanager
def _reason_left(path: Path) -> Iterator[None]:
    path.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        path.write_text(reason_of(error))
        raise


def _last_line(path: Path) -> str:
    """Return what Ray Tune wrote last of an error: of a process that died there is nothing else."""
    lines = [line.strip() for line in path.read_text().splitlines() if line.strip()] if path.is_file() else []
    return lines[-1] if lines else "the trial's process died; look at Ray's logs"
