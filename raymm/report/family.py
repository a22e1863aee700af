"""The report of a family of runs: a page that needs nothing else, figures, JSON, CSV, and tables for the terminal."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raymm.report.drawing import data_uri
from raymm.report.family_figures import Drawing, draw_family, short_names
from raymm.report.family_record import WHOLE, Cell, FamilyRecord, FamilyRun, to_csv
from raymm.report.record import named

PAGE, RECORD, RESULTS = "experiment.html", "experiment.json", "results.csv"
_EVERYBODY = (WHOLE, "everybody")
_MARKS = {"better": "+", "worse": "-", "open": " ", "": " "}


def family_report(record: FamilyRecord, folder: Path) -> Path:
    """Write page, record, results and figures over those of an earlier time; return the page.

    The page holds its style and its figures; it has no script and asks for nothing from elsewhere. Text that comes from
    data is escaped.
    """
    drawings = draw_family(record)
    text = json.dumps(record.plain(), indent=1, sort_keys=True, allow_nan=False) + "\n"
    files: dict[str, bytes] = {
        RECORD: text.encode(),
        RESULTS: to_csv(record).encode("utf-8", "backslashreplace"),
        PAGE: render_family(record, drawings).encode("utf-8", "backslashreplace"),
    }
    for drawing in drawings:
        files |= {f"{drawing.name}.svg": drawing.svg, f"{drawing.name}.png": drawing.png}
    for name, content in files.items():
        draft = folder / f".{name}.partial"
        draft.write_bytes(content)
        os.replace(draft, folder / name)
    return folder / PAGE


def render_family(record: FamilyRecord, drawings: tuple[Drawing, ...]) -> str:
    """Render the page of a family."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raymm.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"value": _value, "setting": _setting, "named": named, "difference": _difference}
    environment.filters |= {"mean": _mean}
    return environment.get_template("family.html").render(
        record=record,
        created=datetime.datetime.fromtimestamp(record.created, datetime.UTC).strftime("%d %B %Y, %H:%M UTC"),
        tables=[(domain, _tables(record, domain)) for domain in record.domains],
        catalogues=[(domain, _catalogue(record, domain)) for domain in record.domains],
        drawings=[(drawing, data_uri(drawing.svg)) for drawing in drawings],
    )


def family_table(record: FamilyRecord) -> RenderableType:
    """Lay out the results for the terminal: means, spreads and differences; names are shown without markup."""
    shown: list[RenderableType] = []
    for domain in record.domains:
        shown += [_whole_table(record, domain, metric) for metric in record.metrics]
        for family in dict.fromkeys(cell.family for cell in record.cells if cell.domain == domain):
            if family in ("item popularity", "user history"):
                shown.append(_slice_table(record, domain, family))
    note = f"mean over seeds (standard deviation); difference to {_plain(record.reference)} or whom it names, with its"
    shown.append(Text(f"{note} 95 % interval\nin slices: + better, - worse than that beyond chance", style="dim"))
    shown += [Text(f"  ! {_plain(note)}", style="yellow") for note in record.notes]
    shown += [
        Text(f"  failed: {_plain(run.label)}, seed {run.seed}: {_plain(run.reason)}", style="red")
        for run in record.failed()
    ]
    return Group(*shown)


def runs_table(runs: tuple[FamilyRun, ...] | list[FamilyRun]) -> Table:
    """Lay out how far the runs of a family are, one row a variant."""
    labels = dict.fromkeys(run.label for run in runs)
    counts = [f"{sum(run.state == state for run in runs)} {state}" for state in ("finished", "failed", "waiting")]
    table = Table(title=", ".join(counts), box=None)
    for head in ("variant", "seeds done", "now", "epochs", "best on validation"):
        table.add_column(head, justify="left" if head in ("variant", "now") else "right")
    for label in labels:
        own = [run for run in runs if run.label == label]
        done = sum(run.state == "finished" for run in own)
        last = next((run for run in own if run.state == "running"), None)
        last = last or next((run for run in reversed(own) if run.state != "waiting"), own[0])
        words = f"seed {last.seed}" if last.state == "running" else last.state
        cells = (_plain(label), f"{done} of {len(own)}", words, str(last.epochs or ""), _value(last.validation))
        table.add_row(*map(Text, cells))
    return table


