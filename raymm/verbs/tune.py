"""Tune: prepared data, models and spaces to a sweep folder: trials, finalists over several seeds, the best settings."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from raymm import config
from raymm.artefacts import verify
from raymm.config import check, setting
from raymm.data.prepared import KnownPairs, PreparedSet, open_prepared
from raymm.errors import ConfigError, TrackingError
from raymm.experiment import Experiment, build_experiment
from raymm.launch.population import Population
from raymm.launch.search import Past, Trial, Trials, listed, make_source
from raymm.launch.session import connect
from raymm.launch.space import Space, plain_space
from raymm.launch.tune import (
    Event,
    Round,
    ScheduleConfig,
    concurrency,
    cpus_wanted,
    make_scheduler,
    own_resources,
    run_round,
)
from raymm.models.registry import find_model
from raymm.models.spec import FitSpec
from raymm.report.importance import importance
from raymm.report.sweep import PAGE, RECORD, sweep_report
from raymm.report.sweep_record import Finalist, ModelSweep, Stage, SweepRecord, TrialRecord, distinct, ranked
from raymm.tracking.store import Tracking
from raymm.tracking.sweeps import SweepTracker, tracked_sweep
from raymm.verbs.best import write_best
from raymm.verbs.ledger import Ledger, Start
from raymm.verbs.member import run_member, run_schedule
from raymm.verbs.ownership import owned
from raymm.verbs.population import check_population, release_all, values_now
from raymm.verbs.run import storage_folder
from raymm.verbs.trial import TrialPlace, nested, run_trial

REQUEST, LEDGER, TRIALS = "request.json", "trials.jsonl", "trials"

SMALLEST = 4  # population of which a quarter is one


@dataclass(frozen=True)
class SweepConfig:
    """How much is tried, how, and how often the best is repeated."""

    trials: int = setting(20, "trials of each model's search, failed ones included", ge=1)
    minutes: float = setting(0.0, "time of each model's search; 0 sets no limit", unit="minutes", ge=0)
    search: Literal["optuna", "random", "grid"] = setting(
        "optuna", "who proposes the next trial; all at once, and so by random or grid, under the scheduler pbt"
    )
    schedule: ScheduleConfig = setting(ScheduleConfig, "who is stopped early")
    seed: int = setting(0, "seed of the search", ge=0)
    finalists: int = setting(3, "best trials of a model that are repeated with other seeds", ge=1)
    seeds: int = setting(3, "seeds of each finalist, that of its trial included", ge=1)
    concurrent: int = setting(0, "trials at the same time; 0 for as many as the cluster carries", ge=0)

    def __post_init__(self) -> None:
        """Check the limits, and that a population is one."""
        check(self)
        if self.schedule.scheduler == "pbt" and self.search == "optuna":
            raise ConfigError("search: found 'optuna' under pbt, which learns from trials that ended; random or grid")
        if self.schedule.scheduler == "pbt" and self.trials < SMALLEST:
            raise ConfigError(f"trials: found {self.trials} under pbt, expected a population of at least {SMALLEST}")


@dataclass(frozen=True, eq=False)
class TuneRequest:
    """What to tune, on what, and where to leave it.

    Attributes:
        values: Model to the plain experiment that its trials start from, with `model` among it.
        spaces: Model to what is searched; the same models, in the same order.
        sweep: How.
        prepared: The prepared folder.
        folder: The sweep's folder; a sweep that was interrupted goes on from what is there.
        known_pairs: Which shared users training knows.
        address: Ray's address, see `launch.session.connect`.
    """

    values: Mapping[str, Mapping[str, Any]]
    spaces: Mapping[str, Space]
    sweep: SweepConfig
    prepared: Path
    folder: Path
    known_pairs: KnownPairs = "drawn"
    address: str | None = None


class Audience(Protocol):
    """Whom a sweep tells how it goes."""

    def step(self, title: str) -> None:
        """A part of the work begins."""
        ...

    def trial(self, trial: TrialRecord, ledger: Ledger) -> None:
        """Something happened to a trial."""
        ...


@dataclass(frozen=True, eq=False)
class SweepResult:
    """What a sweep left.

    Attributes:
        record: All that its page says.
        best: Model to the file of its best settings, for `raymm train --config`; none where all trials failed.
        problem: What could not be tracked; None if all was.
    """

    record: SweepRecord
    best: Mapping[str, Path]
    problem: TrackingError | None = None


def tune(request: TuneRequest, tracking: Tracking | None, audience: Audience) -> SweepResult:
    """Search the settings of each model with the same budget, repeat the best with several seeds, and compare.

    Trials are chosen by the selection metric on validation; the test set is in nobody's reach. What ended is never done
    again: a driver that was killed is started again with the same request, whereupon trials that were interrupted go on
    from their last checkpoints. More trials, minutes or seeds may then be asked for than at first.

    Args:
        request: What to tune.
        tracking: Where to track it, as one parent run with one child a trial; None does not.
        audience: Whom to tell how it goes.

    Raises:
        ConfigError: The name is taken by another sweep, or a setting that is searched does not exist.
        ClusterError: The cluster has no room for a trial.
        RaymmError: Whatever else stops a sweep; a failed trial does not.
    """
    prepared = open_prepared(request.prepared.absolute())  # workers have another working directory
    verify(prepared.folder, prepared.manifest)
    starts = {model: _start(request, model, prepared) for model in request.values}
    metrics = sorted({start.train.loop.selection for start in starts.values()})
    if len(metrics) > 1:
        raise ConfigError(f"{', '.join(metrics)}", "one metric for all models", "train.loop.selection", "choose one")
    with owned(request.folder):
        _claim(request, starts, prepared)
        ledger = Ledger(request.folder / LEDGER)
        ledger.begin_session()
        with tracked_sweep(tracking, request.folder, prepared.fingerprint, _method(request)) as tracker:
            sweep = _Sweep(request, starts, ledger, tracker, audience)
            for model in starts:
                sweep.search(model)
            for model in starts:
                sweep.repeat(model)
            result = _write(sweep, request, prepared)
            tracker.finish(result.record, [*result.best.values(), *(request.folder / name for name in (PAGE, RECORD))])
    return SweepResult(result.record, result.best, tracker.problem)


def _write(sweep: _Sweep, request: TuneRequest, prepared: PreparedSet) -> SweepResult:
    """Write page, record and best settings over those of an earlier session; checkpoints of stopped trials go."""
    ledger, models = sweep.ledger, []
    for trial in ledger.trials:
        if trial.state == "stopped":
            shutil.rmtree(storage_folder(request.folder / TRIALS / trial.name), ignore_errors=True)
    for model, space in request.spaces.items():
        searched = ledger.of(model)
        # Values that came and went say nothing of what an end was due to.
        weights = {} if request.sweep.schedule.scheduler == "pbt" else importance(searched, list(space))
        models.append(ModelSweep(model, (*searched, *ledger.of(model, repeats=True)), sweep.finalists(model), weights))
    metric = next(iter(sweep.starts.values())).train.loop.selection
    record = SweepRecord(
        name=request.folder.name,
        metric=metric,
        data=str(prepared.folder.name),
        data_fingerprint=prepared.fingerprint,
        created=time.time(),
        sessions=ledger.sessions,
        models=tuple(models),
        method=_method(request),
    )
    sweep_report(record, request.folder)
    best = {}
    for found in record.models:
        if found.winner is not None:
            path = request.folder / f"best_{found.model}.toml"
            write_best(path, request.values[found.model], found, metric)
            best[found.model] = path
    return SweepResult(record, best)


class _Sweep:
    """Runs rounds of trials, and writes down and passes on what happens to them."""

    def __init__(
        self,
        request: TuneRequest,
        starts: Mapping[str, Experiment],
        ledger: Ledger,
        tracker: SweepTracker,
        audience: Audience,
    ) -> None:
        self._request, self.starts, self.ledger = request, starts, ledger
        self._population = request.sweep.schedule.scheduler == "pbt"
        self._tracker, self._audience = tracker, audience

    def search(self, model: str) -> None:
        """Run what is left of a model's search."""
        sweep, space, start = self._request.sweep, self._request.spaces[model], self.starts[model]
        trials = self.ledger.of(model)
        past = [
            Past(Trial(trial.name, trial.values), trial.value, trial.curve)
            for trial in trials
            if trial.state != "running"
        ]
        waiting = [
            Trial(trial.name, values_now(self._storage(trial.name), trial))
            for trial in trials
            if trial.state == "running"
        ]
        count, phase = sweep.trials - len(trials), f"search {model}"
        seconds = sweep.minutes * 60 - self.ledger.seconds(phase) if sweep.minutes else None
        if seconds is not None and seconds <= 0:
            for trial in waiting:
                self.ledger.ended(trial.name, "stopped")
            return
        if not waiting and count <= 0:
            return
        source = make_source(sweep.search, space, sweep.seed, sweep.trials, past)
        found = Trials(source, waiting, max(0, count), lambda number: f"{model}-{number:03d}", past)
        scheduler = make_scheduler(sweep.schedule, start.train.loop.epochs, past, space)
        self._audience.step(f"Searching {model}: {len(past)} trials done, {len(waiting)} go on, {max(0, count)} new")
        if self._population:
            work = partial(run_member, self._place(model), sweep.schedule.interval)
            self._round(model, phase, work, Population(found.all()), scheduler, seconds)
        else:
            self._round(model, phase, partial(run_trial, self._place(model)), found, scheduler, seconds)

    def repeat(self, model: str) -> None:
        """Run what is left of the other seeds of a model's finalists."""
        done = {trial.name for trial in self.ledger.of(model, repeats=True) if trial.state != "running"}
        left = [run for runs in self._repeats(model).values() for run in runs if run.name not in done]
        if left:
            self._audience.step(f"Repeating the best of {model} with other seeds: {len(left)} runs")
            scheduler = make_scheduler(ScheduleConfig("fifo"), 1, ())
            work: Any = partial(run_trial, self._place(model))
            if self._population:
                schedules = {run.name: self.ledger.trial(run.name.rpartition("-seed")[0]).stages for run in left}
                work = partial(run_schedule, self._place(model), schedules)
            self._round(model, f"repeat {model}", work, listed(left), scheduler, None)

    def finalists(self, model: str) -> tuple[Finalist, ...]:
        """Return the finalists with what their seeds gave, the best mean first."""
        found = []
        for name, runs in self._repeats(model).items():
            trial = self.ledger.trial(name)
            seeds = {str(trial.seed): trial.value} if trial.state == "finished" else {}
            records = [self.ledger.trial(run.name) for run in runs]
            seeds |= {str(record.seed): record.value for record in records}
            rated = {seed: value for seed, value in seeds.items() if value is not None}
            found.append(Finalist(name, trial.values, rated, len(seeds) - len(rated), trial.schedule))
        return tuple(sorted(found, key=lambda finalist: -finalist.mean))

    def _repeats(self, model: str) -> dict[str, list[Trial]]:
        """Name of each finalist to the runs that it needs beside its own trial."""
        sweep = self._request.sweep
        best = distinct(ranked(self.ledger.of(model)))[: sweep.finalists]
        seeds = 1 if isinstance(find_model(model), FitSpec) else sweep.seeds  # a closed form has no chance in it
        runs = {}
        for trial in best:
            others = [trial.seed + step for step in range(seeds) if step or trial.state != "finished"]
            runs[trial.name] = [
                Trial(f"{trial.name}-seed{seed}", {**trial.values, "train.seed": seed}) for seed in others
            ]
        return runs

    def _round(
        self, model: str, phase: str, work: Any, trials: Trials | Population, scheduler: Any, seconds: float | None
    ) -> None:
        start, request = self.starts[model], self._request
        connect(request.address, cpus=cpus_wanted(start.scale, request.sweep.concurrent))
        concurrent = concurrency(start.scale, request.sweep.concurrent)
        self.ledger.begin_phase(phase)
        fits, own = isinstance(find_model(model), FitSpec), own_resources(start.scale)
        # Members are stopped between two parts alone, and who trains himself between two epochs: nothing keeps their
        # processes busy.
        reuse = fits or isinstance(trials, Population) or bool(own)
        folder = request.folder.absolute() / "tune"
        plan = Round(work, folder, trials, scheduler, concurrent, {} if fits else own, seconds, reuse)
        run_round(plan, partial(self._on, model))

    def _place(self, model: str) -> TrialPlace:
        request = self._request
        folder = request.folder.absolute() / TRIALS
        return TrialPlace(self.starts[model].plain(), request.prepared.absolute(), folder, request.known_pairs)

    def _storage(self, trial: str) -> Path:
        return storage_folder(self._request.folder.absolute() / TRIALS / trial)

    def _on(self, model: str, event: Event) -> None:
        """Write an event down first, then pass it on."""
        ledger, result, start = self.ledger, event.result, self.starts[model]
        if event.kind == "started":
            seed = event.values.get("train.seed", start.train.seed)
            repeats = event.name.rpartition("-seed")[0]
            ledger.started(event.name, event.values, Start(model, seed, repeats))
            self._tracker.started(ledger.trial(event.name), nested(start.plain(), event.values))
        elif event.kind == "reported":
            self._change(model, event.name, result.get("lineage"))
            ledger.reported(event.name, result["value"], result["best_epoch"], result["epoch"])
            self._tracker.epochs(event.name, result["records"])
        else:
            ledger.ended(event.name, event.kind, event.reason)
            if event.kind != "finished":
                release_all(self._storage(event.name))
            self._tracker.ended(ledger.trial(event.name))
        self._audience.trial(ledger.trial(event.name), ledger)

    def _change(self, model: str, name: str, lineage: Mapping[str, Any] | None) -> None:
        """Note with what a trial goes on, if it says that this is something else than before."""
        schedule = tuple(Stage(**stage) for stage in lineage["schedule"]) if lineage is not None else ()
        if lineage is not None and len(schedule) > 1 and schedule != self.ledger.trial(name).schedule:
            self.ledger.changed(name, schedule, [(epoch, value) for epoch, value in lineage["curve"]])
            trial = self.ledger.trial(name)
            self._tracker.changed(trial, nested(self.starts[model].plain(), trial.values))


