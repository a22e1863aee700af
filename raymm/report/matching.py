"""What a matching of two populations gave: a figure, and a table for the terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raymm.report.drawing import BASELINE, MODEL

FIGURE = "matching.svg"

_MUTED, _GRID = "#667085", "#e6e9ef"
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "svg.fonttype": "path",
    "svg.hashsalt": "raymm",
}


def draw_matching(best: np.ndarray, effective: np.ndarray, quality: Mapping[str, Any]) -> bytes:
    """Draw how sure the matching is and, where pairs were hidden, how often it found them.

    Args:
        best: (r,) weight of the best partner of each unknown source user, in [0, 1].
        effective: (r,) over how many partners each of them is spread, at least 1.
        quality: `hidden_pairs`, `candidates`, `chosen`, `baselines` and `plans`, the last two as lists of `method`,
            `hit_at_1` and `hit_at_10`; empty where nothing was hidden.

    Returns:
        An SVG image.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(12.4 if quality else 7.2, 3.2), layout="constrained")
        axes = figure.subplots(1, 3 if quality else 2, width_ratios=[1, 1, 1.4] if quality else [1, 1])
        _histogram(axes[0], best, np.linspace(0.0, 1.0, 41), "Weight of the best partner")
        axes[0].xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        most = max(2.0, float(effective.max(initial=1.0)) * 1.01)
        _histogram(axes[1], effective, np.geomspace(1.0, most, 41), "Effective partners")
        axes[1].set_xscale("log")
        if quality:
            _hits(axes[2], quality)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def compared(quality: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Pick the ways worth showing: each baseline, the best plan of each kind of marginals, the chosen one last.

    Returns:
        (label, row) pairs; every one was ranked on the same hidden pairs.
    """
    shown = [(str(row["method"]), row) for row in quality["baselines"]]
    for kind in ("balanced", "relaxed"):
        plans = [row for row in quality["plans"] if row["method"].endswith("balanced") == (kind == "balanced")]
        if plans:
            best = max(plans, key=lambda row: float(row["mrr"]))
            mark = " (chosen)" if best["method"] == quality["chosen"] else ""
            shown.append((f"{kind} plan{mark}", best))
    return sorted(shown, key=lambda entry: entry[0].endswith("(chosen)"))


def matching_table(folder: Path, record: Mapping[str, Any], quality: Mapping[str, Any], reused: bool) -> RenderableType:
    """Lay out what was matched, how well, and where it is.

    Args:
        folder: The matching.
        record: Content of its `certificate.json`.
        quality: Content of its `quality.json`, or nothing.
        reused: It was there already.

    Returns:
        Something that a rich console prints.
    """
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for label, text in _lines(record, quality):
        table.add_row(label, text)
    parts: list[RenderableType] = [table]
    if quality:
        parts.append(_quality_table(quality))
    parts.extend(Text(f"  ! {note}", style="yellow") for note in _warnings(record))
    parts.append(Text(f"  {folder}" + (" was there already, of the same files and settings" if reused else "")))
    for name, what in (
        ("partners/", "the heaviest partners of every source user, Parquet"),
        ("certificate.json", "every figure, and the settings"),
        (FIGURE, "the figure"),
    ):
        parts.append(Text(f"    {name:18}{what}", style="dim"))
    return Group(*parts)


def _lines(record: Mapping[str, Any], quality: Mapping[str, Any]) -> list[tuple[str, str]]:
    users, report, (left, right) = record["users"], record["report"], record["columns"]
    lines = [
        ("source", f"{users['source']:,} users, {left} columns"),
        ("target", f"{users['target']:,} users, {right} columns"),
        ("known pairs", f"{record['known_pairs']:,}"),
        ("settings", _settings(record["settings"], bool(quality))),
    ]
    if "relative_gap" not in report:
        return [*lines, ("matched", "nothing to do: all users of one side are known")]
    bound = "deterministic" if report["deterministic"] else "sampled rows, 99.9 % confidence"
    asked = record["settings"]["partition"]["target_gap"]
    quantiles = ", ".join(f"{report[f'effective_partners_p{level}']:,.1f}" for level in (10, 50, 90))
    spent = sum(float(value) for name, value in report.items() if name.startswith("seconds."))
    return [
        *lines,
        ("matched mass", f"{100 * report['mass']:.1f} % of the unknown users'; weights are shares of each user's own"),
        ("gap", f"{100 * report['relative_gap']:.2f} % ({bound}; asked: {100 * asked:g} %)"),
        ("effective partners", f"{quantiles} (10 %, 50 %, 90 % of the users)"),
        ("listed mass", f"{100 * report['listed_mass']:.1f} % of a user's, in {record['settings']['top_k']} partners"),
        ("solved", f"{report['iterations']} passes, {spent:.1f} s since it was last started"),
    ]


def _settings(settings: Mapping[str, Any], chosen: bool) -> str:
    omega = settings["omega"]
    parts = [f"{omega:g} distance"] if omega else []
    parts += [f"{1 - omega:g} {settings['relation']}"] if omega < 1 else []
    relaxed = f"relaxed rho {settings['relaxation']:g}"
    words = f"{' + '.join(parts)}, epsilon {settings['epsilon']:g}, "
    words += relaxed if settings["marginals"] == "relaxed" else "balanced"
    return words + (" (chosen on hidden pairs)" if chosen else "")


def _quality_table(quality: Mapping[str, Any]) -> Table:
    title = f"{quality['hidden_pairs']:,} hidden pairs, each among {quality['candidates']:,} candidates"
    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("way")
    for name in ("hit@1", "hit@10", "MRR"):
        table.add_column(name, justify="right")
    for label, row in compared(quality):
        values = (f"{row[name]:.3f}" for name in ("hit_at_1", "hit_at_10", "mrr"))
        table.add_row(Text(label), *values)
    return table


def _warnings(record: Mapping[str, Any]) -> list[str]:
    notes, report = [str(note) for note in record["notes"]], record["report"]
    if report.get("reached_target_gap") is False:
        notes.append("the gap that was asked for was not reached; raise partition.max_rounds or epsilon")
    return notes


def _histogram(axis: Any, values: np.ndarray, edges: np.ndarray, title: str) -> None:
    shares = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(1, len(values))
    axis.stairs(shares, edges, fill=True, color=MODEL)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
    axis.set_ylabel("unknown source users")
    axis.grid(visible=True, axis="y")


def _hits(axis: Any, quality: Mapping[str, Any]) -> None:
    shown: Sequence[tuple[str, Mapping[str, Any]]] = compared(quality)
    places = np.arange(len(shown))[::-1]
    for offset, name, label, color in ((0.2, "hit_at_1", "hit@1", MODEL), (-0.2, "hit_at_10", "hit@10", BASELINE)):
        axis.barh(places + offset, [row[name] for _, row in shown], 0.38, color=color, label=label)
    axis.set_yticks(places, [label for label, _ in shown])
    axis.set_xlim(0.0, 1.0)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.set_title("Hidden pairs found", loc="left", fontsize=10.5, fontweight="bold")
    note = f"{quality['hidden_pairs']:,} pairs, {quality['candidates']:,} candidates"
    axis.set_title(note, loc="right", fontsize=8.5, color=_MUTED)
    axis.grid(visible=True, axis="x")
    axis.legend(frameon=False, fontsize=8.5)