def _whole_table(record: FamilyRecord, domain: str, metric: str) -> Table:
    title = f"{_plain(domain)}, {named(metric)}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(title), title_justify="left")
    for head in ("variant", "seeds", "mean", "sd", "difference", "95 %"):
        table.add_column(head, justify="left" if head == "variant" else "right")
    for variant in record.variants:
        cell = record.find(domain, _EVERYBODY, metric, variant.label)
        row = [_plain(variant.label), "0", "-", "", "", ""]
        if cell is not None:
            spread = "" if cell.spread is None else _value(cell.spread)
            difference, _, interval = _difference(cell).partition(" ")
            row = [_plain(variant.label), str(len(cell.seeds)), _value(cell.mean), spread, difference, interval]
        table.add_row(*map(Text, row), style="bold" if variant.label == record.reference else "")
    return table


def _slice_table(record: FamilyRecord, domain: str, family: str) -> Table:
    """One row a variant with a result, one column a slice, by the first metric; the page has the others."""
    parts, metric = record.parts(domain, family), record.metrics[0]
    title = f"{_plain(domain)}, {named(metric)} by {family}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=Text(title), title_justify="left")
    table.add_column("variant")
    for name in short_names(parts):
        table.add_column(name.replace("\n", " "), justify="right")
    users: dict[str, int] = {}
    rows = []
    for variant in record.variants:
        cells = {part: record.find(domain, (family, part), metric, variant.label) for part in parts}
        found = {part: cell for part, cell in cells.items() if cell is not None}
        users |= {part: cell.n_users for part, cell in found.items()}
        marked = [f"{_value(cell.mean)}{_MARKS[cell.verdict]}" if cell else "- " for cell in cells.values()]
        if found:
            rows.append((_plain(variant.label), *marked))
    table.add_row("users", *(f"{users.get(part, 0):,} " for part in parts), style="dim")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _tables(record: FamilyRecord, domain: str) -> list[dict[str, Any]]:
    """One table a kind of slices: its parts as groups of rows, in each one row a variant."""
    families = dict.fromkeys(
        cell.family for cell in record.cells if cell.domain == domain and cell.family != "catalogue"
    )
    tables = []
    for family in families:
        parts = []
        for part in record.parts(domain, family):
            rows = [
                (variant, [record.find(domain, (family, part), metric, variant.label) for metric in record.metrics])
                for variant in record.variants
            ]
            parts.append((part, [row for row in rows if any(row[1])]))
        tables.append({"family": family, "parts": parts})
    return tables


def _catalogue(record: FamilyRecord, domain: str) -> dict[str, Any]:
    own = [cell for cell in record.cells if cell.domain == domain and cell.family == "catalogue"]
    metrics = list(dict.fromkeys(cell.metric for cell in own))
    found: Mapping[tuple[str, str], Cell] = {(cell.label, cell.metric): cell for cell in own}
    labels = list(dict.fromkeys(cell.label for cell in own))
    return {
        "metrics": metrics,
        "rows": [(label, [found.get((label, metric)) for metric in metrics]) for label in labels],
    }


def _mean(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    return _value(cell.mean) + (f" ({_value(cell.spread)})" if cell.spread is not None else "")


def _difference(cell: Cell | None) -> str:
    if cell is None or cell.difference is None or cell.interval is None:
        return ""
    return f"{cell.difference:+.4f} [{cell.interval[0]:+.4f}, {cell.interval[1]:+.4f}]"


def _value(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def _setting(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """Drop what a terminal would obey."""
    return "".join(character for character in text if character.isprintable())
