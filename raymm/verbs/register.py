"""Register: an evaluated run to a version in the model registry, and to its champion if it is better than that."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from raymm import artefacts
from raymm.errors import ArtefactError, TrackingError
from raymm.report.page import PAGE
from raymm.report.rating_record import RatingRecord
from raymm.report.record import RunRecord
from raymm.tracking import registry
from raymm.tracking.candidate import Candidate
from raymm.tracking.card import SliceResult
from raymm.tracking.challenge import Challenge, challenge, challenge_ratings
from raymm.tracking.pulled import pull
from raymm.tracking.registry import RegisteredModel
from raymm.tracking.runs import start_or_resume_run
from raymm.tracking.served import read_served
from raymm.tracking.store import Tracking
from raymm.verbs import evaluate
from raymm.verbs.evaluate import Evaluation, matching_prepared, predicts_ratings, report_folder, stored_record
from raymm.verbs.run import RunFolder, open_run_folder

_ATTEMPTS = 5  # times that somebody else may take the alias while this run is compared


@dataclass(frozen=True)
class RegisterRequest:
    """What is to be registered.

    Attributes:
        run: The run folder.
        prepared: The prepared set, if it was moved since the training.
        name: Name in the registry; by default `raymm-` and the model's.
        alias: Alias to set, such as `champion`; empty for none.
        force: Set the alias whoever has it, and without a comparison.
        alias_or_none: Where the run may not have the alias, register it without one; otherwise it is refused.
    """

    run: Path
    prepared: Path | None = None
    name: str | None = None
    alias: str = "champion"
    force: bool = False
    alias_or_none: bool = False


@dataclass(frozen=True)
class Registration:
    """What came of it.

    Attributes:
        model: The version; its address names the alias if it got it.
        words: How it stood against the champion, or why it was not compared; empty without an alias.
        has_alias: Whether it got the alias that was asked for.
    """

    model: RegisteredModel
    words: str
    has_alias: bool


def register(request: RegisterRequest, tracking: Tracking) -> Registration:
    """Register an evaluated run, with its test metrics, its lineage and its card.

    An alias that another version has is given only to a run that is better: trained on the same prepared set, with a
    higher validation metric, person by person (see `challenge`). The metric is the one that the run selected its
    epochs by. If somebody else takes the alias meanwhile, the run is compared with that version.

    Args:
        request: The run, and how it shall be called.
        tracking: Store and registry.

    Raises:
        ArtefactError: The run is missing, damaged or not evaluated.
        TrackingError: The registry does not answer, or the run may not have the alias.
    """
    run = open_run_folder(request.run)
    folder = report_folder(run.folder)
    if not (folder / artefacts.MANIFEST).is_file():
        raise ArtefactError("no report", "an evaluated run", str(run.folder), f"first: raymm evaluate {run.folder}")
    artefacts.verify(folder, artefacts.read_manifest(folder, evaluate.KIND, evaluate.SCHEMA))
    evaluation = Evaluation(run, stored_record(run), folder / PAGE)
    prepared = matching_prepared(run, request.prepared)
    tracked = start_or_resume_run(tracking, run.tracking_folder, run.name)
    tracked.finish()
    tracked.flush()
    name = request.name or f"raymm-{run.experiment.model}"
    candidate = Candidate(tracked.run_id, run.folder, prepared.folder, evaluation.metrics(), _slices(evaluation.record))
    for _ in range(_ATTEMPTS):
        champion = registry.find(tracking, name, request.alias) if request.alias and not request.force else None
        words, allowed = _judged(run, request, tracking, champion)
        if not allowed and not request.alias_or_none:
            raise _refusal(f"models:/{name}@{request.alias}", words)
        made = registry.register(tracking, replace(candidate, comparison=words), name)
        if not request.alias or not allowed:
            return Registration(made, words, has_alias=not request.alias)
        if request.force:
            registry.set_alias(tracking, name, made.version, request.alias)
            return Registration(registry.resolve(tracking, f"models:/{name}@{request.alias}"), words, has_alias=True)
        claimed = registry.claim_alias(tracking, made, request.alias, champion.version if champion else None)
        if claimed is not None:
            return Registration(claimed, words, has_alias=True)
    raise TrackingError(
        f"{name}@{request.alias} was moved by others {_ATTEMPTS} times while this run was compared",
        "an alias that stays for a moment",
        tracking.shown_uri,
        "register again",
    )


def _judged(
    run: RunFolder, request: RegisterRequest, tracking: Tracking, champion: RegisteredModel | None
) -> tuple[str, bool]:
    """Say how the run stands against the champion, and whether it may have the alias."""
    if not request.alias:
        return "", True
    if request.force:
        return "set with --force, without a comparison", True
    if champion is None:
        return f"nobody had the alias {request.alias!r}", True
    if champion.tags.get("raymm.run_fingerprint") == run.manifest.fingerprint:
        return f"the same run as version {champion.version}", True
    if champion.data_fingerprint != run.data_fingerprint:
        found = f"trained on {run.data_fingerprint}, version {champion.version} on {champion.data_fingerprint}"
        return f"not comparable: {found}", False
    result = _challenged(run, request, tracking, champion)
    return result.words(), result.won


def _challenged(run: RunFolder, request: RegisterRequest, tracking: Tracking, champion: RegisteredModel) -> Challenge:
    prepared = matching_prepared(run, request.prepared)
    with tempfile.TemporaryDirectory(prefix="raymm-champion-") as scratch:
        domains = read_served(pull(tracking, champion, Path(scratch) / "model"))
    if predicts_ratings(run):
        rated = {domain.name: domain.rater.scorer for domain in domains if domain.rater is not None}
        return challenge_ratings(run.scorers(), rated, prepared, f"version {champion.version}")
    scorers = {domain.name: domain.scorer for domain in domains}
    selection = run.experiment.train.loop.selection
    return challenge(run.scorers(), scorers, prepared, selection, f"version {champion.version}")


def _refusal(champion: str, words: str) -> TrackingError:
    comparable = not words.startswith("not comparable")
    expected = "better than the champion: an interval above 0" if comparable else "a champion of the same prepared set"
    remedy = "give it another --alias (challenger), or put it in the champion's place all the same with --force"
    return TrackingError(words, expected, champion, remedy)


def _slices(record: RunRecord | RatingRecord) -> tuple[SliceResult, ...]:
    if isinstance(record, RatingRecord):
        own, domain = record.model, record.facts.target
        return tuple(
            SliceResult(domain, f"{part.family}: {part.name}", part.n_ratings, {"rmse": part.rmse[own]})
            for part in record.slices
        )
    return tuple(
        SliceResult(result.facts.name, f"{part.family}: {part.name}", part.n_users, dict(part.means))
        for result in record.domains
        for part in result.slices.get(record.model, ())
    )
