"""`raymm tune`: search the settings of one model or of several, and compare them."""

from __future__ import annotations

import argparse
import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from raymm import config
from raymm.cli.display import Display
from raymm.cli.names import folder_name
from raymm.errors import ConfigError
from raymm.experiment import build_experiment
from raymm.models.registry import MODELS, find_model
from raymm.models.spec import ModelSpec

_TUNE = """\
Search the settings of one model or of several on Ray Tune, with the same budget each, and compare them on validation.

Each trial is a training as `raymm train` does it, into a run folder of its own. The best trials are repeated with other
seeds; the winner is the one with the best mean. The test set is not touched.

spaces:
  tune_spaces/MODEL.py, or --space: a Python file whose dictionary SPACE maps settings to tune.choice([...]),
  tune.uniform(low, high), tune.loguniform(low, high), tune.randint(low, high) or tune.lograndint(low, high); it is
  read, not run. Or a TOML file with tables such as [settings.width] and choice = [64, 128].

pbt:
  `--scheduler pbt` is population based training: all trials, 4 at least, are trained beside each other. Each time
  that one has done --interval epochs it is compared with the others; one of the lowest quarter goes on with weights,
  optimiser state and epochs of one of the highest quarter, and with its settings changed: multiplied by 0.8 or 1.2, or
  drawn anew. Only settings given by uniform or loguniform can change like that; fix the others by --set. More trials
  than --concurrent take turns. Workers, at least one, start anew after each interval: it should last minutes. The
  winner is a schedule of settings: best_MODEL.toml holds the last, best_MODEL.schedule.json all, and its run folder
  stands below trials/. With other seeds the whole schedule is repeated.

interrupted:
  The same command goes on. What ended is not done again; trials that were running go on from their last checkpoints
  (scale.checkpoint_every). --trials, --minutes, --finalists, --seeds and --concurrent may be other than before.
"""
_SHOWN = 12  # trials in the live table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed after `raymm tune`, but for what other verbs take, too."""
    parser.description, parser.formatter_class = _TUNE, argparse.RawDescriptionHelpFormatter
    parser.add_argument("models", nargs="+", choices=sorted(MODELS), metavar="MODEL", help="models to tune")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="prepared folder")
    parser.add_argument(
        "--name", type=folder_name, required=True, help="name of the sweep; an interrupted one of this name goes on"
    )
    parser.add_argument("--sweeps", type=Path, default=Path("sweeps"), metavar="DIR", help="folder of sweeps")
    parser.add_argument(
        "--domain", help="judge by this domain alone; models of one domain are trained on it (default: all domains)"
    )
    parser.add_argument("--space", type=Path, metavar="FILE", help="space of the one model (default: tune_spaces/)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file that every trial starts from")
    parser.add_argument("--preset", help="named settings that every trial starts from")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of every trial of models that have it",
    )
    parser.add_argument("--trials", type=int, default=20, help="trials of each model (default: 20)")
    parser.add_argument("--minutes", type=float, default=0.0, help="time of each model's search (default: no limit)")
    parser.add_argument(
        "--search", choices=("optuna", "random", "grid"), help="default: optuna (TPE), or random with --scheduler pbt"
    )
    parser.add_argument(
        "--scheduler", choices=("asha", "hyperband", "fifo", "pbt"), default="asha", help="default: asha"
    )
    parser.add_argument(
        "--interval", type=int, default=10, help="epochs of pbt between two comparisons of a trial (default: 10)"
    )
    parser.add_argument("--grace", type=int, default=10, help="epochs that every trial may run (default: 10)")
    parser.add_argument("--reduction", type=int, default=3, help="one of so many goes on at each rung (default: 3)")
    parser.add_argument(
        "--workers",
        type=int,
        help="Ray Train workers of each trial; 0 trains in its own process (default: as --config or --set say, else 1)",
    )
    parser.add_argument(
        "--concurrent", default="auto", help="trials at once (default: auto, as many as the cluster carries)"
    )
    parser.add_argument("--finalists", type=int, default=3, help="trials repeated with other seeds (default: 3)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each finalist (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of the search (default: 0)")
    parser.add_argument(
        "--known-pairs", choices=("drawn", "none", "true", "shuffled"), default="drawn", help="as in `raymm train`"
    )


def run(chosen: Namespace, display: Display, tracking: Any, address: str) -> None:
    """Tune, show it while it goes on, print the table."""
    from raymm.report.sweep import PAGE, sweep_table
    from raymm.verbs.best import schedule_path
    from raymm.verbs.tune import tune

    request = _request(chosen, address)
    board = SweepDisplay(display, request.sweep.trials)
    try:
        result = tune(request, tracking, board)
    finally:
        board.close()
    if result.problem is not None:
        display.warn(f"MLflow was not reached: {result.problem.found}; {result.problem.remedy}")
    display.console.print(sweep_table(result.record))
    display.console.print(f"page: {request.folder / PAGE}", highlight=False, markup=False, soft_wrap=True)
    changed = {swept.model: swept.winner for swept in result.record.models if swept.winner and swept.winner.schedule}
    for model, path in result.best.items():
        words = f"raymm train {model} --data {chosen.data} --config {path}"
        if model in changed:
            run = request.folder / "trials" / changed[model].trial
            words = f"a schedule of settings, {schedule_path(path)}; trained with it: {run}"
        display.console.print(f"best of {model}: {words}", highlight=False, markup=False, soft_wrap=True)


