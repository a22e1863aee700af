"""The summary at the end of a run, for the terminal."""

from __future__ import annotations

import math
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from raymm.evaluation.compare import Comparison
from raymm.report.record import DomainFacts, RunRecord, named

_COLORS = {"better": "green", "worse": "red", "open": "yellow"}


def summary_table(record: RunRecord, report: Path | None, model_uri: str, next_command: str) -> RenderableType:
    """Lay out what a run gave: its data, its metrics beside the baseline's, and where to go from here.

    Args:
        record: The run.
        report: Where the report's page is; None if none was written.
        model_uri: URI of the registered model; empty if none was registered.
        next_command: The command to try next; empty for none.

    Returns:
        Something that a rich console prints. Names that come from data are shown as they are, without markup.
    """
    parts: list[RenderableType] = [_metrics(record)]
    parts.extend(Text(f"  ! {_plain(warning)}", style="yellow") for warning in record.warnings)
    places = Table.grid(padding=(0, 2))
    rows = (("report", "" if report is None else str(report)), ("model", model_uri), ("next", next_command))
    for label, text in rows:
        if text:
            places.add_row(Text(label, style="dim"), Text(_plain(text), style="bold" if label == "next" else ""))
    if places.row_count:
        parts.append(Padding(places, (1, 0, 0, 1)))
    return Group(*parts)


def _metrics(record: RunRecord) -> Table:
    title = Text.assemble(
        ("test set", "bold"), f"  {_plain(record.model)} beside {_plain(record.baseline)}, run {_plain(record.name)}"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="")
    table.add_column("domain", overflow="fold")
    table.add_column("metric")
    for name in (record.model, record.baseline, "difference"):
        table.add_column(Text(_plain(name)), justify="right")
    table.add_column("95 % interval" if _common_level(record) else "interval", justify="right")
    for result in record.domains:
        for place, comparison in enumerate(result.comparisons):
            table.add_row(
                *_first_cell(result.facts, place),
                Text(named(comparison.metric)),
                f"{comparison.first:.4f}",
                f"{comparison.second:.4f}",
                _gain(comparison),
                f"{comparison.interval[0]:+.4f} to {comparison.interval[1]:+.4f}",
                end_section=place == len(result.comparisons) - 1,
            )
    return table


def _first_cell(facts: DomainFacts, place: int) -> tuple[Text]:
    """Tell a domain's data beside its first lines."""
    lines = (
        Text(_plain(facts.name), style="bold"),
        Text(f"{facts.n_users:,} users, {facts.n_items:,} items", style="dim"),
        Text(f"{facts.n_interactions:,} training, {facts.n_held_out:,} test", style="dim"),
    )
    return (lines[place] if place < len(lines) else Text(""),)


def _gain(comparison: Comparison) -> Text:
    relative = comparison.relative
    known = relative is not None and math.isfinite(relative)
    text = f"{100 * relative:+.0f} %" if known and relative is not None else f"{comparison.difference:+.4f}"
    return Text(text + (" (chance?)" if comparison.verdict == "open" else ""), style=_COLORS[comparison.verdict])


def _common_level(record: RunRecord) -> bool:
    return all(comparison.level == 0.95 for result in record.domains for comparison in result.comparisons)


def _plain(text: str) -> str:
    """Drop what a terminal would obey."""
    return "".join(character for character in text if character.isprintable())
