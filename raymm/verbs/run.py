"""The run folder: what a training leaves, written once, and read by everything after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymm import artefacts
from raymm.artefacts import Manifest
from raymm.contracts import Scorer
from raymm.data.prepared import PreparedSet
from raymm.errors import ArtefactError, ConfigError
from raymm.experiment import Experiment, build_experiment
from raymm.scorers import load_scorer, save_scorer

_CONFIG, _HISTORY, _SCORERS = "config.json", "history.jsonl", "scorers"


@dataclass(frozen=True, eq=False)
class RunFolder:
    """A finished run.

    Attributes:
        folder: Where it stands.
        manifest: What it says of itself.
        experiment: What was run.
        history: One plain record an epoch.
    """

    folder: Path
    manifest: Manifest
    experiment: Experiment
    history: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.name

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains that it has scorers of."""
        return tuple(self.manifest.facts["domains"])

    @property
    def prepared(self) -> Path:
        """Where the prepared set stood when it was trained."""
        return Path(self.manifest.facts["prepared"])

    @property
    def data_fingerprint(self) -> str:
        """Fingerprint of the prepared set that it was trained on."""
        return self.manifest.inputs["prepared"]

    @property
    def tracking_folder(self) -> Path:
        """Where the run's tracking identity and unsent records are kept."""
        return tracking_folder(self.folder)

    def scorers(self) -> dict[str, Scorer]:
        """Read the scorers, one a domain."""
        return {domain: load_scorer(self.folder / _SCORERS / domain) for domain in self.domains}


def tracking_folder(folder: Path) -> Path:
    """Return where a run's tracking identity is kept: beside the run folder, which is written once."""
    return folder.parent / ".tracking" / folder.name


def storage_folder(folder: Path) -> Path:
    """Return where a run's checkpoints are kept while it is trained."""
    return folder.parent / ".training" / folder.name


def write_run(
    folder: Path,
    experiment: Experiment,
    prepared: PreparedSet,
    history: Sequence[Mapping[str, Any]],
    scorers: Mapping[str, Scorer],
    facts: Mapping[str, Any],
    add: Callable[[Path], None] = lambda _: None,
) -> RunFolder:
    """Write a run folder and open it; `add` writes what a model leaves beside its scorers into it.

    Raises:
        ArtefactError: Something stands at `folder`.
    """
    inputs, settings = {"prepared": prepared.fingerprint}, experiment.mathematics()
    with artefacts.writing(folder, artefacts.RUN_KIND, artefacts.RUN_SCHEMA, inputs, settings) as (draft, noted):
        (draft / _CONFIG).write_text(json.dumps(experiment.plain(), indent=1, sort_keys=True) + "\n")
        (draft / _HISTORY).write_text("".join(json.dumps(record) + "\n" for record in history))
        for domain, scorer in scorers.items():
            save_scorer(scorer, draft / _SCORERS / domain)
        add(draft)
        noted.update(facts, domains=list(scorers), prepared=str(prepared.folder.absolute()))
    return open_run_folder(folder)


def open_run_folder(folder: Path) -> RunFolder:
    """Open a run folder.

    Raises:
        ArtefactError: It is missing, damaged, or of another kind or schema.
    """
    manifest = artefacts.read_manifest(folder, artefacts.RUN_KIND, artefacts.RUN_SCHEMA)
    artefacts.verify(folder, manifest)
    try:
        history = tuple(json.loads(line) for line in (folder / _HISTORY).read_text().splitlines())
        experiment = build_experiment(json.loads((folder / _CONFIG).read_text()), str(folder / _CONFIG))
    except ConfigError as error:
        expected = "settings that this version of raymm has"
        raise ArtefactError(
            error.found, expected, str(folder), "train again, or use the raymm that wrote it"
        ) from error
    except (ValueError, OSError) as error:
        raise ArtefactError(f"an unreadable file: {error}", "a run of raymm", str(folder), "train again") from error
    return RunFolder(folder, manifest, experiment, history)


def is_run(folder: Path) -> bool:
    """Say whether a finished run stands at `folder`."""
    return (folder / artefacts.MANIFEST).is_file()