def _start(request: TuneRequest, model: str, prepared: PreparedSet) -> Experiment:
    """Return the experiment that a model's trials start from, and check that each end of its space fits one."""
    values = dict(request.values[model])
    start = build_experiment(values, f"sweep of {model}")
    if not start.scale.cpus_per_worker:
        start = build_experiment(nested(values, {"scale.cpus_per_worker": 1.0}), f"sweep of {model}")
    find_model(model).check([facts.name for facts in start.scope(prepared).domains])
    if not request.spaces[model]:
        raise ConfigError(
            "nothing to search", "a setting that is not fixed", f"search space of {model}", "drop a --set"
        )
    for name, dimension in request.spaces[model].items():
        for point in dimension.points():
            build_experiment(nested(start.plain(), {name: point}), f"search space of {model}")
    if request.sweep.schedule.scheduler == "pbt":
        check_population(request.sweep.schedule, start, request.spaces[model])
    return start


def _claim(request: TuneRequest, starts: Mapping[str, Experiment], prepared: PreparedSet) -> None:
    """Note in the folder what is swept there, or check that it is this."""
    sweep = request.sweep
    wanted = {
        "models": {model: start.mathematics() for model, start in starts.items()},
        "spaces": {model: plain_space(space) for model, space in request.spaces.items()},
        "data": prepared.fingerprint,
        "known_pairs": request.known_pairs,
        "search": {"method": sweep.search, "seed": sweep.seed},
        "schedule": config.plain(sweep.schedule),
        "models without workers": [model for model, start in starts.items() if not start.scale.workers],
    }
    path = request.folder / REQUEST
    if not path.is_file():
        draft = path.with_name(f".{path.name}.partial")
        draft.write_text(json.dumps(wanted, indent=1) + "\n")
        os.replace(draft, path)
        return
    stored = {"models without workers": [], **json.loads(path.read_text())}
    different = [name for name, value in wanted.items() if stored.get(name) != json.loads(json.dumps(value))]
    if different:
        raise ConfigError(
            f"a sweep with other {', '.join(different)}",
            "the same request; trials, minutes, finalists, seeds and concurrency may differ",
            str(request.folder),
            "choose another --name, or the settings of the first time",
        )


def _method(request: TuneRequest) -> dict[str, str]:
    sweep = request.sweep
    budget = f"{sweep.trials} trials a model" + (f", {sweep.minutes:g} minutes at most" if sweep.minutes else "")
    return {
        "models": ", ".join(request.values),
        "budget": budget,
        "search": f"{sweep.search}, seed {sweep.seed}",
        "scheduler": sweep.schedule.scheduler,
        "finalists": f"{sweep.finalists}, {sweep.seeds} seeds each",
    }
