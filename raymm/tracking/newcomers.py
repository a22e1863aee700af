"""What reads newcomers, as files: JSON and safetensors, nothing that runs when it is read."""

from __future__ import annotations

import json
from pathlib import Path

from raymm.errors import ArtefactError, DataError
from raymm.models.mimnet.newcomers import Newcomers, pack, unpack
from raymm.training.rows import read_tables, write_tables

LABEL = "newcomers.json"


def save_newcomers(newcomers: Newcomers, folder: Path) -> None:
    """Write what reads newcomers into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    label, tensors = pack(newcomers)
    (folder / LABEL).write_text(json.dumps(label, indent=1, sort_keys=True) + "\n")
    write_tables(folder, tensors)


def load_newcomers(folder: Path) -> Newcomers:
    """Read what `save_newcomers` wrote.

    Raises:
        ArtefactError: A file is missing or holds something else.
    """
    try:
        label = json.loads((folder / LABEL).read_bytes())
        if not isinstance(label, dict):
            raise DataError("no table", "the label of what reads newcomers", str(folder / LABEL))
        return unpack(label, read_tables(folder))
    except (OSError, ValueError, RecursionError, DataError) as error:
        raise ArtefactError(
            f"unreadable: {error}", "what reads newcomers", str(folder), "register the model again"
        ) from error
