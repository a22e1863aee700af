"""All that the page of a family of runs says, as plain frozen data that JSON and CSV can hold."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["waiting", "running", "finished", "failed"]
WHOLE = "all"
ERRORS = ("mse", "mae")
"""Metrics of models of ratings: a user's mean error, of which less is better."""


@dataclass(frozen=True)
class FamilyRun:
    """One training of a family.

    Attributes:
        label: Label of its variant.
        seed: Its seed.
        name: Name of its run folder.
        state: How far it is.
        epochs: Epochs done; 1 of a closed form.
        validation: Best value of its selection metric on validation; None where there is none.
        seconds: Time of the training.
        reason: Why it failed.
    """

    label: str
    seed: int
    name: str
    state: State = "waiting"
    epochs: int = 0
    validation: float | None = None
    seconds: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class Cell:
    """One variant by one metric on one part of one domain's test set.

    Attributes:
        domain: The domain.
        family: What the parts were made by: `all`, `item popularity`, `user history`, or `catalogue`.
        part: Which part it is.
        metric: Key of the metric.
        label: Label of the variant.
        n_users: Users with a held-out item in the part.
        seeds: Seed to mean over these users.
        against: Label of the variant it is compared with; empty where it is not.
        difference: Mean over the seeds less that of `against`; None where there is no paired comparison.
        interval: 95 % interval of the difference, over users and seeds.
        p_welch: Two-sided p of Welch's t-test between seeds; None with fewer than two seeds a side.
    """

    domain: str
    family: str
    part: str
    metric: str
    label: str
    n_users: int
    seeds: Mapping[str, float]
    against: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_welch: float | None = None

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.seeds.values())

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None with fewer than two."""
        return statistics.stdev(self.seeds.values()) if len(self.seeds) > 1 else None

    @property
    def verdict(self) -> Literal["better", "worse", "open", ""]:
        """Whether the interval lies above zero, below it, or holds it; empty where nothing was compared."""
        if self.interval is None:
            return ""
        low, high = self.interval
        if self.metric in ERRORS:
            low, high = -high, -low
        return "better" if low > 0 else "worse" if high < 0 else "open"


@dataclass(frozen=True)
class FamilyVariant:
    """One variant of a family.

    Attributes:
        label: Its name.
        model: Its model.
        preset: The model's preset that it starts from.
        settings: Dotted settings that differ from those of the reference, known pairs and recipe among them.
        data: Fingerprint of its prepared set; empty if that could not be made.
        x: Place on the x axis.
        series: Which curve it is a point of.
    """

    label: str
    model: str
    preset: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""
    x: float | None = None
    series: str = ""


@dataclass(frozen=True)
class FamilyRecord:
    """A family of runs, whole or as far as it has come.

    Attributes:
        name: Its name, that of its file.
        title: What was asked.
        data: Name of the data set.
        data_fingerprint: Fingerprint of the prepared set of variants without one of their own.
        reference: Label of the variant that the others are compared with.
        metrics: The metrics shown.
        created: Seconds since the epoch.
        variants: The variants, in the order of the file.
        runs: Their trainings.
        cells: What came out.
        axis: Name of the x axis; empty where there is none.
        log: Whether that axis is logarithmic.
        notes: What a reader should know.
    """

    name: str
    title: str
    data: str
    data_fingerprint: str
    reference: str
    metrics: tuple[str, ...]
    created: float
    variants: tuple[FamilyVariant, ...]
    runs: tuple[FamilyRun, ...]
    cells: tuple[Cell, ...]
    axis: str = ""
    log: bool = False
    notes: tuple[str, ...] = ()

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that there are results of."""
        return tuple(dict.fromkeys(cell.domain for cell in self.cells))

    def failed(self) -> tuple[FamilyRun, ...]:
        """Return the runs that failed."""
        return tuple(run for run in self.runs if run.state == "failed")

    def parts(self, domain: str, family: str) -> tuple[str, ...]:
        """Return the parts of one kind, in order."""
        own = [cell for cell in self.cells if (cell.domain, cell.family) == (domain, family)]
        found = (cell.part for cell in own if cell.metric in self.metrics)
        return tuple(dict.fromkeys(found))

    def find(self, domain: str, part: tuple[str, str], metric: str, label: str) -> Cell | None:
        """Return the result of one variant, None if there is none.

        Args:
            domain: The domain.
            part: What the parts were made by, and which it is.
            metric: Key of the metric.
            label: Label of the variant.
        """
        wanted = (domain, *part, metric, label)
        return next((cell for cell in self.cells if _key(cell) == wanted), None)

    def plain(self) -> dict[str, Any]:
        """Return plain data; each cell says its mean and spread, too."""
        values = dataclasses.asdict(self)
        for row, cell in zip(values["cells"], self.cells, strict=True):
            row |= {"mean": cell.mean, "sd": cell.spread}
        return values


def to_csv(record: FamilyRecord) -> str:
    """Write the results as comma-separated values, one line a variant, metric and part."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heads = ("domain", "slices", "slice", "metric", "variant", "x", "users", "seeds", "mean", "sd")
    writer.writerow((*heads, "against", "difference", "low", "high", "p_welch"))
    places = {variant.label: variant.x for variant in record.variants}
    for cell in record.cells:
        low, high = cell.interval or (None, None)
        facts = (cell.domain, cell.family, cell.part, cell.metric, cell.label, places[cell.label], cell.n_users)
        tests = (cell.against, cell.difference, low, high, cell.p_welch)
        writer.writerow((*facts, len(cell.seeds), cell.mean, cell.spread, *tests))
    return stream.getvalue()


def _key(cell: Cell) -> tuple[str, str, str, str, str]:
    return cell.domain, cell.family, cell.part, cell.metric, cell.label
