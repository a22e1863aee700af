"""The summary at the end of a run, for the terminal."""

from __future__ import annotations

import math
from pathlib import Path

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raymm.evaluation.compare import Comparison
from raymm.report.rating_record import RatingRecord
from raymm.report.ratings import rating_table
from raymm.report.record import DomainFacts, DomainResult, RunRecord, named

_COLORS = {"better": "green", "worse": "red", "open": "yellow"}


def summary_table(
    record: RunRecord | RatingRecord, report: Path | None, model_uri: str, next_command: str
) -> RenderableType:
    """Lay out what a run gave: its data, its metrics beside the baseline's, and where to go from here.

    Args:
        record: The run.
        report: Where the report's page is; None if none was written.
        model_uri: URI of the registered model; empty if none was registered.
        next_command: The command to try next; empty for none.

    Returns:
        Something that a rich console prints. The difference and its interval are those to the record's baseline. Names
        that come from data are shown as they are, without markup.
    """
    if isinstance(record, RatingRecord):
        return rating_table(record, report, model_uri, next_command)
    heading = Text.assemble(
        ("test set", "bold"), f"  {_plain(record.model)} beside {_plain(record.baseline)}, run {_plain(record.name)}"
    )
    if record.candidates:
        heading.append(f", among {record.candidates:,} sampled candidates", "yellow")
    parts: list[RenderableType] = [heading]
    for result in record.domains:
        parts.extend((Text(), _facts(result.facts), _metrics(record, result)))
    parts.extend(Text(f"  ! {_plain(warning)}", style="yellow") for warning in record.warnings)
    rows = (("report", "" if report is None else str(report)), ("model", model_uri), ("next", next_command))
    for label, text in rows:
        if text:
            parts.append(Text.assemble((f" {label:7}", "dim"), (_plain(text), "bold" if label == "next" else "")))
    return Group(*parts)


def _facts(facts: DomainFacts) -> Text:
    return Text.assemble(
        (_plain(facts.name), "bold"),
        (f"  {facts.n_users:,} users, {facts.n_items:,} items, ", "dim"),
        (f"{facts.n_interactions:,} training and {facts.n_held_out:,} test interactions", "dim"),
    )


def _metrics(record: RunRecord, result: DomainResult) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("metric", min_width=10)
    others = sorted(set(result.means) - {record.model, record.baseline})
    for name in (record.model, record.baseline, *others, "difference"):
        table.add_column(Text(_plain(name)), justify="right")
    table.add_column("95 % interval" if _common_level(record) else "interval", justify="right")
    for comparison in result.comparisons:
        table.add_row(
            Text(named(comparison.metric)),
            f"{comparison.first:.4f}",
            f"{comparison.second:.4f}",
            *(f"{result.means[name][comparison.metric]:.4f}" for name in others),
            _gain(comparison),
            f"{comparison.interval[0]:+.4f} to {comparison.interval[1]:+.4f}",
        )
    return table


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
