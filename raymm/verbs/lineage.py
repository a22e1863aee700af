"""The storage of a trial whose settings change: the line of settings and weights it is on, in one folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raymm.errors import ArtefactError
from raymm.report.sweep_record import Stage
from raymm.verbs.journal import Journal

LINEAGE, EPOCHS, START = "lineage.json", "epochs.jsonl", "start"


@dataclass(frozen=True, eq=False)
class Line:
    """What a trial is on: a schedule of settings, the epochs that they gave, and where its checkpoints are.

    Attributes:
        folder: Its folder, which is the storage of its training.
        trial: Name of the trial.
        schedule: What it was trained with, in order; the last is what it is trained with now.
    """

    folder: Path
    trial: str
    schedule: tuple[Stage, ...]

    @property
    def values(self) -> Mapping[str, Any]:
        """What it is trained with now."""
        return self.schedule[-1].values

    @property
    def journal(self) -> Journal:
        """Its epochs, those before it took over another one's checkpoint included: they are that one's."""
        return Journal(self.folder / EPOCHS)

    @property
    def start(self) -> Path | None:
        """Folder of the checkpoint that it took over; None for one that started anew."""
        return self.folder / START if (self.folder / START).is_dir() else None


def standing(storage: Path) -> Line | None:
    """Return what a trial is on, as its storage says; None if it never started.

    Args:
        storage: The trial's storage.

    Raises:
        ArtefactError: The file that says it is damaged.
    """
    folders = sorted(storage.glob("[0-9]*")) if storage.is_dir() else []
    if not folders:
        return None
    trial, schedule, _ = _read(folders[-1])
    return Line(folders[-1], trial, schedule)


def begin(storage: Path, trial: str, values: Mapping[str, Any]) -> Line:
    """Start a trial anew."""
    return _write(storage, trial, (Stage(0, dict(values)),), None)


def take_over(storage: Path, trial: str, values: Mapping[str, Any], given: Path) -> Line:
    """Go on from a checkpoint that was handed over by `hand_over`, with settings of one's own.

    What the trial was on before is removed once the new line stands: there is always one that is whole.

    Args:
        storage: The trial's storage.
        trial: Name of the trial.
        values: What it is trained with from now on.
        given: The checkpoint's folder.

    Raises:
        ArtefactError: `given` is no such checkpoint.
    """
    donor, schedule, epoch = _read(given)
    source = "" if donor == trial else donor
    before = tuple(stage for stage in schedule if stage.epoch < epoch)
    return _write(storage, trial, (*before, Stage(epoch, dict(values), source)), given)


def donor_of(given: Path) -> str:
    """Return the name of the trial that handed a checkpoint over.

    Raises:
        ArtefactError: It is no such checkpoint.
    """
    return _read(given)[0]


def hand_over(line: Line, checkpoint: Path) -> None:
    """Write into a checkpoint of a line's training what whoever takes it over has to know."""
    shutil.copyfile(line.folder / EPOCHS, checkpoint / EPOCHS)
    epoch = line.journal.records()[-1]["epoch"]
    text = json.dumps({**_plain(line.trial, line.schedule), "epoch": epoch}, indent=1)
    (checkpoint / LINEAGE).write_text(text + "\n")


def _write(storage: Path, trial: str, schedule: tuple[Stage, ...], given: Path | None) -> Line:
    last = standing(storage)
    number = int(last.folder.name) + 1 if last is not None else 0
    draft, folder = storage / f".{number:06d}.partial", storage / f"{number:06d}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    if given is not None:
        shutil.copytree(given, draft / START)
        shutil.copyfile(given / EPOCHS, draft / EPOCHS)
    (draft / LINEAGE).write_text(json.dumps(_plain(trial, schedule), indent=1) + "\n")
    os.replace(draft, folder)
    if last is not None:
        shutil.rmtree(last.folder)
    return Line(folder, trial, schedule)


def _plain(trial: str, schedule: tuple[Stage, ...]) -> dict[str, Any]:
    return {"trial": trial, "schedule": [asdict(stage) for stage in schedule]}


def _read(folder: Path) -> tuple[str, tuple[Stage, ...], int]:
    path = folder / LINEAGE
    try:
        plain = json.loads(path.read_text())
        return plain["trial"], tuple(Stage(**stage) for stage in plain["schedule"]), int(plain.get("epoch", 0))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"unreadable: {error}", "what a trial of a population left", str(path), "start the sweep under a new name"
        ) from error
