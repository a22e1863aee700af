"""Experiment: a family file and a prepared set to trained, evaluated and compared variants, with a page and figures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from raymm import artefacts, config
from raymm.artefacts import verify
from raymm.data.prepared import PreparedSet, open_prepared
from raymm.data.recipe import RecipeFile, read_recipe
from raymm.errors import ArtefactError, ConfigError, DataError, reason_of
from raymm.launch.prepare import prepare
from raymm.launch.session import connect
from raymm.models.registry import TRAINED, find_model
from raymm.report.family import RECORD, family_report
from raymm.report.family_record import FamilyRecord, FamilyRun, FamilyVariant
from raymm.tracking.store import Tracking
from raymm.verbs.evaluate import evaluate
from raymm.verbs.family import Arm, Family
from raymm.verbs.family_results import ArmRuns, family_cells
from raymm.verbs.ownership import owned
from raymm.verbs.run import RunFolder, is_run, open_run_folder
from raymm.verbs.train import TrainRequest, train

RUNS, PREPARED = "runs", "prepared"


@dataclass(frozen=True, eq=False)
class FamilyRequest:
    """What to run, on what, and where to leave it.

    Attributes:
        name: Name of the family, that of its file.
        family: The family.
        arms: Its variants as experiments, from `family.arms_of`.
        prepared: The prepared folder.
        folder: Where results go.
        recipe: Recipe of the prepared set, for variants that change it.
        only: Labels of the variants to train now; empty for all.
        address: Ray's address, see `launch.session.connect`.
        runs: Where runs go, shared by families that have variants in common; None for a folder below `folder`.
    """

    name: str
    family: Family
    arms: tuple[Arm, ...]
    prepared: Path
    folder: Path
    recipe: Path | None = None
    only: tuple[str, ...] = ()
    address: str | None = None
    runs: Path | None = None


class Audience(Protocol):
    """Whom an experiment tells how it goes."""

    def step(self, title: str) -> None:
        """A part of the work begins."""
        ...

    def progress(self, label: str, done: int, total: int, extra: str = "") -> None:
        """A part has come so far."""
        ...

    def run(self, run: FamilyRun, runs: Sequence[FamilyRun]) -> None:
        """Something happened to one of the runs."""
        ...


@dataclass(frozen=True, eq=False)
class _Set:
    """The data of a variant, or why there are none."""

    prepared: PreparedSet | None
    reason: str = ""


@dataclass(eq=False)
class _Board:
    """The runs of a family by variant and seed, as far as they have come."""

    audience: Audience
    lines: dict[tuple[str, int], FamilyRun] = field(default_factory=dict)
    runs: dict[tuple[str, int], RunFolder] = field(default_factory=dict)

    def put(self, line: FamilyRun, tell: bool = True) -> None:
        self.lines[line.label, line.seed] = line
        if tell:
            self.audience.run(line, list(self.lines.values()))


def run_experiment(request: FamilyRequest, tracking: Tracking | None, audience: Audience) -> FamilyRecord:
    """Train and evaluate every variant with every seed, compare them, and write the page.

    Runs are named by their settings and data, so what is done is never done again, an interrupted run goes on, and one
    of an earlier version of the file or of other data is not taken for a new one. A run that fails is shown with its
    reason, and tried again the next time. The test set is read once a run, by `evaluate`.

    Args:
        request: What to run.
        tracking: Where to track the runs; None does not.
        audience: Whom to tell how it goes.

    Raises:
        ConfigError: The folder holds another family, a variant that is asked for does not exist, or a recipe is needed.
        ArtefactError: The prepared set is missing or damaged, or not of the recipe.
        ClusterError: There is no cluster at the address.
    """
    prepared = open_prepared(request.prepared.absolute())  # workers have another working directory
    verify(prepared.folder, prepared.manifest)
    unknown = set(request.only) - {arm.label for arm in request.arms}
    if unknown:
        labels = ", ".join(repr(arm.label) for arm in request.arms)
        raise ConfigError(f"{', '.join(map(repr, sorted(unknown)))}", f"variants among {labels}", "--only")
    with owned(request.folder, "an experiment"), owned(_runs(request), "an experiment"):
        _claim(request)
        sets = _prepared_sets(request, prepared, audience)
        board = _Board(audience)
        for arm, seed in _in_order(request.arms):
            board.put(FamilyRun(arm.label, seed, _name(arm, seed, sets[arm.label])), tell=False)
        _connect(request, board, sets)
        for arm, seed in _in_order(request.arms):
            line = board.lines[arm.label, seed]
            if _wanted(request, arm) or is_run(_folder(request, line)):
                _run(request, arm, sets[arm.label], board, line, tracking)
        audience.step("Comparing the variants")
        record = _record(request, prepared, sets, board)
        family_report(record, request.folder)
    return record


def _wanted(request: FamilyRequest, arm: Arm) -> bool:
    return not request.only or arm.label in request.only


def _in_order(arms: Sequence[Arm]) -> list[tuple[Arm, int]]:
    """All variants with their first seed, then with their second: an interrupted family says something of each."""
    longest = max(len(arm.experiments) for arm in arms)
    return [
        (arm, seed) for place in range(longest) for arm in arms for seed in list(arm.experiments)[place : place + 1]
    ]


def _claim(request: FamilyRequest) -> None:
    path = request.folder / RECORD
    if path.is_file():
        try:
            name = str(json.loads(path.read_text())["name"])
        except (ValueError, KeyError, TypeError) as error:
            raise ArtefactError("a damaged record", "that of a family", str(path), "remove it") from error
        if name != request.name:
            raise ConfigError(
                f"results of {name!r}", f"those of {request.name!r}", str(request.folder), "choose another --output"
            )


def _name(arm: Arm, seed: int, data: _Set) -> str:
    mark = data.prepared.fingerprint if data.prepared is not None else ""
    plain = arm.experiments[seed].mathematics()
    train = {name: value for name, value in plain["train"].items() if name != "seed"}
    whole = artefacts.fingerprint({**plain, "train": train}, mark, arm.variant.known_pairs)
    return f"{arm.experiment.model}-{whole[:8]}-seed{seed}"


def _runs(request: FamilyRequest) -> Path:
    return (request.runs or request.folder / RUNS).absolute()


def _folder(request: FamilyRequest, line: FamilyRun) -> Path:
    return _runs(request) / line.name


def _connect(request: FamilyRequest, board: _Board, sets: Mapping[str, _Set]) -> None:
    """Connect to Ray once, where anything is left to train by workers: without a cluster nothing would come of it."""
    waiting = [
        arm.experiment.scale.workers
        for arm in request.arms
        for seed in arm.experiments
        if sets[arm.label].prepared is not None
        and arm.experiment.scale.workers
        and _wanted(request, arm)
        and arm.experiment.model in TRAINED
        and not is_run(_folder(request, board.lines[arm.label, seed]))
    ]
    if waiting:
        connect(request.address, cpus=max(waiting) + 2)


def _run(
    request: FamilyRequest, arm: Arm, data: _Set, board: _Board, line: FamilyRun, tracking: Tracking | None
) -> None:
    if data.prepared is None:
        board.put(replace(line, state="failed", reason=data.reason))
        return
    experiment, folder = arm.experiments[line.seed], _folder(request, line)
    selection = experiment.train.loop.selection
    board.put(replace(line, state="running"))

    def follow(record: Mapping[str, Any]) -> None:
        best = record["state"]["best"] if selection in record["validation"] else board.lines[key].validation
        board.put(replace(board.lines[key], epochs=record["epoch"], validation=best))

    key = (line.label, line.seed)
    try:
        wanted = TrainRequest(experiment, data.prepared.folder, folder, arm.variant.known_pairs, request.address)
        trained, _ = train(wanted, tracking, follow)
        evaluate(trained.folder, data.prepared.folder, tracking)
        board.runs[key] = open_run_folder(folder)
    except Exception as error:  # noqa: BLE001 - whatever a run dies of, the others go on, and its reason is shown
        board.put(replace(board.lines[key], state="failed", reason=reason_of(error)))
        return
    values = [record["validation"][selection] for record in trained.history if selection in record["validation"]]
    seconds = float(trained.manifest.facts["seconds"])
    done = replace(line, state="finished", epochs=len(trained.history), seconds=seconds)
    board.put(replace(done, validation=max(values, default=None)))


def _prepared_sets(request: FamilyRequest, prepared: PreparedSet, audience: Audience) -> dict[str, _Set]:
    """Label to data: the prepared set, or one by the recipe as the variant changes it."""
    made: dict[str, _Set] = {}
    sets = {}
    for arm in request.arms:
        changes = arm.variant.prepare
        mark = artefacts.fingerprint(changes) if changes else ""
        if mark not in made:
            made[mark] = _prepared_set(request, prepared, arm, mark, audience) if changes else _Set(prepared)
        sets[arm.label] = _fitting(arm, made[mark])
    return sets


def _fitting(arm: Arm, data: _Set) -> _Set:
    """Say at once where a model cannot train on its data, as nothing has been trained yet."""
    if data.prepared is None:
        return data
    try:
        domains = arm.experiment.scope(data.prepared).domains
        find_model(arm.experiment.model).check([facts.name for facts in domains])
    except DataError as error:
        return _Set(None, reason_of(error))
    return data


def _prepared_set(request: FamilyRequest, prepared: PreparedSet, arm: Arm, mark: str, audience: Audience) -> _Set:
    if request.recipe is None:
        raise ConfigError(
            "no recipe", "that of the prepared set", f"variant {arm.label!r} changes it", "name it with --recipe"
        )
    if config.plain(read_recipe(request.recipe)) != dict(prepared.manifest.settings):
        raise ArtefactError(
            "a set of another recipe", f"one of {request.recipe}", str(prepared.folder), "prepare it anew, or name its"
        )
    audience.step(f"Preparing the data of {arm.label}")
    folder = request.folder.absolute() / PREPARED / f"{prepared.fingerprint[:8]}-{mark[:8]}"
    try:
        file = RecipeFile(request.recipe, read_recipe(request.recipe, arm.variant.prepare))
        prepare(file, folder, progress=audience.progress, address=request.address)
        return _Set(open_prepared(folder))
    except (ConfigError, DataError) as error:
        return _Set(None, reason_of(error))


def _record(request: FamilyRequest, prepared: PreparedSet, sets: Mapping[str, _Set], board: _Board) -> FamilyRecord:
    found = []
    for arm in request.arms:
        data = sets[arm.label].prepared
        runs = {seed: board.runs[arm.label, seed] for seed in arm.experiments if (arm.label, seed) in board.runs}
        if data is not None:
            found.append(ArmRuns(arm.label, arm.against, arm.experiment.scope(data), runs))
    family = request.family
    cells, notes = family_cells(found, family.metrics, family.slices, family.domain)
    lines = tuple(board.lines[arm.label, seed] for arm in request.arms for seed in arm.experiments)
    return FamilyRecord(
        name=request.name,
        title=family.title,
        data=prepared.folder.name,
        data_fingerprint=prepared.fingerprint,
        reference=family.reference,
        metrics=family.metrics,
        created=time.time(),
        variants=tuple(_variant(arm, request.arms, sets[arm.label]) for arm in request.arms),
        runs=lines,
        cells=tuple(cells),
        axis=family.axis.name,
        log=family.axis.log,
        notes=(*_sampled(request), *notes, *_leftover(request, lines)),
    )


def _variant(arm: Arm, arms: Sequence[Arm], data: _Set) -> FamilyVariant:
    reference = next((other for other in arms if other.label == (arm.against or arm.label)), arm)
    ours, theirs = (_settings(one) for one in (arm, reference))
    different = {name: value for name, value in ours.items() if theirs.get(name) != value} if arm.against else {}
    mark = data.prepared.fingerprint if data.prepared is not None else ""
    variant, experiment = arm.variant, arm.experiment
    return FamilyVariant(arm.label, experiment.model, experiment.preset, different, mark, variant.x, variant.series)


def _settings(arm: Arm) -> dict[str, Any]:
    plain = arm.experiment.mathematics()
    values = {"settings": plain["settings"], "train": plain["train"], "prepare": arm.variant.prepare}
    flat = config.flatten(values) | {"known_pairs": arm.variant.known_pairs}
    return {name: value for name, value in flat.items() if name != "train.seed"}


def _sampled(request: FamilyRequest) -> list[str]:
    """Say where figures are not of full ranking; all variants are ranked among as many candidates."""
    candidates = request.arms[0].experiment.train.candidates
    if not candidates:
        return []
    return [f"ranked among {candidates:,} sampled candidates: full ranking may order the variants differently."]


def _leftover(request: FamilyRequest, lines: Sequence[FamilyRun]) -> list[str]:
    """Say of runs in the folder that belong to none of these variants, as after a change of the file or the data."""
    own = {line.name for line in lines}
    others = [path for path in _runs(request).iterdir() if is_run(path) and path.name not in own]
    if not others or request.runs is not None:
        return []
    return [f"{len(others)} runs of an earlier version of this family or of other data are in {RUNS}/ and not in here."]
