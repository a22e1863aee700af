"""Who a tracked run is: its own key, where it is tracked, and the tags that say what ran."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import raymm
from raymm.errors import TrackingError

STATE, SPOOL = "tracking.json", "tracking_spool.jsonl"
_ENDED = "ended"


@dataclass(frozen=True)
class Identity:
    """Identity of a run, kept beside what it writes.

    Attributes:
        key: The run's own key, among its tags in the store; it finds a run whose id was lost with a crash.
        store: Address of the store, without credentials.
        experiment: Name of the experiment.
        name: Name of the run, for people.
        run_id: MLflow's id; empty until the store was reached.
    """

    key: str
    store: str
    experiment: str
    name: str
    run_id: str


def read_identity(folder: Path) -> Identity | None:
    """Read the identity of the run that `folder` belongs to; None if it belongs to none.

    Raises:
        TrackingError: The file is damaged.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        return Identity(**{name: str(value) for name, value in json.loads(path.read_text()).items()})
    except (ValueError, TypeError, AttributeError) as error:
        remedy = "restore the file, or remove it to start another run"
        raise TrackingError(f"damaged: {error}", "the identity of a run", str(path), remedy) from error


def write_identity(folder: Path, identity: Identity) -> None:
    """Write the identity at once, over an earlier one."""
    draft = folder / f".{STATE}.partial"
    draft.write_text(json.dumps(asdict(identity), indent=1) + "\n")
    os.replace(draft, folder / STATE)


def mark_ended(folder: Path) -> None:
    """Note that the run which `folder` belongs to has come to its end: nobody will go on with it."""
    (folder / _ENDED).touch()


def has_ended(folder: Path) -> bool:
    """Say whether no tracked run that belongs to `folder` still waits for its end."""
    return not (folder / STATE).is_file() or (folder / _ENDED).exists()


def begin_anew(folder: Path) -> None:
    """Let `folder` belong to a new run if that of before has ended; what waits to be sent is set aside, by its key.

    Raises:
        TrackingError: The identity is damaged.
    """
    if not (folder / _ENDED).exists():
        return
    before = read_identity(folder)
    if before is not None and (folder / SPOOL).exists():
        os.replace(folder, folder.with_name(f"{folder.name}.{before.key[:8]}"))
    else:
        shutil.rmtree(folder)


def run_tags(model: str, data_fingerprint: str, source: Path) -> dict[str, str]:
    """Return the tags of every run: model, data, raymm's version, and the commit of `source` if it is under git.

    Args:
        model: Name of the model.
        data_fingerprint: Fingerprint of the prepared data.
        source: A folder of the source code that runs.
    """
    tags = {"raymm.model": model, "raymm.data_fingerprint": data_fingerprint, "raymm.version": raymm.__version__}
    commit = git_commit(source)
    return {**tags, "mlflow.source.git.commit": commit} if commit else tags


def git_commit(folder: Path) -> str | None:
    """Return the commit checked out at `folder`, ending in `-dirty` if files differ; None without git."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
