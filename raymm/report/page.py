"""The report of a run: one HTML page that needs nothing else, and the same record as JSON."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from raymm import config
from raymm.evaluation.compare import Comparison
from raymm.report import figures
from raymm.report.record import DomainResult, RunRecord, named, write_record

PAGE, RECORD = "report.html", "report.json"

_WORDS = {
    "hr": "users with a held-out item among the first {}",
    "ndcg": "how high the held-out items stand in the first {}",
    "recall": "share of the held-out items among the first {}",
    "precision": "share of the first {} that was held out",
    "map": "mean precision at the held-out items in the first {}",
    "mrr": "one over the rank of the first held-out item in the first {}",
}


@dataclass(frozen=True)
class ReportFiles:
    """Where a report stands: the page to open, and the record to read by program."""

    page: Path
    record: Path


def run_report(record: RunRecord, folder: Path) -> ReportFiles:
    """Write the report of a run as `report.html` and `report.json`.

    The page holds its style and its figures; it has no script and asks for nothing from elsewhere. Text that comes from
    data is escaped.

    Args:
        record: What to report.
        folder: Where to write; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = ReportFiles(folder / PAGE, folder / RECORD)
    write_record(record, files.record)
    files.page.write_bytes(render_page(record).encode("utf-8", "backslashreplace"))
    return files


def render_page(record: RunRecord) -> str:
    """Render the page of a run."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raymm.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "brief": _brief,
        "signed": _signed,
        "percent": _percent,
        "chance": _chance,
    }
    environment.filters |= {"meaning": _meaning, "named": named}
    return environment.get_template("run.html").render(
        record=record,
        created=datetime.datetime.fromtimestamp(record.created, datetime.UTC).strftime("%d %B %Y, %H:%M UTC"),
        results=[
            (result, [_tile(comparison) for comparison in result.comparisons], _grid(result.means[record.model]))
            for result in record.domains
        ],
        summary=_summary(record),
        training=figures.draw_training(record),
        long_tail=figures.draw_long_tail(record),
        slices=[(result, _slice_figure(record, result)) for result in record.domains],
        epochs=_epochs(record),
        diagnostics=_diagnostics(record.history),
        settings=setting_rows(record.settings, record.defaults),
    )


def setting_rows(settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """List settings as (dotted name, value, differs from the default)."""
    usual, rows = config.flatten(defaults), config.flatten(settings)
    return [(name, _text(value), name in usual and usual[name] != value) for name, value in sorted(rows.items())]


def _tile(comparison: Comparison) -> dict[str, Any]:
    """What a tile shows: the comparison, and the lengths of its bars in percent."""
    largest = max(comparison.first, comparison.second) or 1.0
    return {
        "comparison": comparison,
        "model_bar": f"{100 * comparison.first / largest:.1f}",
        "baseline_bar": f"{100 * comparison.second / largest:.1f}",
    }


def _grid(means: Mapping[str, float]) -> dict[str, Any]:
    """Split the metrics' keys into names and cutoffs, in their order."""
    parts = [key.partition("@") for key in means]
    return {
        "metrics": list(dict.fromkeys(name for name, _, _ in parts)),
        "cutoffs": list(dict.fromkeys(cutoff for _, _, cutoff in parts)),
    }


def _summary(record: RunRecord) -> str:
    """Say in a sentence what came out."""
    kinds = [comparison.verdict for result in record.domains for comparison in result.comparisons]
    better, worse, total = kinds.count("better"), kinds.count("worse"), len(kinds)
    if not total:
        return "Nothing was compared."
    if better == total:
        return f"{record.model} is better than {record.baseline} in everything compared here, beyond chance."
    if worse == total:
        return f"{record.model} is worse than {record.baseline} in everything compared here, beyond chance."
    if not better and not worse:
        return f"No difference between {record.model} and {record.baseline} here is beyond chance."
    return (
        f"Of {total} comparisons with {record.baseline}, {record.model} is better in {better} and worse in {worse} "
        "beyond chance."
    )


def _slice_figure(record: RunRecord, result: DomainResult) -> str:
    metric = next((comparison.metric for comparison in result.comparisons if comparison.metric.startswith("ndcg")), "")
    if not metric or not {record.model, record.baseline} <= set(result.slices):
        return ""
    return figures.draw_slices(result.slices[record.model], result.slices[record.baseline], metric)


def _epochs(record: RunRecord) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    for epoch in record.history:
        for name, value in epoch.get("seconds", {}).items():
            seconds[name] = seconds.get(name, 0.0) + (value or 0.0)
    return {"count": len(record.history), "best": figures.best_epoch(record), "seconds": seconds}


def _diagnostics(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a diagnostic: its last value, its range, and a line through the epochs (points of a 100 x 20 box)."""
    series: dict[str, list[float]] = {}
    for record in history:
        for name, value in record.get("diagnostics", {}).items():
            if isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(name, []).append(float(value))
    rows = []
    for name, values in sorted(series.items()):
        low, high = min(values), max(values)
        step, height = 100 / max(1, len(values) - 1), (high - low) or 1.0
        points = " ".join(
            f"{place * step:.1f},{18 - 16 * (value - low) / height:.1f}" for place, value in enumerate(values)
        )
        rows.append({"name": name, "last": values[-1], "low": low, "high": high, "points": points})
    return rows


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _number(value: Any) -> str:
    """Write a count with separators, a metric with four digits, and a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _brief(value: Any) -> str:
    """Write a number of any size with three significant digits."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def _signed(value: float, digits: int = 4) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _percent(value: float, digits: int = 1, signed: bool = False) -> str:
    text = f"{100 * value:+.{digits}f}" if signed else f"{100 * value:.{digits}f}"
    return text.replace("-", "−") + " %"


def _chance(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def _meaning(metric: str) -> str:
    name, _, cutoff = metric.partition("@")
    return _WORDS.get(name, "{}").format(cutoff)
