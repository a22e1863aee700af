"""What models compute of domains before training: made once, kept in a folder, and mapped into memory by workers."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import ray

import raymm
from raymm import artefacts
from raymm.data.layout import feature_files, graph_file
from raymm.data.prepared import KnownPairs, PreparedSet, open_prepared
from raymm.errors import ArtefactError
from raymm.experiment import Experiment, build_experiment
from raymm.graph.crew import Alone, Crew
from raymm.launch.crew import RayCrew
from raymm.launch.session import plain_errors
from raymm.models.registry import find_trained
from raymm.models.spec import Structure
from raymm.models.structure_files import KIND, REMEDY, SCHEMA, open_structure, write_structure


@dataclass(frozen=True)
class Made:
    """Where a structure is.

    Attributes:
        name: Its domain; the names of all, joined by hyphens, of what hangs on them together.
        folder: Its folder; empty where the model needs nothing but the interactions.
        facts: Diagnostics of the computation, and `structure.reused`: 1 where an earlier run had computed it.
    """

    name: str
    folder: str
    facts: Mapping[str, float]

    def open(self) -> Structure:
        """Map it into memory; the workers of a node share the pages."""
        return open_structure(Path(self.folder)) if self.folder else Structure({}, self.facts)


def structures_folder(experiment: Experiment, prepared: PreparedSet) -> Path:
    """Return where structures are kept: as the run says, or beside the prepared set."""
    named = experiment.scale.structures
    return Path(named).absolute() if named else prepared.folder.with_name(f"{prepared.folder.name}.structures")


def make_structures(experiment: Experiment, prepared: PreparedSet, known_pairs: KnownPairs) -> tuple[Made, ...]:
    """Find every structure that the model wants among those that are kept, or have it made.

    Ray tasks make it, as many as there is room for; this process does where the run has no workers.

    A structure is kept under the fingerprint of the training data and features of its domain (of interactions and known
    pairs, for what hangs on all domains), of the settings that it hangs on, and of the code that makes it: another one
    is never taken for it.

    Args:
        experiment: The run.
        prepared: The data, as the run sees them.
        known_pairs: Which shared users are known, see `PreparedSet.train_data`.

    Returns:
        In the order of `ModelSpec.structures`.

    Raises:
        ArtefactError: One that is kept was changed since, or the folder cannot be written.
        RaymmError: Whatever stops the computation.
    """
    root = structures_folder(experiment, prepared)
    here = not experiment.scale.workers
    parts: list[_Part] = [_OfDomain(facts.name) for facts in prepared.domains]
    if find_trained(experiment.model).between:
        parts.append(_Between(known_pairs))
    calls: dict[int, Any] = {}
    found: dict[int, Made] = {}
    for place, part in enumerate(parts):
        name = part.name(prepared)
        folder = root / f"{name}-{_mark(part, experiment, prepared)}"
        if folder.exists():
            found[place] = _kept(name, folder)
        elif here:
            found[place] = _make(part, experiment, prepared, folder, Alone())
        else:
            calls[place] = _task.remote(part, experiment.plain(), str(prepared.folder), str(folder))
    if calls:  # without any, asking Ray would start one
        with plain_errors():
            found |= dict(zip(calls, ray.get(list(calls.values())), strict=True))
    return tuple(found[place] for place in range(len(parts)))


class _Part(Protocol):
    """One of a run's structures: what it is called, what it hangs on, how it is made."""

    def name(self, prepared: PreparedSet) -> str: ...

    def inputs(self, prepared: PreparedSet) -> dict[str, str]: ...

    def settings(self, experiment: Experiment) -> dict[str, Any]: ...

    def make(self, experiment: Experiment, prepared: PreparedSet, crew: Crew) -> Structure: ...


