"""The report of a sweep: one HTML page that needs nothing else, the same as JSON, and a table for the terminal."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import jinja2
from rich import box
from rich.table import Table
from rich.text import Text

from raymm.report.sweep_figures import draw_coordinates, draw_history, draw_importance
from raymm.report.sweep_record import Finalist, ModelSweep, SweepRecord

PAGE, RECORD = "sweep.html", "sweep.json"


def sweep_report(record: SweepRecord, folder: Path) -> Path:
    """Write `sweep.html` and `sweep.json` over those of an earlier session; return the page.

    The page holds its style and its figures; it has no script and asks for nothing from elsewhere. Text that comes from
    data is escaped.
    """
    text = json.dumps(record.plain(), indent=1, sort_keys=True, allow_nan=False)
    for name, content in ((RECORD, text + "\n"), (PAGE, render_sweep(record))):
        draft = folder / f".{name}.partial"
        draft.write_bytes(content.encode("utf-8", "backslashreplace"))
        os.replace(draft, folder / name)
    return folder / PAGE


def render_sweep(record: SweepRecord) -> str:
    """Render the page of a sweep."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raymm.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"value": value_text, "setting": _setting, "span": _span}
    return environment.get_template("sweep.html").render(
        record=record,
        created=datetime.datetime.fromtimestamp(record.created, datetime.UTC).strftime("%d %B %Y, %H:%M UTC"),
        summary=_summary(record),
        history=draw_history(record),
        models=[(model, draw_coordinates(model, record.metric), draw_importance(model)) for model in _ordered(record)],
    )


def sweep_table(record: SweepRecord) -> Table:
    """Lay out the models of a sweep, the best first, for the terminal."""
    title = f"{record.metric} on validation; mean over seeds of the best finalist"
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
        title=Text(title),
        title_justify="left",
    )
    for name in ("model", "trials", "stopped", "failed", "best", "mean (sd)", "seeds", "time"):
        table.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for place, model in enumerate(_ordered(record)):
        counts = [str(len(model.searched)), str(model.count("stopped")), str(model.count("failed"))]
        best = max((trial.value for trial in model.searched if trial.value is not None), default=None)
        seeds = str(len(model.winner.seeds)) if model.winner else "-"
        mean = _finalist(model.winner) if model.winner else "-"
        cells = [model.model, *counts, value_text(best), mean, seeds, _span(model.seconds)]
        table.add_row(*map(Text, cells), style="bold" if place == 0 and model.winner else "")
    return table


def value_text(value: float | None) -> str:
    """Write a metric with four digits, and a dash where there is none."""
    return "-" if value is None else f"{value:.4f}"


def _ordered(record: SweepRecord) -> list[ModelSweep]:
    return sorted(record.models, key=lambda model: -(model.winner.mean if model.winner else float("-inf")))


def _finalist(finalist: Finalist) -> str:
    spread = f" ({finalist.spread:.4f})" if finalist.spread is not None else ""
    return f"{finalist.mean:.4f}{spread}"


def _summary(record: SweepRecord) -> str:
    best = _ordered(record)[0]
    if best.winner is None:
        return "No trial ended with a value."
    others = f", the best of {len(record.models)} models" if len(record.models) > 1 else ""
    return (
        f"{best.model}{others}: {record.metric} {_finalist(best.winner)} on validation, by trial {best.winner.trial}."
    )


def _setting(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _span(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 120 else f"{seconds:.0f} s"
