"""Evaluate: a run and the sealed test set to a report. The one place that opens the test set."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import raymm
from raymm import artefacts
from raymm.contracts import Holdout, Scorer, TrainData
from raymm.data.prepared import PreparedSet, open_prepared
from raymm.data.sealed import open_sealed, open_sealed_ratings
from raymm.errors import ArtefactError, DataError
from raymm.evaluation.ranking import rank, top_k
from raymm.evaluation.values import RankingValues, write_values
from raymm.experiment import build_experiment
from raymm.models.baselines import item_knn, popularity
from raymm.models.registry import find_model
from raymm.models.spec import ModelSpec, RatingSpec
from raymm.report.judge import draw_examples, find_warnings, judge_domain
from raymm.report.page import PAGE, RECORD, run_report
from raymm.report.rating_record import RatingRecord, read_rating_record
from raymm.report.ratings import rating_report
from raymm.report.record import DomainResult, RunRecord, read_record
from raymm.report.symptoms import lines_of
from raymm.tracking.runs import open_run
from raymm.tracking.store import Tracking
from raymm.verbs.judge_ratings import judge_ratings
from raymm.verbs.run import RunFolder, open_run_folder

KIND, SCHEMA = "report", 1
BASELINE, NEIGHBOURS = "popularity", "item_knn"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation left.

    Attributes:
        run: The run.
        record: All that the report says.
        page: The page to open.
        problem: What kept the tracking store from getting it; empty if nothing did.
    """

    run: RunFolder
    record: RunRecord | RatingRecord
    page: Path
    problem: str = ""

    def metrics(self) -> dict[str, float]:
        """Return the run's own test metrics, `test.domain.metric@K`, or `test.domain.rmse` of a model of ratings."""
        model = self.record.model
        if isinstance(self.record, RatingRecord):
            values = {**self.record.errors[model], **self.record.parity, **self.record.ranking.get(model, {})}
            return {f"test.{self.record.facts.target}.{metric}": value for metric, value in values.items()}
        return {
            f"test.{result.facts.name}.{metric}": value
            for result in self.record.domains
            for metric, value in result.means[model].items()
        }


def report_folder(run: Path) -> Path:
    """Return where the report of a run is written."""
    return run / "report"


def evaluate(
    run_folder: Path,
    prepared_folder: Path | None,
    tracking: Tracking | None,
    progress: Progress = lambda *_: None,
    replace: bool = False,
) -> Evaluation:
    """Judge a run on the test set, beside popularity and item k-NN, and write the report.

    The model is compared with popularity; popularity itself is compared with item k-NN. A model of ratings predicts the
    test ratings instead, beside mean, item bias and floor, and what ranks beside it is ranked too.

    Where `train.candidates` of the run is not 0, all models are ranked among the same sampled candidates, and the
    report says so. What is said of the catalogue (coverage, Gini, popularity of what is recommended) is left out then,
    as it is about lists of all items; examples of lists stay what they are.

    A run that has been evaluated is not evaluated again: its report is read, so that the test set is read once.

    Args:
        run_folder: The run.
        prepared_folder: The prepared set, if it was moved since the training.
        tracking: Where the run was tracked; test metrics and report are added there. None adds nothing.
        progress: Told the stage, how much of it is done, and how much it is.
        replace: Evaluate again all the same.

    Raises:
        ArtefactError: The run or the prepared set is missing or damaged, or they do not belong together.
        ConfigError: A cutoff is larger than the number of items.
    """
    run = open_run_folder(run_folder)
    prepared = run.experiment.scope(matching_prepared(run, prepared_folder))
    folder = report_folder(run.folder)
    inputs = {"run": run.manifest.fingerprint, "prepared": prepared.fingerprint}
    if (folder / artefacts.MANIFEST).is_file() and not replace:
        artefacts.verify(folder, artefacts.read_manifest(folder, KIND, SCHEMA))
        return Evaluation(run, stored_record(run), folder / PAGE)
    settings = {"baseline": _baseline(run)}
    record: RunRecord | RatingRecord
    with artefacts.writing(folder, KIND, SCHEMA, inputs, settings, replace) as (draft, facts):
        if predicts_ratings(run):
            record = _rated(run, prepared, draft, progress)
            facts["metrics"] = {record.facts.target: dict(record.errors[record.model])}
            rating_report(record, draft)
        else:
            record = _judged(run, prepared, draft, progress)
            facts["metrics"] = {result.facts.name: dict(result.means[record.model]) for result in record.domains}
            progress("writing the report", 0, 0)
            run_report(record, draft)
    evaluation = Evaluation(run, record, folder / PAGE)
    return Evaluation(run, record, folder / PAGE, _tracked(evaluation, folder, tracking))


def predicts_ratings(run: RunFolder) -> bool:
    """Say whether a run is one of a model of ratings."""
    return isinstance(find_model(run.experiment.model), RatingSpec)


def stored_record(run: RunFolder) -> RunRecord | RatingRecord:
    """Read the record of a run's report.

    Raises:
        ArtefactError: There is none, or it is damaged.
    """
    path = report_folder(run.folder) / RECORD
    return read_rating_record(path) if predicts_ratings(run) else read_record(path)


def matching_prepared(run: RunFolder, folder: Path | None) -> PreparedSet:
    """Open the prepared set that a run was trained on.

    Raises:
        ArtefactError: It is another one, or damaged.
    """
    prepared = open_prepared(folder or run.prepared)
    if prepared.fingerprint != run.data_fingerprint:
        raise ArtefactError(
            f"a prepared set with fingerprint {prepared.fingerprint}",
            f"{run.data_fingerprint}, on which {run.name} was trained",
            str(prepared.folder),
            "give the right one with --data",
        )
    artefacts.verify(prepared.folder, prepared.manifest)
    return prepared