@dataclass(frozen=True)
class _OfDomain:
    """The structure of one domain."""

    domain: str

    def name(self, prepared: PreparedSet) -> str:  # noqa: ARG002 - it has one already
        return self.domain

    def inputs(self, prepared: PreparedSet) -> dict[str, str]:
        files = _graph_files(prepared, self.domain)
        for modality in prepared.facts(self.domain).modalities:
            found = feature_files(prepared.folder, self.domain, modality)
            files |= {f"{modality} {part}": path for part, path in zip(("values", "present"), found, strict=True)}
        return _fingerprints(prepared, files)

    def settings(self, experiment: Experiment) -> dict[str, Any]:
        spec = find_trained(experiment.model)
        key = spec.structure_key(experiment.settings, experiment.train.seed)
        return {"model": spec.name, "key": key, "code": _code(spec.structure)}

    def make(self, experiment: Experiment, prepared: PreparedSet, crew: Crew) -> Structure:
        data = prepared.train_data("none").domain(self.domain)
        return find_trained(experiment.model).structure(experiment.settings, data, experiment.train.seed, crew)


@dataclass(frozen=True)
class _Between:
    """What hangs on all domains together and on the known pairs."""

    known_pairs: KnownPairs

    def name(self, prepared: PreparedSet) -> str:
        return "-".join(facts.name for facts in prepared.domains)

    def inputs(self, prepared: PreparedSet) -> dict[str, str]:
        files = {
            f"{facts.name} {part}": path
            for facts in prepared.domains
            for part, path in _graph_files(prepared, facts.name).items()
        }
        pairs = np.ascontiguousarray(prepared.train_data(self.known_pairs).shared, dtype=np.int64)
        return _fingerprints(prepared, files) | {"known pairs": hashlib.sha256(pairs.tobytes()).hexdigest()}

    def settings(self, experiment: Experiment) -> dict[str, Any]:
        spec = find_trained(experiment.model)
        assert spec.between is not None  # else there is no such part
        return {"model": spec.name, "key": spec.between.key(experiment.settings), "code": _code(spec.between.make)}

    def make(self, experiment: Experiment, prepared: PreparedSet, crew: Crew) -> Structure:
        spec = find_trained(experiment.model)
        assert spec.between is not None
        return spec.between.make(experiment.settings, prepared.train_data(self.known_pairs), crew)


@ray.remote(num_cpus=1, scheduling_strategy="DEFAULT")  # in a sweep, outside of what the trial's own process holds
def _task(part: _Part, experiment: dict[str, Any], prepared: str, folder: str) -> Made:
    run = build_experiment(experiment)
    return _make(part, run, run.scope(open_prepared(Path(prepared))), Path(folder), RayCrew())


def _make(part: _Part, experiment: Experiment, prepared: PreparedSet, folder: Path, crew: Crew) -> Made:
    name, clock = part.name(prepared), time.perf_counter()
    structure = part.make(experiment, prepared, crew)
    facts = dict(structure.facts)
    if not structure.matrices:
        return Made(name, "", facts)
    seconds = time.perf_counter() - clock
    write_structure(structure, folder, part.inputs(prepared), part.settings(experiment), seconds)
    return Made(name, str(folder), facts | {"structure.reused": 0.0, "structure.seconds": seconds})


def _kept(name: str, folder: Path) -> Made:
    manifest = artefacts.read_manifest(folder, KIND, SCHEMA)
    if not folder.name.endswith(f"-{manifest.fingerprint}"):
        raise ArtefactError(
            f"a structure with fingerprint {manifest.fingerprint}", "the one that its name says", str(folder), REMEDY
        )
    try:
        artefacts.verify(folder, manifest)
    except ArtefactError as error:
        raise ArtefactError(error.found, error.expected, error.where, REMEDY) from None
    return Made(name, str(folder), {**manifest.facts["found"], "structure.reused": 1.0})


def _mark(part: _Part, experiment: Experiment, prepared: PreparedSet) -> str:
    return artefacts.fingerprint(KIND, SCHEMA, part.inputs(prepared), part.settings(experiment))


def _graph_files(prepared: PreparedSet, domain: str) -> dict[str, Path]:
    return {part: graph_file(prepared.folder, domain, part) for part in ("items", "starts")}


def _fingerprints(prepared: PreparedSet, files: Mapping[str, Path]) -> dict[str, str]:
    """Return the fingerprints of the files that a structure may be computed from, by their role."""
    return {role: prepared.manifest.files[str(path.relative_to(prepared.folder))] for role, path in files.items()}


def _code(maker: Any) -> str:
    """Hash the code that makes a structure: the model's own module, and all of `raymm.graph`."""
    files = [Path(inspect.getfile(maker)), *sorted((Path(raymm.__file__).parent / "graph").glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
