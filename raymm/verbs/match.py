"""Match: the embeddings of two populations to who is likely to be whom, with a certificate."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from raymm import artefacts
from raymm.config import build, plain
from raymm.data.embeddings import Embeddings, read_embeddings, read_pairs
from raymm.errors import ArtefactError, ClusterError, ConfigError, DataError
from raymm.report.matching import FIGURE, draw_matching
from raymm.transport.checkpoint import Checkpoint
from raymm.transport.fixed_point import Progress as Pass
from raymm.transport.frame import source_frame
from raymm.transport.partitioned import Runner
from raymm.transport.population import PopulationConfig, PopulationMatch, match_populations
from raymm.transport.quality import Quality, QualityConfig, choose_on_hidden
from raymm.transport.sweep import LocalSweep
from raymm.verbs.matching_files import CERTIFICATE, QUALITY, write_frame, write_plan

KIND, SCHEMA = "matching", 2
FEWEST_TO_CHOOSE = 20  # known pairs: with fewer, less than ten are hidden, and one more hit decides

Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class MatchRequest:
    """What is to be matched.

    Attributes:
        source: Embeddings, as `read_embeddings` takes them.
        target: Embeddings of the other side.
        output: Folder to write.
        anchors: Known pairs, as `read_pairs` takes them; None where nobody is known on both sides.
        values: Settings of `PopulationConfig` that were given, as plain data; choosing leaves these alone.
        choose: Choose the other settings on hidden pairs; None: where there are `FEWEST_TO_CHOOSE`.
        seed: Of everything that is drawn.
        workers: Ray actors that hold the rows; 0 solves in this process.
        address: Ray cluster, as `connect` takes it.
        id_column: Name of the column of ids.
        force: Replace what stands at `output`.
        device: Where it is computed, as torch names it; only `cpu` with workers.
    """

    source: Path
    target: Path
    output: Path
    anchors: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    choose: bool | None = None
    seed: int = 0
    workers: int = 0
    address: str | None = None
    id_column: str = "id"
    force: bool = False
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Matching:
    """A matching on disk.

    Attributes:
        folder: Where it stands.
        record: What `certificate.json` says.
        quality: What `quality.json` says; empty where nothing was hidden.
        reused: It was there already, from the same files and settings.
    """

    folder: Path
    record: Mapping[str, Any]
    quality: Mapping[str, Any]
    reused: bool


@dataclass(frozen=True, eq=False)
class _Sides:
    source: Embeddings
    target: Embeddings
    pairs: torch.Tensor
    inputs: dict[str, str]
    device: torch.device

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Source, target and pairs where they are computed with."""
        vectors = (torch.from_numpy(side.vectors) for side in (self.source, self.target))
        source, target = (side.to(self.device) for side in vectors)
        return source, target, self.pairs.to(self.device)


def match_files(request: MatchRequest, progress: Progress = lambda *_: None) -> Matching:
    """Match two populations and write partners, potentials, certificate and figure as one folder.

    A matching that stands at the output already, of the same files and settings, is not made again. One that was
    interrupted goes on from its last iteration, kept in `.matching` beside the output.

    Args:
        request: What is to be matched.
        progress: Told the stage, how much of it is done, how much it is (0 where nobody knows), and more words.

    Raises:
        DataError: The files cannot be used.
        ConfigError: A setting is unknown or out of range.
        ArtefactError: Something else stands at the output.
        SolverError: No convergence, or settings that do not fit the data.
        ClusterError: Ray cannot be reached, or has not the CPUs.
    """
    if request.workers < 0 or request.seed < 0:
        raise ConfigError(f"workers {request.workers}, seed {request.seed}", "at least 0", "command line")
    device = _device(request)
    config = _config(request.values)
    sides = _read(request, device)
    settings = {
        **plain(config),
        "given": sorted(set(request.values)),
        "choose": _choosing(request, sides),
        "seed": request.seed,
    }
    mark = artefacts.fingerprint(KIND, SCHEMA, sides.inputs, settings)
    if _stands(request, mark):
        return open_matching(request.output, reused=True)
    runner = _runner(request)
    with _state_folder(request.output, mark) as state:
        config, quality, notes = _settled(request, config, sides, state, progress)
        match = _solved(sides, config, request.seed, runner, (Checkpoint(state / "state.npz", mark), progress))
        with artefacts.writing(request.output, KIND, SCHEMA, sides.inputs, settings, request.force) as (draft, facts):
            progress("writing", 0, 0, "")
            record = _record(request, sides, config, match, notes)
            _write(draft, sides, match, (config, record, quality))
            facts.update({name: record[name] for name in ("users", "known_pairs", "report")})
    return open_matching(request.output)


