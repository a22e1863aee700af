"""Compare: the reports of several runs on one prepared set to paired tests, whole and by slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raymm import artefacts
from raymm.data.prepared import PreparedSet
from raymm.errors import ArtefactError, ConfigError
from raymm.evaluation.rating import RatingValues, read_predictions
from raymm.evaluation.values import RankingValues, read_values
from raymm.report.comparison import (
    PAGE,
    DomainComparison,
    RunComparison,
    compare_domain,
    compare_errors,
    headline,
    write_comparison,
)
from raymm.verbs import evaluate
from raymm.verbs.evaluate import matching_prepared, predicts_ratings, report_folder
from raymm.verbs.run import RunFolder, open_run_folder

KIND, SCHEMA = "comparison", 1


@dataclass(frozen=True, eq=False)
class Compared:
    """What a comparison left: all that it says, and the page to open."""

    record: RunComparison
    page: Path


def compare(runs: Sequence[Path], data: Path | None, output: Path, replace: bool = False) -> Compared:
    """Compare evaluated runs with the first of them, user by user, and write a page.

    The test set is not read again: reports keep where each held-out item stood.

    Args:
        runs: Run folders, two at least, all evaluated, on one prepared set.
        data: The prepared set, if it was moved since the training.
        output: Folder to write.
        replace: Take the place of an earlier comparison.

    Raises:
        ConfigError: Fewer than two runs, two of one name, or no domain in common.
        ArtefactError: A run is missing, damaged or not evaluated, or was trained on other data.
        DataError: The runs were tested on different users or held-out items.
    """
    opened = [open_run_folder(folder) for folder in runs]
    names = [run.name for run in opened]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError(f"runs {', '.join(names)}", "two or more, of different names", "comparison")
    prepared = [matching_prepared(run, data) for run in opened][0]
    marks = {run.data_fingerprint for run in opened}
    hides = {run.experiment.train.test_hides for run in opened}
    candidates = sorted({run.experiment.train.candidates for run in opened})
    if len(marks) > 1 or len(hides) > 1 or len(candidates) > 1:
        among = ", ".join(f"{count} candidates" if count else "all items" for count in candidates)
        raise ConfigError(
            f"runs on data {', '.join(sorted(marks))} that hide {', '.join(sorted(hides))} and rank among {among}",
            "one prepared set, and one value each of train.test_hides and train.candidates",
            "comparison",
            "compare runs that were tested alike",
        )
    domains = [name for name in opened[0].domains if all(name in run.domains for run in opened)]
    if not domains:
        raise ConfigError("runs about different domains", "a domain in common", "comparison")
    if len({predicts_ratings(run) for run in opened}) > 1:
        raise ConfigError("runs that predict ratings beside others that rank", "runs of one kind", "comparison")
    entries_of = _errors if predicts_ratings(opened[0]) else _rankings
    with artefacts.writing(output, KIND, SCHEMA, _inputs(opened), {}, replace) as (draft, facts):
        entries = entries_of(opened, domains, prepared)
        record = RunComparison(tuple(names), prepared.folder.name, tuple(entries), candidates[0])
        write_comparison(record, draft)
        facts["runs"] = names
    return Compared(record, output / PAGE)


def stored_values(run: RunFolder, domain: str) -> RankingValues:
    """Read what the evaluation of a run found in a domain, user by user; the test set is not read again.

    Raises:
        ArtefactError: The run was not evaluated, or its report is damaged.
    """
    return read_values(_report_file(run, domain))


def stored_predictions(run: RunFolder, domain: str) -> RatingValues:
    """Read what the evaluation of a run of ratings predicted; the test set is not read again.

    Raises:
        ArtefactError: The run was not evaluated, or its report is damaged.
    """
    return read_predictions(_report_file(run, domain))[0]


def _rankings(runs: Sequence[RunFolder], domains: Sequence[str], prepared: PreparedSet) -> list[DomainComparison]:
    cutoffs = set.intersection(*(set(run.experiment.train.cutoffs) for run in runs))
    if not cutoffs:
        raise ConfigError("runs without a cutoff in common", "one at least", "comparison", "evaluate with one")
    generator, data = np.random.default_rng(0), prepared.train_data("none")
    entries = []
    for name in domains:
        rankings = {run.name: stored_values(run, name) for run in runs}
        metrics = headline(sorted(cutoffs))
        entries += [compare_domain(data.domain(name), rankings, metric, generator) for metric in metrics]
    return entries


def _errors(runs: Sequence[RunFolder], domains: Sequence[str], _: PreparedSet) -> list[DomainComparison]:
    generator = np.random.default_rng(0)
    predictions = {name: {run.name: stored_predictions(run, name) for run in runs} for name in domains}
    return [compare_errors(name, predictions[name], metric, generator) for name in domains for metric in ("mse", "mae")]


def _report_file(run: RunFolder, domain: str) -> Path:
    folder = report_folder(run.folder)
    if not (folder / artefacts.MANIFEST).is_file():
        raise ArtefactError("no report", "an evaluated run", str(run.folder), f"first: raymm evaluate {run.folder}")
    artefacts.verify(folder, artefacts.read_manifest(folder, evaluate.KIND, evaluate.SCHEMA))
    return folder / f"{domain}.{run.experiment.model}.npz"


def _inputs(runs: Sequence[RunFolder]) -> dict[str, str]:
    return {f"run {run.name}": run.manifest.fingerprint for run in runs}
