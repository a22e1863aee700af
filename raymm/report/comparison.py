"""Several runs on one data set beside each other: a page, a record for programs, and a table for the terminal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raymm.contracts import Domain
from raymm.errors import DataError
from raymm.evaluation.compare import Comparison, compare, compare_values
from raymm.evaluation.rating import RatingValues
from raymm.evaluation.slices import WHOLE, slice_parts
from raymm.evaluation.values import RankingValues, restrict
from raymm.report.drawing import STYLE, data_uri, figure_bytes, finish_axis, literal, series_color, title_axis
from raymm.report.record import named

PAGE, RECORD = "comparison.html", "comparison.json"


@dataclass(frozen=True)
class PartComparison:
    """One part of a test set, every run beside the first.

    Attributes:
        family: What the parts were made by: `all`, `item popularity` or `user history`.
        name: Which part it is.
        n_users: Users with a held-out item in it.
        means: Run to mean of the metric over these users.
        tests: Each other run against the first one, user by user; without those where there are fewer than two users.
    """

    family: str
    name: str
    n_users: int
    means: Mapping[str, float]
    tests: Mapping[str, Comparison]


@dataclass(frozen=True)
class DomainComparison:
    """One domain's parts by one metric."""

    domain: str
    metric: str
    parts: tuple[PartComparison, ...]


@dataclass(frozen=True)
class RunComparison:
    """All that a comparison says.

    Attributes:
        runs: Names of the runs; the others are compared with the first.
        data: Name of the data set.
        domains: One entry a domain and metric.
        candidates: Sampled items that what is held out was ranked among; 0 for all.
    """

    runs: tuple[str, ...]
    data: str
    domains: tuple[DomainComparison, ...]
    candidates: int = 0


def compare_domain(
    domain: Domain, rankings: Mapping[str, RankingValues], metric: str, generator: np.random.Generator
) -> DomainComparison:
    """Compare the first of several rankings with the others, on all users and on every slice.

    In a slice a user's positives are those of the slice, their ranks among all items stay, and users without a positive
    in it do not count; so the users of a slice are the same for every run, and the tests are paired.

    Args:
        domain: The training data.
        rankings: Run to its ranking of one test set, the first the one that the others are compared with.
        metric: Key of the metric.
        generator: Source of the bootstrap's draws.

    Raises:
        DataError: The rankings are of different users or held-out items, or lack the metric.
    """
    first = next(iter(rankings.values()))
    parts = slice_parts(first, domain)
    for other in list(rankings.values())[1:]:
        compare(other, first, metric, generator, draws=1)  # refuses what is not of the same users and items
    found = [_part(key, pairs, rankings, metric, generator) for key, pairs in parts.items() if pairs.any()]
    return DomainComparison(domain.name, metric, tuple(found))


def compare_errors(
    domain: str, predictions: Mapping[str, RatingValues], metric: str, generator: np.random.Generator
) -> DomainComparison:
    """Compare the first of several models of ratings with the others by users' mean errors; lower is better.

    Args:
        domain: The target domain.
        predictions: Run to its predictions of one test set.
        metric: `mse` or `mae`.
        generator: Source of the bootstrap's draws.

    Raises:
        DataError: The predictions are of different ratings.
    """
    first = next(iter(predictions.values()))
    for run, values in predictions.items():
        if not (np.array_equal(values.users, first.users) and np.array_equal(values.truth, first.truth)):
            raise DataError(f"other test ratings of {run}", "the same for every run", f"domain {domain!r}")
    errors = {run: values.per_user()[1][metric] for run, values in predictions.items()}
    name, *others = errors
    tests = {run: compare_values(errors[run], errors[name], metric, generator) for run in others}
    means = {run: float(values.mean()) for run, values in errors.items()}
    return DomainComparison(domain, metric, (PartComparison(*WHOLE, len(errors[name]), means, tests),))