def open_matching(folder: Path, reused: bool = False) -> Matching:
    """Open a matching.

    Raises:
        ArtefactError: It is missing, damaged, or of another kind or schema.
    """
    artefacts.verify(folder, artefacts.read_manifest(folder, KIND, SCHEMA))
    quality = folder / QUALITY
    return Matching(
        folder,
        json.loads((folder / CERTIFICATE).read_text()),
        json.loads(quality.read_text()) if quality.is_file() else {},
        reused,
    )


def _config(values: Mapping[str, Any]) -> PopulationConfig:
    try:
        return build(PopulationConfig, values, "settings of the matching")
    except ConfigError as error:
        remedy = "mend these settings; `raymm settings match` lists those of a matching"
        raise ConfigError(error.found, error.expected, error.where, remedy) from error


def _device(request: MatchRequest) -> torch.device:
    try:
        device = torch.device(request.device)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        words = str(error).splitlines()[0]
        raise ClusterError(
            f"device {request.device!r}: {words}", "cpu, or a device of this machine", "match"
        ) from error
    if request.workers and device.type != "cpu":
        found = f"device {request.device!r} and {request.workers} workers"
        raise ClusterError(found, "workers on CPUs, or one device", "match", "leave one of them out")
    return device


@contextlib.contextmanager
def _state_folder(output: Path, mark: str) -> Iterator[Path]:
    """Keep a folder for the state of a matching until it is done; leave nothing where nothing was kept in it."""
    home = output.absolute().parent / ".matching"
    folder = home / output.name / mark
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
        shutil.rmtree(folder.parent)
    finally:
        for place in (folder, folder.parent, home):
            with contextlib.suppress(OSError):  # not there any more, or something is kept in it
                place.rmdir()


def _read(request: MatchRequest, device: torch.device) -> _Sides:
    source = read_embeddings(request.source, request.id_column)
    target = read_embeddings(request.target, request.id_column)
    inputs = {"source": source.fingerprint, "target": target.fingerprint}
    pairs = torch.zeros(0, 2, dtype=torch.int64)
    if request.anchors is not None:
        rows, inputs["anchors"] = read_pairs(request.anchors, source, target)
        pairs = torch.from_numpy(rows)
    if len(pairs) == 1:
        where = str(request.anchors)
        raise DataError("1 known pair", "at least 2, or none", where, "one pair gives no direction: leave it out")
    return _Sides(source, target, pairs, inputs, device)


def _choosing(request: MatchRequest, sides: _Sides) -> bool:
    return len(sides.pairs) >= FEWEST_TO_CHOOSE if request.choose is None else request.choose


def _stands(request: MatchRequest, mark: str) -> bool:
    """Say whether this very matching was made already; refuse whatever else stands there, before any work."""
    folder = request.output
    if request.force or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / artefacts.MANIFEST).is_file():
        raise ArtefactError("something that is no matching", "a new or empty folder", str(folder), "choose another")
    if artefacts.read_manifest(folder, KIND, SCHEMA).fingerprint != mark:
        words = "a matching of other files or settings"
        raise ArtefactError(words, "a new or empty folder", str(folder), "choose another, or replace it by --force")
    return True


def _runner(request: MatchRequest) -> Runner:
    if not request.workers:
        return LocalSweep
    from raymm.launch.match import on_ray
    from raymm.launch.session import connect

    connect(request.address, cpus=request.workers)
    return on_ray(request.workers)


