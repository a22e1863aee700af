"""`raymm experiment`: train, evaluate and compare the variants of a family file."""

from __future__ import annotations

import argparse
import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.live import Live

from raymm.cli.display import Display
from raymm.errors import TrainingError

_EXPERIMENT = """\
Train every variant of a family with every seed, evaluate each run, compare the variants, and write page and figures.

family:
  A TOML file. `title`, `reference` (a label) and [[variants]] are needed; jobs/experiments/ has some.
    [base]                          the experiment that all start from: model, preset, [base.settings], [base.train]
    [[variants]]                    label, and what differs: model, preset, settings.NAME, train.NAME, known_pairs,
                                    config (an experiment file instead of base), prepare.NAME (a change of the recipe:
                                    data of its own, with --recipe), x, series, against
    seeds, metrics, slices, domain, axis.name, axis.log

interrupted:
  The same command goes on. Runs are named by their settings and data, so that what is done is not done again; a failed
  run is shown with its reason and tried again the next time.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed after `raymm experiment`, but for what other verbs take, too."""
    parser.description, parser.formatter_class = _EXPERIMENT, argparse.RawDescriptionHelpFormatter
    parser.add_argument("family", type=Path, metavar="FAMILY", help="TOML file of the variants")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="prepared folder")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of results, and of runs")
    parser.add_argument(
        "--runs",
        type=Path,
        metavar="DIR",
        help="folder of runs, for families with variants in common (default: runs below --output)",
    )
    parser.add_argument("--recipe", type=Path, metavar="FILE", help="recipe of --data, for variants that change it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[], metavar="SEED", help="other seeds than the file's")
    parser.add_argument("--only", nargs="+", default=[], metavar="LABEL", help="variants to train now (default: all)")
    parser.add_argument("--domain", help="the one domain to judge by, in place of the file's")
    parser.add_argument(
        "--workers", type=int, help="Ray Train workers of each training, 0 for none (default: as the file says)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of every variant that has it",
    )


def run(chosen: Namespace, display: Display, tracking: Any, address: str) -> None:
    """Run the family, show it while it goes on, print the tables.

    Raises:
        TrainingError: A run failed; the results of the others are written.
    """
    from raymm.report.family import PAGE, family_table
    from raymm.verbs.experiment import FamilyRequest, run_experiment
    from raymm.verbs.family import arms_of, read_family

    family = read_family(chosen.family)
    if chosen.seeds:
        family = dataclasses.replace(family, seeds=tuple(chosen.seeds))
    if chosen.domain is not None:
        family = dataclasses.replace(family, domain=chosen.domain)
    request = FamilyRequest(
        name=chosen.family.stem,
        family=family,
        arms=arms_of(family, chosen.family, chosen.set, chosen.workers),
        prepared=chosen.data,
        folder=chosen.output,
        recipe=chosen.recipe,
        only=tuple(chosen.only),
        address=address,
        runs=chosen.runs,
    )
    board = FamilyDisplay(display)
    display.step(f"{family.title}: {len(request.arms)} variants")
    try:
        record = run_experiment(request, tracking, board)
    finally:
        board.close()
    display.console.print(family_table(record))
    display.console.print(f"page: {request.folder / PAGE}", highlight=False, soft_wrap=True)
    failed = record.failed()
    if failed:
        reasons = "\n".join(f"{one.label}, seed {one.seed}: {one.reason}" for one in failed)
        raise TrainingError(reasons, "runs that end", str(request.folder), "mend it and start the same command again")


class FamilyDisplay:
    """Shows a family: a table that changes on a terminal, a line for each run that begins or ends elsewhere.

    Args:
        display: Where to.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._live: Live | None = None
        self._states: dict[str, str] = {}

    def step(self, title: str) -> None:
        """Begin a part of the work."""
        self.close()
        self._display.step(title)

    def progress(self, label: str, done: int, total: int, extra: str = "") -> None:
        """Show how far a part has come."""
        self._display.progress(label, done, total, extra)

    def run(self, run: Any, runs: Sequence[Any]) -> None:
        """Show what happened to a run."""
        from raymm.report.family import runs_table

        if self._display.console.is_terminal:
            if self._live is None:
                self._display.end()
                self._live = Live(console=self._display.console, refresh_per_second=4, transient=True)
                self._live.start()
            self._live.update(runs_table(list(runs)))
        elif self._states.get(run.name) != run.state:
            self._display.console.print(f"  {_line(run)}", highlight=False, markup=False, soft_wrap=True)
        self._states[run.name] = run.state

    def close(self) -> None:
        """Take table and bars away."""
        self._display.end()
        if self._live is not None:
            self._live.stop()
            self._live = None


def _line(run: Any) -> str:
    words = {
        "running": "training",
        "finished": f"{run.epochs} epochs in {run.seconds:.0f} s",
        "failed": f"failed: {run.reason}",
    }
    best = "" if run.validation is None or run.state != "finished" else f", best on validation {run.validation:.4f}"
    return f"{run.label}, seed {run.seed}: {words.get(run.state, run.state)}{best}"
