"""The figures of a family of runs: variants as bars or along an axis, and cut by slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from raymm.report.drawing import (
    BASELINE,
    INK,
    MODEL,
    MUTED,
    STYLE,
    figure_bytes,
    finish_axis,
    literal,
    png_bytes,
    series_color,
    title_axis,
)
from raymm.report.family_record import WHOLE, Cell, FamilyRecord
from raymm.report.record import named

_EVERYBODY = (WHOLE, "everybody")
_BARS = 8  # variants that fit beside each other in a slice, which is as many as there are colours


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure: the name of its files, what it shows, and the image in two formats."""

    name: str
    words: str
    svg: bytes
    png: bytes


def draw_family(record: FamilyRecord) -> tuple[Drawing, ...]:
    """Draw all users, a row a domain and a panel a metric, and a figure a kind of slice; none without results."""
    if not record.domains:
        return ()
    drawings = [_drawn("figure", "Every variant: mean over seeds, standard deviation, single seeds", _whole(record))]
    families = dict.fromkeys(cell.family for cell in record.cells if cell.family in ("item popularity", "user history"))
    for family in families:
        words = f"Every variant by {family}: mean over seeds and standard deviation"
        drawings.append(_drawn(f"figure_{family.replace(' ', '_')}", words, _sliced(record, family)))
    return tuple(drawings)


def _drawn(name: str, words: str, figure: Figure) -> Drawing:
    with matplotlib.rc_context(STYLE):
        return Drawing(name, words, figure_bytes(figure), png_bytes(figure))


def _whole(record: FamilyRecord) -> Figure:
    rows, columns = len(record.domains), len(record.metrics)
    height = 2.9 if record.axis else 0.9 + 0.34 * len(record.variants)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, rows * height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=False if record.axis else "row")
        for domain, row in zip(record.domains, axes, strict=True):
            for metric, axis in zip(record.metrics, row, strict=True):
                title_axis(axis, named(metric), domain)
                cells = _cells(record, domain, _EVERYBODY, metric)
                if record.axis:
                    _curves(axis, record, cells)
                else:
                    _bars(axis, record, cells)
                finish_axis(axis)
        if record.axis and len(axes[0][0].get_legend_handles_labels()[0]) > 1:
            axes[0][0].legend(frameon=False, fontsize=8.5)
    return figure


def _cells(record: FamilyRecord, domain: str, part: tuple[str, str], metric: str) -> dict[str, Cell]:
    found = {variant.label: record.find(domain, part, metric, variant.label) for variant in record.variants}
    return {label: cell for label, cell in found.items() if cell is not None}


def _bars(axis: Any, record: FamilyRecord, cells: Mapping[str, Cell]) -> None:
    """Draw one horizontal bar a variant, the reference in grey; the axis begins at zero."""
    labels = [variant.label for variant in record.variants]
    for place, label in enumerate(labels):
        cell = cells.get(label)
        if cell is None:
            axis.annotate("no result", (0, place), fontsize=8, color=MUTED, va="center")
            continue
        color = BASELINE if label == record.reference else MODEL
        axis.barh(place, cell.mean, 0.66, color=color, xerr=cell.spread, error_kw=_whisker())
        axis.scatter(list(cell.seeds.values()), [place] * len(cell.seeds), s=9, color=INK, zorder=3)
    axis.set_yticks(range(len(labels)), [literal(label) for label in labels])
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.set_xlim(left=0)
    axis.grid(visible=False, axis="y")


def _curves(axis: Any, record: FamilyRecord, cells: Mapping[str, Cell]) -> None:
    """Draw one curve a series through means over seeds, and variants without a place as levels across."""
    series: dict[str, list[tuple[float, Cell]]] = {}
    for variant in record.variants:
        if variant.x is not None and variant.label in cells:
            series.setdefault(variant.series, []).append((variant.x, cells[variant.label]))
    for place, (name, points) in enumerate(series.items()):
        points.sort(key=lambda point: point[0])
        x, means = [x for x, _ in points], [cell.mean for _, cell in points]
        spreads = [cell.spread or 0.0 for _, cell in points]
        color = series_color(place)
        axis.errorbar(
            x, means, spreads, color=color, marker="o", markersize=4, capsize=3, label=literal(name or "mean")
        )
        for at, cell in points:
            axis.scatter([at] * len(cell.seeds), list(cell.seeds.values()), s=8, color=color, alpha=0.45)
    levels = [variant.label for variant in record.variants if variant.x is None and variant.label in cells]
    for place, label in enumerate(levels, start=len(series)):
        axis.axhline(cells[label].mean, color=series_color(place), linestyle=(0, (4, 3)), label=literal(label))
    if record.log:
        axis.set_xscale("log")
    axis.set_xlabel(literal(record.axis))


def _sliced(record: FamilyRecord, family: str) -> Figure:
    rows, columns = len(record.domains), len(record.metrics)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for domain, row in zip(record.domains, axes, strict=True):
            for metric, axis in zip(record.metrics, row, strict=True):
                title_axis(axis, f"{named(metric)} by {family}", domain)
                _groups(axis, record, domain, (family, metric))
        handles, labels = axes[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return figure


def _groups(axis: Any, record: FamilyRecord, domain: str, what: tuple[str, str]) -> None:
    """Draw the parts of one kind beside each other, in each of them one bar a variant."""
    family, metric = what
    parts = [part for part in record.parts(domain, family) if part not in ("head", "tail")]
    shown = record.variants[:_BARS]
    width = 0.82 / len(shown)
    for place, variant in enumerate(shown):
        cells = [record.find(domain, (family, part), metric, variant.label) for part in parts]
        kept = [(at, cell) for at, cell in enumerate(cells) if cell is not None]
        left = np.array([at for at, _ in kept]) + (place - (len(shown) - 1) / 2) * width
        heights = [cell.mean for _, cell in kept]
        spreads = [cell.spread or 0.0 for _, cell in kept] if any(cell.spread for _, cell in kept) else None
        label = literal(variant.label)
        axis.bar(left, heights, width * 0.92, color=series_color(place), yerr=spreads, error_kw=_whisker(), label=label)
    axis.set_xticks(range(len(parts)), short_names(parts), fontsize=8)
    finish_axis(axis)
    axis.grid(visible=False, axis="x")


def short_names(parts: Sequence[str]) -> list[str]:
    """Shorten the names of slices for the foot of a panel: the first and the last fifth in words, others by number."""
    return [_short(part) for part in parts]


def _short(name: str) -> str:
    if not name.startswith("group"):
        return name.replace(" ", "\n", 1) if name.startswith("not") else name
    number, _, end = name.removeprefix("group ").partition(", ")
    return end.replace(" ", "\n") if end else number.split(" ")[0]


def _whisker() -> dict[str, Any]:
    return {"ecolor": MUTED, "elinewidth": 1, "capsize": 2}
