"""What a prepared set is like: a page with figures, a record for programs, and a table for the terminal."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raymm.contracts import Domain
from raymm.data.statistics import LEVELS, DomainStatistics, interaction_counts, lorenz
from raymm.report.drawing import STYLE, data_uri, figure_bytes, finish_axis, literal, series_color, title_axis

PAGE, RECORD = "description.html", "description.json"


@dataclass(frozen=True)
class Description:
    """A prepared set in figures.

    Attributes:
        name: Name of the data set.
        fingerprint: Hash of sources and recipe.
        domains: Statistics of the training interactions, one entry a domain.
        held_out: Domain to (validation, test) interactions.
        true_pairs: Users active in both domains.
        shared: Those of them that training knows to be one person.
        notes: What one should know before using it.
    """

    name: str
    fingerprint: str
    domains: tuple[DomainStatistics, ...]
    held_out: Mapping[str, tuple[int, int]]
    true_pairs: int
    shared: int
    notes: tuple[str, ...] = ()


def write_description(description: Description, domains: Sequence[Domain], folder: Path) -> Path:
    """Write `description.html` and `description.json`, and return the page's path.

    The page holds its style and its figures and asks for nothing from elsewhere; text that comes from data is escaped.

    Args:
        description: What to say.
        domains: The same domains, for the curves.
        folder: Where to write; made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(asdict(description), indent=1, ensure_ascii=False) + "\n", "utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raymm.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("description.html").render(
        description=description,
        rows=description_rows(description),
        figure=data_uri(draw_description(description, domains)),
    )
    (folder / PAGE).write_bytes(page.encode("utf-8", "backslashreplace"))
    return folder / PAGE


def draw_description(description: Description, domains: Sequence[Domain]) -> bytes:
    """Draw the long tail, the lengths of histories and, where there are any, ratings and times: an SVG image."""
    rated = [entry for entry in description.domains if entry.ratings]
    timed = [domain for domain in domains if domain.times is not None]
    with matplotlib.rc_context(STYLE):
        panels = 2 + bool(rated) + bool(timed)
        figure = Figure(figsize=(4.1 * panels, 3.1), layout="constrained")
        axes = list(figure.subplots(1, panels))
        _tails(axes[0], domains)
        _histories(axes[1], domains)
        if rated:
            _ratings(axes[2], rated)
        if timed:
            _times(axes[-1], timed)
        return figure_bytes(figure)


def description_rows(description: Description) -> list[tuple[str, list[str]]]:
    """Lay the statistics out: a label, and one text for each domain."""
    domains = description.domains
    quantiles = ", ".join(f"{100 * level:g} %" for level in LEVELS)
    rows = [
        ("users", [f"{entry.users:,}" for entry in domains]),
        ("items", [f"{entry.items:,}" for entry in domains]),
        ("training interactions", [f"{entry.interactions:,}" for entry in domains]),
        ("validation, test", [_held_out(description, entry.name) for entry in domains]),
        ("density", [f"{100 * entry.density:.3g} %" for entry in domains]),
        (f"interactions of a user ({quantiles})", [_spread(entry.histories) for entry in domains]),
        (f"interactions of an item ({quantiles})", [_spread(entry.popularity) for entry in domains]),
        ("users without any in training", [f"{entry.users_without:,}" for entry in domains]),
        ("items without any in training", [f"{entry.items_without:,}" for entry in domains]),
        ("share of the most popular fifth", [f"{100 * entry.head:.1f} %" for entry in domains]),
        ("Gini of the items", [f"{entry.gini:.3f}" for entry in domains]),
    ]
    if any(entry.mean_rating is not None for entry in domains):
        rows.append(("mean rating", [_or_none(entry.mean_rating, "{:.3f}") for entry in domains]))
    if any(entry.times for entry in domains):
        rows.append(("training time span", [_span(entry.times) for entry in domains]))
    names = dict.fromkeys(name for entry in domains for name in entry.modalities)
    rows.extend((f"modality {name}", [_modality(entry, name) for entry in domains]) for name in names)
    return rows


