"""What models compute of a domain before training: made once, kept in a folder, and mapped into memory by workers."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

import raymm
from raymm import artefacts
from raymm.data.layout import feature_files, graph_file
from raymm.data.prepared import DomainFacts, PreparedSet, open_prepared
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
    """Where a domain's structure is.

    Attributes:
        folder: Its folder; empty where the model needs nothing but the interactions.
        facts: Diagnostics of the computation, and `structure.reused`: 1 where an earlier run had computed it.
    """

    folder: str
    facts: Mapping[str, float]

    def open(self) -> Structure:
        """Map it into memory; the workers of a node share the pages."""
        return open_structure(Path(self.folder)) if self.folder else Structure({}, self.facts)


def structures_folder(experiment: Experiment, prepared: PreparedSet) -> Path:
    """Return where structures are kept: as the run says, or beside the prepared set."""
    named = experiment.scale.structures
    return Path(named).absolute() if named else prepared.folder.with_name(f"{prepared.folder.name}.structures")


def make_structures(experiment: Experiment, prepared: PreparedSet) -> tuple[Made, ...]:
    """Find the structure of every domain among those that are kept, or have it made.

    Ray tasks make it, as many as there is room for; this process does where the run has no workers.

    A structure is kept under the fingerprint of the domain's training data and features, of the settings that it hangs
    on, and of the code that makes it: another one is never taken for it.

    Args:
        experiment: The run.
        prepared: The data, as the run sees them.

    Returns:
        One a domain, in order.

    Raises:
        ArtefactError: One that is kept was changed since, or the folder cannot be written.
        RaymmError: Whatever stops the computation.
    """
    root = structures_folder(experiment, prepared)
    here = not experiment.scale.workers
    calls: dict[str, Any] = {}
    found: dict[str, Made] = {}
    for facts in prepared.domains:
        folder = root / f"{facts.name}-{_mark(experiment, prepared, facts)}"
        if folder.exists():
            found[facts.name] = _kept(folder)
        elif here:
            found[facts.name] = _make(experiment, prepared, facts.name, folder, Alone())
        else:
            calls[facts.name] = _task.remote(experiment.plain(), str(prepared.folder), facts.name, str(folder))
    if calls:  # without any, asking Ray would start one
        with plain_errors():
            found |= dict(zip(calls, ray.get(list(calls.values())), strict=True))
    return tuple(found[facts.name] for facts in prepared.domains)


@ray.remote(num_cpus=1, scheduling_strategy="DEFAULT")  # in a sweep, outside of what the trial's own process holds
def _task(experiment: dict[str, Any], prepared: str, domain: str, folder: str) -> Made:
    run = build_experiment(experiment)
    return _make(run, run.scope(open_prepared(Path(prepared))), domain, Path(folder), RayCrew())


def _make(experiment: Experiment, prepared: PreparedSet, domain: str, folder: Path, crew: Crew) -> Made:
    spec, clock = find_trained(experiment.model), time.perf_counter()
    data = prepared.train_data("none").domain(domain)
    structure = spec.structure(experiment.settings, data, experiment.train.seed, crew)
    facts = dict(structure.facts)
    if not structure.matrices:
        return Made("", facts)
    seconds = time.perf_counter() - clock
    inputs, settings = _inputs(prepared, prepared.facts(domain)), _settings(experiment)
    write_structure(structure, folder, inputs, settings, seconds)
    return Made(str(folder), facts | {"structure.reused": 0.0, "structure.seconds": seconds})


def _kept(folder: Path) -> Made:
    manifest = artefacts.read_manifest(folder, KIND, SCHEMA)
    if not folder.name.endswith(f"-{manifest.fingerprint}"):
        raise ArtefactError(
            f"a structure with fingerprint {manifest.fingerprint}", "the one that its name says", str(folder), REMEDY
        )
    try:
        artefacts.verify(folder, manifest)
    except ArtefactError as error:
        raise ArtefactError(error.found, error.expected, error.where, REMEDY) from None
    return Made(str(folder), {**manifest.facts["found"], "structure.reused": 1.0})


def _mark(experiment: Experiment, prepared: PreparedSet, facts: DomainFacts) -> str:
    return artefacts.fingerprint(KIND, SCHEMA, _inputs(prepared, facts), _settings(experiment))


def _inputs(prepared: PreparedSet, facts: DomainFacts) -> dict[str, str]:
    """Return the fingerprints of the files that a structure may be computed from, by their role."""
    names = {
        f"{modality} {part}": path
        for modality in facts.modalities
        for part, path in zip(("values", "present"), feature_files(prepared.folder, facts.name, modality), strict=True)
    }
    names |= {part: graph_file(prepared.folder, facts.name, part) for part in ("items", "starts")}
    files = prepared.manifest.files
    return {role: files[str(path.relative_to(prepared.folder))] for role, path in names.items()}


def _settings(experiment: Experiment) -> dict[str, Any]:
    spec = find_trained(experiment.model)
    key = spec.structure_key(experiment.settings, experiment.train.seed)
    return {"model": spec.name, "key": key, "code": _code(spec.structure)}


def _code(maker: Any) -> str:
    """Hash the code that makes a structure: the model's own module, and all of `raymm.graph`."""
    files = [Path(inspect.getfile(maker)), *sorted((Path(raymm.__file__).parent / "graph").glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
