"""The entry point: parse, call a verb, show what it did; errors fit one screen and the exit code is not zero."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from raymm import config
from raymm.cli import compare, describe, experiment, export, extend, pull, recommend, tune
from raymm.cli.arguments import make_parser, settings_table
from raymm.cli.display import Display
from raymm.errors import ConfigError, RaymmError
from raymm.experiment import Experiment, build_experiment
from raymm.models.registry import TRAINED

FAILED, INTERNAL, INTERRUPTED = 1, 70, 130
_LONGEST_PATH = 200  # characters of a path in a message
_LOG_COLUMNS = 140  # of lines in a file or a pipe, which have no width of their own
_PACKAGES = "working_dir_files"  # folder of Ray that holds the working directories of jobs


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `raymm` with `arguments` (those of the process by default) and return the exit code.

    0 all went well; 1 an error that a user can act on; 2 a wrong command line; 70 an error in raymm; 130 interrupted.
    """
    chosen = make_parser().parse_args(arguments)
    # Ray's node warns of more processes than cores, which is how Ray Train works on a small machine.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "worker processes have been started on node")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Ray Tune's own tables and log files of trials, beside which raymm has its own.
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    display, problems = Display(_console()), Display(_console(stderr=True))
    try:
        _VERBS[chosen.verb](chosen, display)
    except RaymmError as error:
        display.end()
        if chosen.debug:
            problems.console.print_exception()
        problems.error(error)
        return FAILED
    except KeyboardInterrupt:
        display.end()
        again = f"--run-name {chosen.run_name}" if chosen.verb == "pipeline" else "the same --name"
        problems.console.print(
            f"interrupted; a training goes on when it is started again with {again}, a matching with the same --output"
        )
        return INTERRUPTED
    except OSError as error:
        display.end()
        if chosen.debug:
            problems.console.print_exception()
        problems.error(_of_this_machine(error))
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last resort: no traceback unless asked for
        display.end()
        if chosen.debug:
            problems.console.print_exception()
        else:
            words = str(error).strip().splitlines() or [""]
            problems.say(Text.assemble(("internal error", "bold red"), f" {type(error).__name__}: {words[-1]}"))
            problems.say("This is a fault of raymm; run again with --debug for the traceback, and report it.")
        return INTERNAL
    return 0


def _console(stderr: bool = False) -> Console:
    """Write as wide as the terminal is or COLUMNS says, and wide enough for tables where there is neither."""
    console = Console(stderr=stderr)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _LOG_COLUMNS
    return console


def _of_this_machine(error: OSError) -> RaymmError:
    """Say what the machine refused: a path, a right, space, a connection."""
    path = str(error.filename or "")
    return RaymmError(
        f"{type(error).__name__}: {error.strerror or error}",
        "files and connections that this machine allows",
        path if len(path) <= _LONGEST_PATH else path[:_LONGEST_PATH] + "...",
        "check the path, the rights and the free space; --debug shows where it came from",
    )


def _prepare(chosen: Namespace, display: Display) -> None:
    from raymm.verbs.prepare import prepare

    display.step(f"Preparing {chosen.recipe}")
    display.prepared(prepare(chosen.recipe, chosen.output, chosen.force, display.progress, _address_of(chosen)))


def _train(chosen: Namespace, display: Display) -> None:
    from raymm.verbs.train import TrainRequest, train

    experiment = _experiment_of(chosen)
    folder = chosen.runs / (chosen.name or _name_by_time(chosen.model))
    trained, workers = experiment.model in TRAINED, experiment.scale.workers
    where = f" on {workers} workers" if trained and workers else ""
    display.step(f"Training {experiment.model} ({experiment.preset}){where}: {folder}")
    if chosen.workers and not trained:
        display.warn(f"{experiment.model} is trained in one process; --workers {chosen.workers} changes nothing")
    loop = experiment.train.loop
    request = TrainRequest(experiment, chosen.data, folder, chosen.known_pairs, _address_of(chosen))
    written, run = train(
        request, _tracking_of(chosen), lambda record: display.epoch(record, loop.epochs, loop.selection)
    )
    display.end()
    if run is not None and run.problem is not None:
        display.warn(f"MLflow was not reached: {run.problem.found}; {run.problem.remedy}")
    display.say(f"run: {written.folder}\nnext: {_program()} evaluate {written.folder}")


def _tune(chosen: Namespace, display: Display) -> None:
    tune.run(chosen, display, _tracking_of(chosen), _address_of(chosen))


def _experiment(chosen: Namespace, display: Display) -> None:
    experiment.run(chosen, display, _tracking_of(chosen), _address_of(chosen))


def _evaluate(chosen: Namespace, display: Display) -> None:
    from raymm.report.table import summary_table
    from raymm.verbs.evaluate import evaluate

    display.step(f"Evaluating {chosen.run} on the test set")
    found = evaluate(chosen.run, chosen.data, _tracking_of(chosen), display.progress, chosen.force)
    display.end()
    if found.problem:
        display.warn(f"tracking: {found.problem}")
    display.console.print(summary_table(found.record, found.page, "", f"{_program()} register {chosen.run}"))


def _register(chosen: Namespace, display: Display) -> None:
    from raymm.verbs.register import RegisterRequest, register

    display.step(f"Registering {chosen.run}")
    request = RegisterRequest(chosen.run, chosen.data, chosen.name, chosen.alias, chosen.force)
    made = register(request, _needed_tracking(chosen))
    words = f"\n{made.words}" if made.words else ""
    display.say(f"registered: {made.model.uri} (version {made.model.version}){words}")