def _settled(
    request: MatchRequest, config: PopulationConfig, sides: _Sides, folder: Path, progress: Progress
) -> tuple[PopulationConfig, dict[str, Any], list[str]]:
    """Settle what was not given: on hidden pairs; without pairs, the only cost that is left."""
    given = set(request.values)
    notes: list[str] = []
    if not len(sides.pairs):
        notes.append("no known pairs: matched by the distance alone, which is right only for embeddings of one space")
        alone: dict[str, Any] = {"omega": 1.0, "align": False}
        config = replace(config, **{name: value for name, value in alone.items() if name not in given})
    if not _choosing(request, sides):
        if len(sides.pairs) and request.choose is None:
            notes.append(f"{len(sides.pairs)} known pairs are too few to choose settings by: defaults were kept")
        return config, {}, notes
    kept = folder / "choice.json"
    if not kept.is_file():
        draft = kept.with_suffix(".partial")
        draft.write_text(json.dumps(_chosen(config, given, sides, request.seed, progress)))
        draft.replace(kept)
    choice = json.loads(kept.read_text())
    return build(PopulationConfig, choice.pop("settings"), str(kept)), choice, notes


def _chosen(config: PopulationConfig, given: set[str], sides: _Sides, seed: int, progress: Progress) -> dict[str, Any]:
    """Choose on hidden pairs what was not given."""
    trials = _trials(config, given)

    def tell(found: Quality, done: int) -> None:
        progress("trying settings on hidden pairs", done, trials.trials, f"{found.method}: hit@1 {found.hit_at_1:.3f}")

    generator = torch.Generator().manual_seed(seed)
    chosen, rows = choose_on_hidden(*sides.tensors(), config, trials, generator, tell)
    plans = rows[-trials.trials :]
    best = max(plans, key=lambda row: row.mrr)
    return {
        "settings": plain(chosen),
        "hidden_pairs": best.users,
        "candidates": best.candidates,
        "chosen": best.method,
        "baselines": [asdict(row) for row in rows[: -len(plans)]],
        "plans": [asdict(row) for row in plans],
    }


def _trials(config: PopulationConfig, given: set[str]) -> QualityConfig:
    """Say what is tried: the whole grid, but for what was given."""
    trials = QualityConfig()
    if "epsilon" in given:
        trials = replace(trials, epsilons=(config.epsilon,))
    if "omega" in given:
        trials = replace(trials, omegas=(config.omega,))
    if "relation" in given:
        trials = replace(trials, relations=(config.relation,))
    if "marginals" in given and config.marginals == "balanced":
        return replace(trials, relaxations=())
    if "relaxation" in given:
        trials = replace(trials, relaxations=(config.relaxation,))
    return replace(trials, balanced=not given & {"marginals", "relaxation"})


def _solved(
    sides: _Sides, config: PopulationConfig, seed: int, runner: Runner, observe: tuple[Checkpoint, Progress]
) -> PopulationMatch:
    checkpoint, progress = observe

    def after(done: Pass) -> None:
        progress(f"matching, {done.stage}", done.iteration, 0, f"column error {done.error:.1e}")

    generator = torch.Generator().manual_seed(seed)
    return match_populations(*sides.tensors(), config, generator, runner, (checkpoint, after))


def _record(
    request: MatchRequest, sides: _Sides, config: PopulationConfig, match: PopulationMatch, notes: Sequence[str]
) -> dict[str, Any]:
    counts = {
        "source": len(sides.source.ids),
        "target": len(sides.target.ids),
        "source_unknown": len(match.rows),
        "target_unknown": len(match.columns),
    }
    report = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in match.report().items()
    }
    return {
        "users": counts,
        "columns": [sides.source.vectors.shape[1], sides.target.vectors.shape[1]],
        "known_pairs": len(sides.pairs),
        "settings": plain(config),
        "given": sorted(request.values),
        "seed": request.seed,
        "notes": list(notes),
        "report": report,
    }


def _write(
    draft: Path,
    sides: _Sides,
    match: PopulationMatch,
    said: tuple[PopulationConfig, Mapping[str, Any], Mapping[str, Any]],
) -> None:
    config, record, quality = said
    write_plan(draft, match, sides.source.ids, sides.target.ids)
    write_frame(draft, source_frame(*sides.tensors(), config))
    (draft / CERTIFICATE).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    if quality:
        (draft / QUALITY).write_text(json.dumps(quality, indent=1) + "\n")
    best, effective = match.partners.weights[match.rows, 0].cpu(), match.partners.effective[match.rows].cpu()
    (draft / FIGURE).write_bytes(draw_matching(best.numpy(), effective.numpy(), quality))
