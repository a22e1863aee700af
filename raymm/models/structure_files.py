"""The structure of a domain as a folder: written once, and mapped into memory by whoever trains on it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from raymm import artefacts
from raymm.errors import ArtefactError
from raymm.models.spec import Structure

KIND, SCHEMA = "structure", 1
REMEDY = "remove this folder; it is made anew"
_ARRAYS = ("data", "indices", "indptr")


def write_structure(
    structure: Structure, folder: Path, inputs: Mapping[str, str], settings: Mapping[str, Any], seconds: float
) -> None:
    """Write a structure; if another run has written the same meanwhile, that one stays.

    Raises:
        ArtefactError: The folder cannot be written.
    """
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    try:
        with artefacts.writing(draft, KIND, SCHEMA, inputs, settings) as (inside, facts):
            for name, matrix in structure.matrices.items():
                rows = sparse.csr_array(matrix)
                for array in _ARRAYS:
                    np.save(inside / f"{name}.{array}.npy", getattr(rows, array))
            facts["shapes"] = {name: list(matrix.shape) for name, matrix in structure.matrices.items()}
            facts["found"], facts["seconds"] = dict(structure.facts), seconds
        try:
            draft.rename(folder)
        except OSError:
            if not (folder / artefacts.MANIFEST).is_file():
                raise
    except OSError as error:
        raise ArtefactError(
            f"{error.strerror or error}",
            "a folder that can be written, on storage that all nodes see",
            str(folder.parent),
            "name another by scale.structures",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def open_structure(folder: Path) -> Structure:
    """Map a structure into memory; nothing is read before it is used.

    Raises:
        ArtefactError: It is missing or damaged.
    """
    manifest = artefacts.read_manifest(folder, KIND, SCHEMA)
    matrices = {}
    for name, shape in manifest.facts["shapes"].items():
        try:
            arrays = [np.load(folder / f"{name}.{array}.npy", mmap_mode="r") for array in _ARRAYS]
            matrices[name] = sparse.csr_array(tuple(arrays), shape=tuple(shape), copy=False)
        except (OSError, EOFError, ValueError) as error:
            raise ArtefactError(f"a damaged file ({error})", "the arrays of a matrix", str(folder), REMEDY) from error
    return Structure(matrices, manifest.facts["found"])