def description_table(description: Description, page: Path | None) -> RenderableType:
    """Lay the description out for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(_shown(description.name)), overflow="fold")
    for entry in description.domains:
        table.add_column(Text(_shown(entry.name)), justify="right", overflow="fold")
    for label, texts in description_rows(description):
        table.add_row(Text(label), *(Text(text) for text in texts))
    parts: list[RenderableType] = [table]
    if len(description.domains) > 1:
        parts.append(Text(f"  {description.true_pairs:,} users in both domains, {description.shared:,} known as such"))
    parts.extend(Text(f"  ! {_shown(note)}", style="yellow") for note in description.notes)
    if page is not None:
        parts.append(Text(f"  {page}"))
    return Group(*parts)


def _tails(axis: Any, domains: Sequence[Domain]) -> None:
    for place, domain in enumerate(domains):
        items, shares = lorenz(interaction_counts(domain)[1])
        axis.plot(items, shares, color=series_color(place), linewidth=2, label=literal(domain.name))
    axis.plot([0, 1], [0, 1], color="#b3b9c4", linewidth=1)
    for side in (axis.xaxis, axis.yaxis):
        side.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.set_xlabel("items, the most popular first")
    axis.legend(frameon=False, fontsize=8.5)
    finish_axis(axis)
    title_axis(axis, "The long tail", "share of the interactions")


def _histories(axis: Any, domains: Sequence[Domain]) -> None:
    for place, domain in enumerate(domains):
        lengths, counts = np.unique(interaction_counts(domain)[0], return_counts=True)
        shares = counts[::-1].cumsum()[::-1] / counts.sum()
        axis.step(np.maximum(lengths, 0.5), shares, where="post", color=series_color(place), linewidth=2)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("at least so many training interactions")
    finish_axis(axis)
    title_axis(axis, "Histories", "share of the users")


def _ratings(axis: Any, rated: Sequence[DomainStatistics]) -> None:
    names = sorted({name for entry in rated for name in entry.ratings}, key=float)
    width = 0.8 / len(rated)
    for place, entry in enumerate(rated):
        total = sum(entry.ratings.values())
        left = np.arange(len(names)) + (place - (len(rated) - 1) / 2) * width
        axis.bar(left, [entry.ratings.get(name, 0) / total for name in names], width * 0.92, color=series_color(place))
    axis.set_xticks(range(len(names)), names)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    finish_axis(axis)
    title_axis(axis, "Ratings", "share of the interactions")


def _times(axis: Any, timed: Sequence[Domain]) -> None:
    every = [np.asarray(domain.times) for domain in timed]
    edges = np.linspace(min(times.min() for times in every), max(times.max() for times in every) + 1, 61)
    for place, times in enumerate(every):
        shares = np.histogram(times, edges)[0] / len(times)
        axis.stairs(shares, edges / (365.2425 * 86400) + 1970, color=series_color(place), linewidth=1.6)
    axis.set_xlabel("year")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    finish_axis(axis)
    title_axis(axis, "Times", "share of the interactions")


def _held_out(description: Description, domain: str) -> str:
    validation, test = description.held_out[domain]
    return f"{validation:,}, {test:,}"


def _spread(quantiles: Sequence[float]) -> str:
    return ", ".join(f"{value:,.0f}" for value in quantiles)


def _or_none(value: float | None, form: str) -> str:
    return "none" if value is None else form.format(value)


def _span(times: tuple[int, int] | None) -> str:
    if times is None:
        return "none"
    return " to ".join(datetime.datetime.fromtimestamp(time, datetime.UTC).strftime("%Y-%m-%d") for time in times)


def _modality(entry: DomainStatistics, name: str) -> str:
    if name not in entry.modalities:
        return "none"
    columns, share = entry.modalities[name]
    return f"{columns:,} columns, {100 * share:.1f} % of the items"


def _shown(text: str) -> str:
    """Drop what a terminal would obey."""
    return "".join(character for character in text if character.isprintable())