def write_comparison(record: RunComparison, folder: Path) -> None:
    """Write `comparison.html` and `comparison.json` into an existing folder."""
    (folder / RECORD).write_text(json.dumps(dataclasses.asdict(record), indent=1, sort_keys=True) + "\n")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raymm.report"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    page = environment.get_template("comparison.html").render(
        record=record, figures=[draw_comparison(entry) for entry in record.domains], named=named
    )
    (folder / PAGE).write_bytes(page.encode("utf-8", "backslashreplace"))


def draw_comparison(entry: DomainComparison) -> str:
    """Draw every run by fifth of the items, most popular first, and by length of history: a data URI."""
    panels = [
        ("By item popularity", [part for part in entry.parts if part.name.startswith(("group", "not in"))]),
        ("By length of the user's history", [part for part in entry.parts if part.family == "user history"]),
    ]
    panels = [panel for panel in panels if panel[1]] or [("Everybody", list(entry.parts))]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.4), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, (title, parts) in zip(axes, panels, strict=True):
            title_axis(axis, title, named(entry.metric))
            runs = list(parts[0].means)
            width = 0.8 / len(runs)
            for place, run in enumerate(runs):
                left = np.arange(len(parts)) + (place - (len(runs) - 1) / 2) * width
                heights = [part.means[run] for part in parts]
                axis.bar(left, heights, width * 0.94, color=series_color(place), label=literal(run))
            axis.set_xticks(range(len(parts)), [_short(part.name) for part in parts])
            finish_axis(axis)
        axes[0].legend(frameon=False, fontsize=8.5)
        return data_uri(figure_bytes(figure))


def comparison_table(record: RunComparison, page: Path) -> RenderableType:
    """Lay out means and differences for the terminal; names are shown as they are, without markup."""
    shown: list[RenderableType] = []
    for entry in record.domains:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{_plain(entry.domain)}, {named(entry.metric)}")
        for head in ("slice", "users", *record.runs):
            table.add_column(Text(_plain(head)), justify="left" if head == "slice" else "right")
        for part in entry.parts:
            cells = [_cell(part, run) for run in record.runs]
            table.add_row(Text(part.name), f"{part.n_users:,}", *cells)
        shown.append(table)
    note = f"* the 95 % interval of the paired difference to {_plain(record.runs[0])} does not hold zero"
    if record.candidates:
        note += f"\nranked among {record.candidates:,} sampled candidates, not all items"
    return Group(*shown, Text(note, style="dim"), Text(f"page {page}"))


def _part(
    key: tuple[str, str],
    pairs: np.ndarray,
    rankings: Mapping[str, RankingValues],
    metric: str,
    generator: np.random.Generator,
) -> PartComparison:
    own = {run: restrict(values, pairs) for run, values in rankings.items()}
    first, *others = own
    n_users = len(own[first].users)
    tests = {run: compare(own[run], own[first], metric, generator) for run in others} if n_users > 1 else {}
    means = {run: float(values.values[metric].mean()) for run, values in own.items()}
    return PartComparison(*key, n_users, means, tests)


def _cell(part: PartComparison, run: str) -> str:
    test = part.tests.get(run)
    return f"{part.means[run]:.4f}" + ("*" if test is not None and test.verdict != "open" else " ")


def _short(name: str) -> str:
    if not name.startswith("group"):
        return name.replace(" ", "\n", 1) if name.startswith("not") else name
    number, _, end = name.removeprefix("group ").partition(", ")
    return end.replace(" ", "\n") if end else number.split(" ")[0]


def _plain(text: str) -> str:
    """Drop what a terminal would obey."""
    return "".join(character for character in text if character.isprintable())


def headline(cutoffs: Sequence[int]) -> tuple[str, ...]:
    """Return the metrics to compare by: recall and NDCG at 20, or at the largest cutoff."""
    cutoff = 20 if 20 in cutoffs else max(cutoffs)
    return (f"recall@{cutoff}", f"ndcg@{cutoff}")
