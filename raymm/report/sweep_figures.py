"""The figures of a sweep: values over the trials, settings beside values, and which settings mattered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

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
from raymm.report.importance import best_so_far
from raymm.report.sweep_record import ModelSweep, SweepRecord, ranked

_TICKS = 5  # labels on an axis of the parallel coordinates
_BEST = 3  # trials drawn above the others


def draw_history(record: SweepRecord) -> str:
    """Draw the value of every trial and the best so far, a color a model; failed trials stand at the foot."""
    searched = [(place, model) for place, model in enumerate(record.models) if ranked(model.searched)]
    if not searched:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.4), layout="constrained")
        axis = figure.subplots()
        for place, model in searched:
            _history(axis, model, series_color(place))
        foot = axis.get_ylim()[0]
        for place, model in enumerate(record.models):
            failed = [number for number, trial in enumerate(model.searched, 1) if trial.state == "failed"]
            axis.scatter(failed, [foot] * len(failed), marker="x", color=series_color(place), clip_on=False)
        axis.set_xlabel("trial")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(frameon=False, ncols=4)
        finish_axis(axis)
        title_axis(axis, "Trials", f"{record.metric} on validation; line: best so far; hollow: stopped; cross: failed")
        return data_uri(figure_bytes(figure))


def draw_coordinates(model: ModelSweep, metric: str) -> str:
    """Draw every trial of a model as a line through its settings to its value; empty without values."""
    rated = ranked(model.searched)
    names = [
        name for name in (rated[0].values if rated else ()) if len({str(one.values.get(name)) for one in rated}) > 1
    ]
    if len(rated) < 2 or not names:
        return ""
    values = np.array([trial.value for trial in rated])
    columns = [_scaled([trial.values[name] for trial in rated]) for name in names]
    columns.append(_scaled(values.tolist()))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.6), layout="constrained")
        axis = figure.subplots()
        for place in reversed(range(len(rated))):
            best = place < _BEST
            heights = [heights[place] for heights, _ in columns]
            color, width = (MODEL, 1.8) if best else (BASELINE, 0.9)
            axis.plot(range(len(columns)), heights, color=color, linewidth=width, alpha=1.0 if best else 0.8)
        for place, (_, ticks) in enumerate(columns):
            axis.axvline(place, color=MUTED, linewidth=0.8)
            for height, label in ticks:
                axis.annotate(literal(label), (place, height), xytext=(4, 0), textcoords="offset points", fontsize=7.5)
        axis.set_xticks(range(len(columns)), [literal(_short(name)) for name in (*names, metric)], fontsize=8)
        axis.set_yticks([])
        axis.set_xlim(-0.1, len(columns) - 0.6)
        axis.grid(visible=False)
        title_axis(axis, f"Settings of {model.model}", f"one line a trial, the best {_BEST} in color")
        return data_uri(figure_bytes(figure))


def draw_importance(model: ModelSweep) -> str:
    """Draw the importance of a model's settings as bars; empty where it is not known."""
    if not model.importance:
        return ""
    names, shares = list(model.importance), list(model.importance.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 0.7 + 0.28 * len(names)), layout="constrained")
        axis = figure.subplots()
        axis.barh(range(len(names)), shares, color=MODEL, height=0.62)
        axis.set_yticks(range(len(names)), [literal(_short(name)) for name in names])
        axis.invert_yaxis()
        axis.set_xlim(0, max(0.05, *shares) * 1.05)
        axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        finish_axis(axis)
        title_axis(
            axis, f"What mattered for {model.model}", "share of the variance of ranks that a setting explains alone"
        )
        return data_uri(figure_bytes(figure))


def _history(axis: Any, model: ModelSweep, color: str) -> None:
    trials = model.searched
    numbers = {trial.name: number for number, trial in enumerate(trials, 1)}
    for state, filled in (("finished", color), ("stopped", "none")):
        shown = [trial for trial in trials if trial.state == state and trial.value is not None]
        axis.scatter(
            [numbers[trial.name] for trial in shown],
            [trial.value for trial in shown],
            s=22,
            edgecolors=color,
            facecolors=filled,
        )
    best = best_so_far(trials)
    axis.plot(
        [numbers[name] for name in best], list(best.values()), color=color, drawstyle="steps-post", label=model.model
    )


def _scaled(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Return each value's height, 0 to 1, and labelled heights: numbers by size (or logarithm), others in order."""
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    kinds = sorted(set(values), key=(lambda value: value) if numeric else str)
    if not numeric or len(kinds) <= _TICKS + 2:
        heights = {kind: place / max(1, len(kinds) - 1) for place, kind in enumerate(kinds)}
        return [heights[value] for value in values], [(height, _label(kind)) for kind, height in heights.items()]
    numbers = np.asarray(values, dtype=float)
    log = numbers.min() > 0 and numbers.max() > 30 * numbers.min()
    low, high = (np.log(numbers.min()), np.log(numbers.max())) if log else (numbers.min(), numbers.max())
    places = np.linspace(0, 1, _TICKS)
    labels = [_label(float(np.exp(low + at * (high - low)) if log else low + at * (high - low))) for at in places]
    scaled = ((np.log(numbers) if log else numbers) - low) / (high - low)
    return scaled.tolist(), list(zip(places.tolist(), labels, strict=True))


def _label(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _short(name: str) -> str:
    """Leave out the first of a setting's names, and break the rest."""
    parts = name.split(".")[1:] if name.startswith(("settings.", "train.")) else name.split(".")
    return "\n".join(parts)