class SweepDisplay:
    """Shows a sweep: a table that changes on a terminal, a line for each trial that ends elsewhere.

    Args:
        display: Where to.
        trials: Trials of each search.
    """

    def __init__(self, display: Display, trials: int) -> None:
        self._display, self._trials = display, trials
        self._live: Live | None = None
        self._begun: set[tuple[str, int]] = set()

    def step(self, title: str) -> None:
        """Begin a part of the work."""
        self.close()
        self._display.step(title)
        if self._display.console.is_terminal:
            self._live = Live(console=self._display.console, refresh_per_second=4, transient=True)
            self._live.start()

    def trial(self, trial: Any, ledger: Any) -> None:
        """Show what happened to a trial."""
        if self._live is not None:
            self._live.update(self._table(ledger.of(trial.model, repeats=bool(trial.repeats))))
        elif trial.state != "running" or (trial.name, trial.attempts) not in self._begun:
            self._begun.add((trial.name, trial.attempts))
            self._display.console.print(f"  {_line(trial)}", highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the table away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self, trials: Sequence[Any]) -> Table:
        counts = ", ".join(
            f"{sum(trial.state == state for trial in trials)} {state}"
            for state in ("running", "finished", "stopped", "failed")
        )
        best = max((trial.value for trial in trials if trial.value is not None), default=None)
        table = Table(title=f"{counts}; best {'-' if best is None else format(best, '.4f')}", box=None)
        for name in ("trial", "state", "epochs", "best", "settings"):
            table.add_column(name, justify="right" if name in ("epochs", "best") else "left")
        shown = [trial for trial in trials if trial.state != "running"]
        running = [trial for trial in trials if trial.state == "running"]
        for trial in [*shown[-max(1, _SHOWN - len(running)) :], *running]:
            value = "-" if trial.value is None else f"{trial.value:.4f}"
            words = trial.reason if trial.state == "failed" else _settings(trial.values)
            table.add_row(*map(Text, (trial.name, trial.state, str(trial.epochs), value, words)))
        return table


def start_values(models: Sequence[str], values: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return what the trials of each model start from; an assignment goes to the models that have such a setting.

    Raises:
        ConfigError: No model has a setting that was assigned, or its value is wrong.
    """
    found: dict[str, Any] = {model: {**values, "model": model} for model in models}
    for assignment in assignments:
        problems = []
        for model in models:
            tried = config.override(found[model], [assignment])
            try:
                build_experiment(tried, f"--set {assignment}")
            except ConfigError as error:
                problems.append(error)
                continue
            found[model] = tried
        if len(problems) == len(models):
            raise problems[0]
    return found


def on_domain(values: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """Have an experiment judged by one domain, so that models of one domain and of two have the same measure."""
    experiment = build_experiment(values)
    if experiment.train.loop.selection.startswith(f"{domain}."):  # it is already, as what a sweep on it found
        return dict(values)
    selection = f"train.loop.selection={json.dumps(f'{domain}.{experiment.train.loop.selection}')}"
    spec = find_model(experiment.model)
    whole = isinstance(spec, ModelSpec) and spec.n_domains > 1
    return config.override(values, [selection] if whole else [selection, f"train.domain={json.dumps(domain)}"])


def _request(chosen: Namespace, address: str) -> Any:
    from raymm.launch.space import find_space, read_space
    from raymm.launch.tune import ScheduleConfig
    from raymm.verbs.tune import SweepConfig, TuneRequest

    models = list(dict.fromkeys(chosen.models))
    if chosen.space is not None and len(models) > 1:
        raise ConfigError(f"--space with {len(models)} models", "one model", "command line", "leave --space out")
    values: dict[str, Any] = config.read_toml(chosen.config) if chosen.config else {}
    if values.pop("model", models[0]) != models[0]:
        raise ConfigError("a file of another model", models[0], str(chosen.config), "give that model")
    if chosen.preset:
        values["preset"] = chosen.preset
    given = list(chosen.set)
    if chosen.workers is not None or "workers" not in values.get("scale", {}):
        given.insert(0, f"scale.workers={1 if chosen.workers is None else chosen.workers}")
    if not chosen.concurrent.isdigit() and chosen.concurrent != "auto":
        raise ConfigError(repr(chosen.concurrent), "a number of trials, or auto", "--concurrent")
    sweep = SweepConfig(
        trials=chosen.trials,
        minutes=chosen.minutes,
        search=chosen.search or ("random" if chosen.scheduler == "pbt" else "optuna"),
        schedule=ScheduleConfig(chosen.scheduler, chosen.grace, chosen.reduction, chosen.interval),
        seed=chosen.seed,
        finalists=chosen.finalists,
        seeds=chosen.seeds,
        concurrent=0 if chosen.concurrent == "auto" else int(chosen.concurrent),
    )
    starts = start_values(models, values, given)
    if chosen.domain is not None:
        starts = {model: on_domain(start, chosen.domain) for model, start in starts.items()}
    fixed = {assignment.partition("=")[0].strip() for assignment in chosen.set}
    spaces = {model: read_space(chosen.space or find_space(model)) for model in models}
    return TuneRequest(
        values=starts,
        spaces={model: {name: space[name] for name in space if name not in fixed} for model, space in spaces.items()},
        sweep=sweep,
        prepared=chosen.data,
        folder=chosen.sweeps / chosen.name,
        known_pairs=chosen.known_pairs,
        address=address,
    )


def _line(trial: Any) -> str:
    if trial.state == "running":
        again = f" again, from its last checkpoint (start {trial.attempts})" if trial.attempts > 1 else ""
        return f"{trial.name} started{again}: {_settings(trial.values)}"
    value = "" if trial.value is None else f" {trial.value:.4f} at epoch {trial.best_epoch} of {trial.epochs}"
    reason = f": {trial.reason}" if trial.reason else ""
    return f"{trial.name} {trial.state}{value} ({trial.seconds:.0f} s){reason}"


def _settings(values: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name.rpartition('.')[2]}={value:.3g}" if isinstance(value, float) else f"{name.rpartition('.')[2]}={value}"
        for name, value in values.items()
    )
