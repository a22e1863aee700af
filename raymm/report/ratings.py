"""The report of a rating run: one HTML page that needs nothing else, the same record as JSON, and a table."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raymm.evaluation.compare import Comparison
from raymm.report.drawing import STYLE, data_uri, figure_bytes, finish_axis, literal, series_color, title_axis
from raymm.report.page import PAGE, RECORD, setting_rows
from raymm.report.rating_record import FLOOR, ErrorSlice, RatingRecord, write_rating_record
from raymm.report.record import named

_WORDS = {
    "mean": "mean of all ratings",
    "item_bias": "mean and item bias",
    "floor": "and the user's bias in the source",
    "floor_plus": "and how the user rates in the source",
}


def rating_report(record: RatingRecord, folder: Path) -> None:
    """Write the report of a rating run as `report.html` and `report.json` into an existing folder."""
    write_rating_record(record, folder / RECORD)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raymm.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("ratings.html").render(
        record=record,
        created=datetime.datetime.fromtimestamp(record.created, datetime.UTC).strftime("%d %B %Y, %H:%M UTC"),
        summary=summary(record),
        words=_WORDS,
        training=draw_stages(record),
        slices=draw_error_slices(record),
        settings=setting_rows(record.settings, record.defaults),
        named=named,
    )
    (folder / PAGE).write_bytes(page.encode("utf-8", "backslashreplace"))


def summary(record: RatingRecord) -> str:
    """Say in a sentence what came out."""
    own, floor = (record.errors[name]["rmse"] for name in (record.model, FLOOR))
    gain = 100 * (1 - own / floor)
    sure = record.saved[FLOOR].verdict
    chance = {"better": "beyond chance", "worse": "beyond chance", "open": "which could be chance"}[sure]
    where = "below" if gain >= 0 else "above"
    told = f"{record.model} errs {own:.4f} (RMSE), {abs(gain):.2f} % {where} the floor"
    return f"{told}; user by user {_said(sure)}, {chance}."


def draw_stages(record: RatingRecord) -> str:
    """Draw losses and validation errors of the stages by epoch; empty without epochs."""
    names = list(dict.fromkeys(epoch["stage"] for epoch in record.history if epoch["losses"]))
    if not names:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.0), layout="constrained")
        for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            title_axis(axis, name, "loss; validation error where it has one")
            epochs = [epoch for epoch in record.history if epoch["stage"] == name]
            for place, key in enumerate(("losses", "diagnostics")):
                values = [next(iter(epoch[key].values()), None) for epoch in epochs]
                if any(value is not None for value in values):
                    axis.plot(range(1, len(values) + 1), values, color=series_color(place), label=key[:-1])
            axis.set_xlabel("epoch")
            finish_axis(axis)
        return data_uri(figure_bytes(figure))


def draw_error_slices(record: RatingRecord) -> str:
    """Draw errors by parts of the test, the model's beside the floor's; empty without parts."""
    families = list(dict.fromkeys(part.family for part in record.slices))
    if not families:
        return ""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.2), layout="constrained")
        for axis, family in zip(figure.subplots(1, len(families), squeeze=False)[0], families, strict=True):
            parts = [part for part in record.slices if part.family == family]
            title_axis(axis, family, "RMSE")
            _bars(axis, parts, (record.model, FLOOR))
            finish_axis(axis)
        return data_uri(figure_bytes(figure))


def rating_table(record: RatingRecord, report: Path | None, model_uri: str, next_command: str) -> RenderableType:
    """Lay out what a rating run gave, for the terminal; see `report.table.summary_table`."""
    facts = record.facts
    heading = Text.assemble(
        ("test set", "bold"), f"  {record.model}, run {_plain(record.name)}: {facts.source} to {facts.target}, "
    )
    heading.append(f"{facts.n_ratings:,} ratings of {facts.n_users:,} new users", style="dim")
    table = Table(
        "", "RMSE", "clipped", "MAE", "clipped", "to floor", "saves of a user's MSE, 95 %", box=box.SIMPLE_HEAD
    )
    floor = record.errors[FLOOR]["rmse"]
    for name, errors in record.errors.items():
        numbers = (f"{errors[key]:.4f}" for key in ("rmse", "rmse_clipped", "mae", "mae_clipped"))
        saved = record.saved.get(name)
        style = "bold" if name == record.model else ""
        relative = f"{100 * (errors['rmse'] / floor - 1):+.2f} %"
        table.add_row(Text(name), *numbers, relative, _interval(saved) if saved else "", style=style)
    parts: list[RenderableType] = [heading, table]
    if record.parity:
        words = ", ".join(f"{name} {value:.4f}" for name, value in record.parity.items())
        parts.append(Text(f"  selected on the test set, not a result: {words}", style="dim"))
    if record.ranking:
        parts.append(_ranking(record))
    parts.extend(Text(f"  ! {_plain(warning)}", style="yellow") for warning in record.warnings)
    for label, words in (
        ("report", "" if report is None else str(report)),
        ("model", model_uri),
        ("next", next_command),
    ):
        if words:
            parts.append(Text.assemble((f" {label:7}", "dim"), (_plain(words), "bold" if label == "next" else "")))
    return Group(*parts)


def _ranking(record: RatingRecord) -> Table:
    metrics = [key for key in ("hr@10", "ndcg@20", "recall@20") if key in next(iter(record.ranking.values()))]
    table = Table("ranking", *map(named, metrics), "its NDCG@20 less, 95 %", box=box.SIMPLE_HEAD)
    for name, values in record.ranking.items():
        less = record.ranked.get(name)
        table.add_row(Text(name), *(f"{values[key]:.4f}" for key in metrics), _interval(less) if less else "")
    return table


def _interval(comparison: Comparison) -> str:
    low, high = comparison.interval
    return f"{comparison.difference:+.4f} [{low:+.4f}, {high:+.4f}]"


def _plain(text: str) -> str:
    """Drop what a terminal would obey."""
    return "".join(character for character in text if character.isprintable())


def _said(verdict: str) -> str:
    return {"better": "it is better", "worse": "it is worse", "open": "no difference is certain"}[verdict]


def _bars(axis: Any, parts: list[ErrorSlice], models: tuple[str, str]) -> None:
    for place, model in enumerate(models):
        left = np.arange(len(parts)) + (place - 0.5) * 0.4
        axis.bar(left, [part.rmse[model] for part in parts], 0.37, color=series_color(place), label=literal(model))
    axis.set_xticks(range(len(parts)), [f"{part.name}\n{part.n_ratings:,}" for part in parts])
    axis.legend(frameon=False, fontsize=8.5)