def _warn_of_packages(chosen: Namespace, display: Display) -> None:
    """Say so where relative paths lead into the copy of the working directory that Ray made for a job."""
    relative = [str(path) for path in (chosen.prepared, chosen.runs, chosen.store) if path and not path.is_absolute()]
    if relative and _PACKAGES in Path.cwd().parts:
        display.warn(
            f"this job runs in Ray's own copy of the submitted folder, where {', '.join(relative)} will be lost; "
            "give absolute --prepared, --runs and --store on storage that stays"
        )


def _pipeline(chosen: Namespace, display: Display) -> None:
    from raymm.report.table import summary_table
    from raymm.verbs.pipeline import PipelineRequest, run_pipeline

    _warn_of_packages(chosen, display)
    experiment = _experiment_of(chosen)
    chosen.run_name = chosen.run_name or _name_by_time(chosen.model)
    request = PipelineRequest(
        experiment=experiment,
        recipe=chosen.recipe,
        prepared=chosen.prepared,
        folder=chosen.runs / chosen.run_name,
        registry_name=chosen.name,
        alias=chosen.alias,
        known_pairs=chosen.known_pairs,
        address=_address_of(chosen),
    )
    display.say(f"run: {request.folder}; interrupted, it goes on with --run-name {chosen.run_name}")
    result = run_pipeline(request, _needed_tracking(chosen), display)
    display.end()
    evaluation, uri = result.evaluation, result.registration.model.uri
    again = f"{_program()} train {chosen.model} --data {_short(evaluation.run.prepared)} --preset paper --name paper"
    display.console.print(summary_table(evaluation.record, evaluation.page, uri, again))


def _match(chosen: Namespace, display: Display) -> None:
    from raymm.report.matching import matching_table
    from raymm.verbs.match import MatchRequest, match_files

    if chosen.extend is not None:
        extend.run(chosen, display)
        return
    if chosen.target is None:
        raise ConfigError("no --target", "embeddings of the candidates", "match", "name them, or give --extend")
    named = {
        "epsilon": chosen.epsilon,
        "top_k": chosen.top_k,
        "partition.target_gap": chosen.target_gap,
        "partition.bound": chosen.bound,
    }
    flags = [f"{name}={value}" for name, value in named.items() if value is not None]
    request = MatchRequest(
        source=chosen.source,
        target=chosen.target,
        output=chosen.output,
        anchors=chosen.anchors,
        values=config.override({}, [*chosen.set, *flags]),
        choose=chosen.choose,
        seed=chosen.seed,
        workers=chosen.workers,
        address=_address_of(chosen),
        id_column=chosen.id_column,
        force=chosen.force,
        device=chosen.device or "cpu",
    )
    where = f"{chosen.workers} Ray actors" if chosen.workers else "this process"
    display.step(f"Matching {chosen.source} and {chosen.target} in {where}")
    found = match_files(request, display.progress)
    display.end()
    display.console.print(matching_table(found.folder, found.record, found.quality, found.reused))


def _pull(chosen: Namespace, display: Display) -> None:
    pull.run(chosen, display, _needed_tracking(chosen))


def _recommend(chosen: Namespace, display: Display) -> None:
    tracking = _needed_tracking(chosen) if chosen.model.startswith("models:/") else None
    recommend.run(chosen, display, tracking, _address_of(chosen))


def _settings(chosen: Namespace, display: Display) -> None:
    display.settings(settings_table(chosen.model))


def _experiment_of(chosen: Namespace) -> Experiment:
    values: dict[str, Any] = config.read_toml(chosen.config) if chosen.config else {}
    values = config.override(values, chosen.set)
    if values.setdefault("model", chosen.model) != chosen.model:
        raise ConfigError(
            f"model {values['model']!r} in the file", f"{chosen.model!r}, as on the command line", str(chosen.config)
        )
    if chosen.preset:
        values["preset"] = chosen.preset
    if chosen.domain is not None:
        values = config.override(values, [f"train.domain={json.dumps(chosen.domain)}"])
    if chosen.workers is not None:
        values = config.override(values, [f"scale.workers={chosen.workers}"])
    return build_experiment(values, str(chosen.config) if chosen.config else "command line")


def _tracking_of(chosen: Namespace) -> Any:
    return None if chosen.no_tracking else _needed_tracking(chosen)


def _needed_tracking(chosen: Namespace) -> Any:
    from raymm.tracking.store import open_tracking

    if chosen.no_tracking:
        raise ConfigError("--no-tracking", "a store to register the model in", chosen.verb, "leave --no-tracking out")
    return open_tracking(chosen.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI"), Path(chosen.store))


def _address_of(chosen: Namespace) -> str:
    """Return the cluster to use: the one asked for, that of the job this runs in, else one of this process."""
    return str(chosen.address or os.environ.get("RAY_ADDRESS") or "local")


def _program() -> str:
    """Return what to type for this program, whether or not its environment is activated."""
    installed = Path(sys.executable).with_name("raymm")
    return str(_short(installed)) if installed.is_file() and _short(installed) != installed else "raymm"


def _short(path: Path) -> Path:
    """Return a path below the working directory as a relative one."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _name_by_time(model: str) -> str:
    return f"{model}-{time.strftime('%Y%m%d-%H%M%S')}"


_VERBS = {
    "prepare": _prepare,
    "describe": describe.run,
    "train": _train,
    "tune": _tune,
    "experiment": _experiment,
    "evaluate": _evaluate,
    "compare": compare.run,
    "register": _register,
    "pipeline": _pipeline,
    "match": _match,
    "export": export.run,
    "pull": _pull,
    "recommend": _recommend,
    "settings": _settings,
}

if __name__ == "__main__":
    sys.exit(main())
