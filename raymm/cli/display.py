"""What the verbs show on a terminal, or as plain lines in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from raymm.data.summary import PreparedSummary
from raymm.errors import RaymmError
from raymm.report.symptoms import PREFIX, WORDS

_LINE_EVERY_S = 5.0  # in a log, which cannot be overwritten


class Display:
    """Shows steps and progress; on a terminal as bars that move, elsewhere as a line now and then.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress: Progress | None = None
        self._task: Any = None
        self._label = ""
        self._last_line = 0.0
        self._warned: set[str] = set()

    def step(self, title: str) -> None:
        """Begin a part of the work."""
        self.end()
        self.console.print(Text.assemble((">", "bold cyan"), " ", (title, "bold")))

    def progress(self, label: str, done: int, total: int, extra: str = "") -> None:
        """Show how far a part has come; `total` 0 where nobody knows."""
        if self.console.is_terminal:
            self._bar(label, done, total, extra)
        elif (total and done >= total) or time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            count = f" {done}/{total}" if total else (f" {done}" if done else "")
            self.console.print(
                f"  {label}{count}{'  ' + extra if extra else ''}", highlight=False, markup=False, soft_wrap=True
            )
        self._label = label

    def prepared(self, summary: PreparedSummary) -> None:
        """Show what a preparation did."""
        from raymm.verbs.prepare import preparation_table  # brings in Ray, which `--help` does without

        self.end()
        self.console.print(preparation_table(summary))

    def epoch(self, record: Mapping[str, Any], epochs: int, selection: str) -> None:
        """Show one epoch of training."""
        if "stage" in record:
            self._stage(record)
            return
        words = " ".join(f"{name} {value:.4f}" for name, value in record["losses"].items())
        best, best_epoch = record["state"]["best"], record["state"]["best_epoch"]
        if selection in record["validation"]:
            words += f"  {selection} {record['validation'][selection]:.4f} (best {best:.4f}, epoch {best_epoch})"
        self.progress("epoch", record["epoch"], epochs, words)
        self._symptoms(record)
        if record["finished"]:
            self.end()
            self.console.print(
                f"  stopped after epoch {record['epoch']}; best validation {selection} {best:.4f} at epoch "
                f"{best_epoch}",
                highlight=False,
            )

    def end(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress, self._task = None, None
        self._label = ""

    def say(self, words: str | Text) -> None:
        """Show words as they are: brackets in paths and names are no markup."""
        self.console.print(words, highlight=False, markup=False)

    def warn(self, words: str) -> None:
        """Show something that went another way than asked."""
        self.say(Text.assemble(("note:", "yellow"), " ", words))

    def error(self, error: RaymmError) -> None:
        """Show an error, part by part."""
        self.end()
        self.say(Text(type(error).__name__, "bold red"))
        self.console.print(str(error), highlight=False, markup=False, soft_wrap=True)

    def settings(self, rows: list[tuple[str, str, str]]) -> None:
        """Show a table of settings."""
        table = Table("setting", "default", "meaning", box=None, header_style="bold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table, markup=False)

    def _stage(self, record: Mapping[str, Any]) -> None:
        """Show one epoch of a stage, or what the finished model gave on validation."""
        if record["finished"]:
            self.end()
            words = " ".join(f"{name.lstrip('-')} {abs(value):.4f}" for name, value in record["validation"].items())
            self.console.print(f"  finished; on validation {words}", highlight=False)
            return
        values = {**record["losses"], **record["diagnostics"]}
        words = " ".join(f"{name.rpartition('.')[2]} {value:.4f}" for name, value in values.items())
        self.progress(f"{record['stage']}: epoch", record["stage_epoch"], record["stage_epochs"], words)

    def _symptoms(self, record: Mapping[str, Any]) -> None:
        """Name each sign that something goes wrong when it first shows."""
        diagnostics = record.get("diagnostics", {})
        shown = {name for name in WORDS if diagnostics.get(PREFIX + name)}
        for name in sorted(shown - self._warned):
            self._warned.add(name)
            self.warn(f"epoch {record['epoch']}: {WORDS[name]}")

    def _bar(self, label: str, done: int, total: int, extra: str) -> None:
        if self._progress is None:
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[extra]}", markup=False),
                console=self.console,
                transient=True,
            )
            self._progress.start()
        if self._task is None or label != self._label:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(label, total=total or None, extra=extra)
        self._progress.update(self._task, completed=done, total=total or None, extra=extra)
