"""The report's figures, drawn without any global state and returned as data URIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from raymm.evaluation.slices import Slice
from raymm.report.drawing import (
    BASELINE,
    MODEL,
    MUTED,
    STYLE,
    data_uri,
    figure_bytes,
    finish_axis,
    literal,
    series_color,
    title_axis,
)
from raymm.report.record import RunRecord


def draw_training(record: RunRecord) -> str:
    """Draw the losses and the validation metric by epoch, the chosen epoch marked; empty without a history."""
    losses, validation = _series(record.history, "losses"), _validation(record)
    if not losses and not validation:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        title_axis(left, "Training losses", "weighted, mean over an epoch")
        _curves(left, losses)
        values = [value for _, curve in losses.values() for value in curve]
        if values and min(values) > 0 and max(values) > 30 * min(values):
            left.set_yscale("log")
            left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            left.yaxis.set_major_formatter("{x:g}")
            left.yaxis.set_minor_formatter(NullFormatter())
        title_axis(right, "Validation", record.selection)
        _curves(right, validation)
        best = best_epoch(record)
        if best is not None:
            right.axvline(best, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
            right.set_xlabel(f"epoch ({best} chosen)")
        return data_uri(figure_bytes(figure))


def draw_slices(model: Sequence[Slice], baseline: Sequence[Slice], metric: str) -> str:
    """Draw one metric by item popularity and by length of history, beside the baseline's.

    Args:
        model: Slices of the model.
        baseline: The same slices of the baseline.
        metric: Key of the metric.

    Returns:
        A data URI, empty where no slice holds anybody.
    """
    pairs = [(ours, theirs) for ours, theirs in zip(model, baseline, strict=True) if metric in ours.means]
    panels = [
        (
            "By item popularity",
            [pair for pair in pairs if pair[0].name.startswith(("group", "not in"))],
        ),
        ("By length of the user's history", [pair for pair in pairs if pair[0].family == "user history"]),
    ]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.1), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False, width_ratios=[len(rows) + 1 for _, rows in panels])[0]
        for axis, (title, rows) in zip(axes, panels, strict=True):
            title_axis(axis, title, metric)
            _bars(axis, rows, metric)
        return data_uri(figure_bytes(figure))


def draw_long_tail(record: RunRecord) -> str:
    """Draw how the training interactions of each domain fall on the fifths of its items; empty without a domain."""
    if not record.domains:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 2.4), layout="constrained")
        axis = figure.subplots()
        width = 0.8 / len(record.domains)
        for place, domain in enumerate(record.domains):
            shares = domain.facts.popularity
            left = np.arange(len(shares)) + (place - (len(record.domains) - 1) / 2) * width
            label = literal(domain.facts.name)
            axis.bar(left, shares, width * 0.92, color=series_color(place), label=label)
        axis.set_xticks(range(5), ["most\npopular", "2nd", "3rd", "4th", "least\npopular"])
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.legend(frameon=False)
        finish_axis(axis)
        title_axis(axis, "The long tail", "interactions by fifth of the items")
        return data_uri(figure_bytes(figure))


def best_epoch(record: RunRecord) -> int | None:
    """Return the epoch with the best selection value, the first of equals; None where nothing was validated."""
    curve = _series(record.history, "validation").get(record.selection)
    if curve is None:
        return None
    epochs, values = curve
    return int(epochs[int(np.argmax(values))])


def _validation(record: RunRecord) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Collect the selection metric, of the mean first and then of each domain; one curve where there is one domain."""
    curves = _series(record.history, "validation")
    names = {f"{domain.facts.name}.{record.selection}": domain.facts.name for domain in record.domains}
    named = {name: curves[key] for key, name in names.items() if key in curves}
    if record.selection in curves and len(named) != 1:
        named = {"mean of domains" if named else record.selection: curves[record.selection], **named}
    return named


def _series(history: Sequence[Mapping[str, Any]], part: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Collect name -> (epochs, values) of one part of the records, leaving out what is not finite."""
    points: dict[str, list[tuple[int, float]]] = {}
    for record in history:
        for name, value in record.get(part, {}).items():
            if value is not None and np.isfinite(value):
                points.setdefault(name, []).append((int(record["epoch"]), float(value)))
    return {
        name: (np.array(list(zip(*rows, strict=True))[0]), np.array([row[1] for row in rows]))
        for name, rows in points.items()
    }


def _curves(axis: Any, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    for place, (name, (epochs, values)) in enumerate(curves.items()):
        color, width = series_color(place), 1.4 if place else 2.2
        marker = "o" if len(epochs) < 3 else None
        axis.plot(epochs, values, color=color, linewidth=width, marker=marker, markersize=4, label=literal(name))
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if curves:
        axis.legend(frameon=False, fontsize=8.5)
    finish_axis(axis)


def _bars(axis: Any, rows: Sequence[tuple[Slice, Slice]], metric: str) -> None:
    place = np.arange(len(rows))
    axis.bar(place - 0.2, [ours.means[metric] for ours, _ in rows], 0.38, color=MODEL)
    axis.bar(place + 0.2, [theirs.means[metric] for _, theirs in rows], 0.38, color=BASELINE)
    axis.set_xticks(place, [f"{_short(ours.name)}\n{ours.n_users:,}" for ours, _ in rows])
    finish_axis(axis)
    axis.grid(visible=False, axis="x")


def _short(name: str) -> str:
    if name.startswith("group"):
        ends = {"most popular": "most\npopular", "least popular": "least\npopular"}
        number, _, end = name.removeprefix("group ").partition(", ")
        return ends.get(end, f"{number.split(' ')[0]}\n")
    return {"not in training": "not in\ntraining"}.get(name, name)