def _judged(run: RunFolder, prepared: PreparedSet, draft: Path, progress: Progress) -> RunRecord:
    data = prepared.train_data(run.manifest.facts["known_pairs"])
    models: dict[str, Mapping[str, Scorer]] = {run.experiment.model: run.scorers()}
    models.setdefault(BASELINE, popularity.fit(popularity.PopularityConfig(), data))
    models.setdefault(NEIGHBOURS, item_knn.fit(item_knn.ItemKnnConfig(), data))
    generator = np.random.default_rng(run.experiment.train.seed)
    sealed = open_sealed(prepared.folder, run.experiment.train.test_hides)
    holdouts = [holdout for holdout in sealed if holdout.domain in run.domains]
    results = []
    for place, holdout in enumerate(holdouts):
        progress(f"ranking {holdout.domain}", place, len(holdouts))
        results.append(_domain_result(run, prepared, data, holdout, models, generator))
        for name, values in results[-1][1].items():
            write_values(values, draft / f"{holdout.domain}.{name}.npz")
    progress("ranking", len(holdouts), len(holdouts))
    return _record(run, prepared, data, tuple(result for result, _ in results))


def _rated(run: RunFolder, prepared: PreparedSet, draft: Path, progress: Progress) -> RatingRecord:
    progress("predicting ratings", 0, 0)
    held = next(held for held in open_sealed_ratings(prepared.folder) if held.domain == prepared.split.target)
    try:
        positives = open_sealed(prepared.folder, run.experiment.train.test_hides)
    except DataError:  # none of the test ratings counts as positive: there is nothing to rank
        positives = ()
    return judge_ratings(run, prepared, (held, positives), _provenance(run, prepared), draft)


def _domain_result(
    run: RunFolder,
    prepared: PreparedSet,
    data: TrainData,
    holdout: Holdout,
    models: Mapping[str, Mapping[str, Scorer]],
    generator: np.random.Generator,
) -> tuple[DomainResult, dict[str, RankingValues]]:
    cutoffs, candidates, own = run.experiment.train.cutoffs, run.experiment.train.candidates, run.experiment.model
    rankings = {
        name: rank(scorers[holdout.domain], holdout, cutoffs, candidates=candidates) for name, scorers in models.items()
    }
    lists = {
        name: top_k(scorers[holdout.domain], holdout.users, max(cutoffs), holdout.hidden)[0]
        for name, scorers in models.items()
        if name == own or not candidates
    }
    domain = data.domain(holdout.domain)
    examples = draw_examples(
        domain,
        rankings[own],
        lists[own],
        _shown_titles(prepared, holdout.domain),
        list(prepared.user_ids(holdout.domain)),
        generator,
    )
    measured = {} if candidates else lists
    return judge_domain(domain, rankings, measured, (own, _baseline(run)), generator, examples), rankings


def _baseline(run: RunFolder) -> str:
    return NEIGHBOURS if run.experiment.model == BASELINE else BASELINE


def _shown_titles(prepared: PreparedSet, domain: str) -> list[str]:
    titles, ids = prepared.titles(domain), prepared.item_ids(domain)
    return [str(title or item) for title, item in zip(titles, ids, strict=True)]


def _record(run: RunFolder, prepared: PreparedSet, data: TrainData, results: tuple[DomainResult, ...]) -> RunRecord:
    experiment = run.experiment
    by_steps = isinstance(find_model(experiment.model), ModelSpec)
    history, selection = (run.history, experiment.train.loop.selection) if by_steps else ((), "")
    warnings = list(find_warnings(results, experiment.model, history, selection))
    warnings.extend(lines_of(history))
    if experiment.train.test_hides == "training":
        warnings.append("validation interactions compete with what is to be found: figures are lower than otherwise")
    if experiment.train.candidates:
        warnings.append(
            f"ranked among {experiment.train.candidates} sampled candidates: figures are higher than in full ranking, "
            "and may order models differently (Krichene and Rendle, KDD 2020)"
        )
    if run.manifest.facts["known_pairs"] != "drawn":
        warnings.append(f"trained with {run.manifest.facts['known_pairs']} known pairs: an experiment, not a result")
    if by_steps and len(data.domains) == 2 and not len(data.shared):
        warnings.append("no user is known in both domains: matching rested on distance alone")
    return RunRecord(
        name=run.name,
        model=experiment.model,
        baseline=_baseline(run),
        created=run.manifest.created,
        data=prepared.folder.name,
        n_shared=len(data.shared),
        domains=results,
        history=history,
        selection=selection,
        settings=experiment.plain(),
        defaults=build_experiment({"model": experiment.model}).plain(),
        provenance=_provenance(run, prepared),
        warnings=tuple(warnings),
        candidates=experiment.train.candidates,
    )


def _provenance(run: RunFolder, prepared: PreparedSet) -> dict[str, str]:
    return {
        "run": run.manifest.fingerprint,
        "prepared set": prepared.fingerprint,
        **{f"source {name}": mark for name, mark in prepared.manifest.inputs.items()},
        "raymm": f"{run.manifest.code_version} (evaluated by {raymm.__version__})",
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "workers": str(run.manifest.facts["workers"]),
        "training": f"{run.manifest.facts['seconds']:.0f} s",
        **{name: f"{value:.4g}" for name, value in run.manifest.facts["structure"].items()},
    }


def _tracked(evaluation: Evaluation, folder: Path, tracking: Tracking | None) -> str:
    if tracking is None or not evaluation.run.tracking_folder.is_dir():
        return ""
    run = open_run(tracking, evaluation.run.tracking_folder)
    run.log_epoch(evaluation.metrics(), evaluation.run.history[-1]["epoch"])
    run.log_artefact(folder, "report")
    return "" if run.problem is None else str(run.problem)
