"""What a family's evaluated runs say: means over seeds, and paired differences, whole and by slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from raymm.data.prepared import PreparedSet
from raymm.errors import DataError
from raymm.evaluation.compare import compare_seeds
from raymm.evaluation.rating import read_predictions
from raymm.evaluation.slices import WHOLE, slice_parts
from raymm.evaluation.values import RankingValues, restrict
from raymm.report.family_record import ERRORS, Cell
from raymm.report.page import RECORD
from raymm.report.record import read_record
from raymm.verbs.compare import stored_values
from raymm.verbs.evaluate import predicts_ratings, report_folder
from raymm.verbs.run import RunFolder

CATALOGUE = "catalogue"


@dataclass(frozen=True, eq=False)
class ArmRuns:
    """A variant with what was trained for it.

    Attributes:
        label: Its label.
        against: Label of the variant it is compared with; empty for none.
        prepared: Its data, as its runs see them.
        runs: Seed to evaluated run; none if all failed.
    """

    label: str
    against: str
    prepared: PreparedSet
    runs: Mapping[int, RunFolder]


Parts = Mapping[tuple[str, str], Mapping[int, RankingValues]]


def family_cells(
    arms: Sequence[ArmRuns], metrics: Sequence[str], slices: Sequence[str], domain: str
) -> tuple[list[Cell], list[str]]:
    """Compare the variants of a family.

    Each variant is compared with the one it names by a bootstrap over users and seeds together; users are paired. Two
    variants that were tested on other users or held-out items, as after another split, are not compared.

    Args:
        arms: The variants.
        metrics: Keys of the metrics.
        slices: Kinds of slices to cut by, beside the whole.
        domain: The one domain to look at; empty for all.

    Returns:
        The results, and what a reader should know of them.

    Raises:
        ArtefactError: A run's report is damaged.
    """
    some = [arm for arm in arms if arm.runs]
    names = dict.fromkeys(name for arm in some for run in arm.runs.values() for name in run.domains)
    cells: list[Cell] = []
    notes: list[str] = []
    for name in [name for name in names if domain in ("", name)]:
        parts = {arm.label: _parts(arm, name, {WHOLE[0], *slices}) for arm in some if name in _domains(arm)}
        here = [arm for arm in some if arm.label in parts]
        for metric in metrics:
            for arm in here:
                cells += _compared(arm, parts, name, metric, notes)
        for arm in here:
            cells += _catalogue(arm, name, slices)
    return cells, list(dict.fromkeys(notes))


def _domains(arm: ArmRuns) -> tuple[str, ...]:
    return next(iter(arm.runs.values())).domains


def _parts(arm: ArmRuns, name: str, wanted: set[str]) -> Parts:
    if predicts_ratings(next(iter(arm.runs.values()))):
        return {WHOLE: {seed: _user_errors(run, name) for seed, run in arm.runs.items()}}
    domain = arm.prepared.train_data("none").domain(name)
    found: dict[tuple[str, str], dict[int, RankingValues]] = {}
    for seed, run in arm.runs.items():
        values = stored_values(run, name)
        for part, pairs in slice_parts(values, domain).items():
            if part[0] in wanted and pairs.any():
                found.setdefault(part, {})[seed] = values if part == WHOLE else restrict(values, pairs)
    return found


def _user_errors(run: RunFolder, name: str) -> RankingValues:
    """Read predicted ratings as values of users: each user's mean squared and mean absolute error."""
    predicted, items = read_predictions(report_folder(run.folder) / f"{name}.{run.experiment.model}.npz")
    users, errors = predicted.per_user()
    counts = np.unique(predicted.users, return_counts=True)[1]
    starts = np.concatenate([[0], np.cumsum(counts)])
    order = np.lexsort((items, predicted.users))
    none = np.zeros(len(items), dtype=np.int64)
    return RankingValues(name, (), users, starts, items[order], none, {key: errors[key] for key in ERRORS})


def _compared(arm: ArmRuns, parts: Mapping[str, Parts], name: str, metric: str, notes: list[str]) -> Iterator[Cell]:
    others = parts.get(arm.against, {})
    for part, own in parts[arm.label].items():
        values = list(own.values())
        means = {str(seed): float(one.values[metric].mean()) for seed, one in own.items()}
        cell = Cell(name, *part, metric, arm.label, len(values[0].users), means)
        rivals = list(others.get(part, {}).values())
        if not rivals or len(values[0].users) < 2:
            yield cell
            continue
        try:
            found = compare_seeds(values, rivals, metric, np.random.default_rng(0))
        except DataError:
            notes.append(f"{arm.label} and {arm.against} have different test sets: their difference is not paired.")
            yield cell
            continue
        yield replace(
            cell,
            against=arm.against,
            difference=found.difference,
            interval=found.interval,
            p_welch=found.p_welch,
        )


def _catalogue(arm: ArmRuns, name: str, slices: Sequence[str]) -> Iterator[Cell]:
    """Pass on what reports say of the lists: coverage, Gini coefficient, mean popularity."""
    if predicts_ratings(next(iter(arm.runs.values()))):
        return
    seeds: dict[tuple[str, str, str], dict[str, float]] = {}
    users = {}
    for seed, run in arm.runs.items():
        record = read_record(report_folder(run.folder) / RECORD)
        result = next(result for result in record.domains if result.facts.name == name)
        shown = {(CATALOGUE, WHOLE[1]): (result.facts.n_evaluated, result.catalogue[record.model])}
        shown |= {(one.family, one.name): (one.n_users, one.shown) for one in result.slices[record.model]}
        for part, (count, measures) in shown.items():
            users[part] = count
            for metric, value in measures.items():
                seeds.setdefault((*part, metric), {})[str(seed)] = value
    for (family, which, metric), values in seeds.items():
        if family == CATALOGUE or family in slices:
            yield Cell(name, family, which, metric, arm.label, users[family, which], values)
