"""One checkpoint format for every engine, any number of ranks and any ZeRO stage, without pickle.

Each column rank writes `columns-<rank>-of-<ranks>.safetensors` with its columns of every tensor (whole tensors go into
the file of rank 0) and a JSON file beside it with the ranges and a checksum. A reader takes the columns that it needs
from whichever files hold them, so that a run goes on with another number of ranks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from raymm.artefacts import hash_file
from raymm.errors import TrainingError
from raymm.parallel.columns import ColumnShare
from raymm.parallel.grid import Grid

SCHEMA = 1
_REMEDY = "resume from an older checkpoint, or start a run under a new name"


def write_checkpoint(
    folder: Path, grid: Grid, tensors: Mapping[str, torch.Tensor], shares: Mapping[str, ColumnShare]
) -> None:
    """Write this rank's share; ranks that hold nothing of their own write nothing.

    Args:
        folder: An existing folder, the same for all ranks or one a rank (then merged).
        grid: The grid of ranks; only data rank 0 writes, as the others hold the same.
        tensors: Name to tensor; of tensors named in `shares` the own columns, of others the whole.
        shares: Name to the columns that this rank holds.
    """
    if grid.data_rank:
        return
    own = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in tensors.items()
        if name in shares or grid.column_rank == 0
    }
    stem = folder / f"columns-{grid.column_rank}-of-{grid.column_parallel}"
    save_file(own, stem.with_suffix(".safetensors"))
    index = {
        "schema": SCHEMA,
        "sha256": hash_file(stem.with_suffix(".safetensors")),
        "columns": {
            name: [shares[name].start, shares[name].stop, shares[name].width] for name in own if name in shares
        },
    }
    stem.with_suffix(".json").write_text(json.dumps(index) + "\n")


def read_checkpoint(
    folder: Path, shapes: Mapping[str, tuple[int, ...]], shares: Mapping[str, ColumnShare]
) -> dict[str, torch.Tensor]:
    """Read the tensors that this rank needs, whatever number of ranks wrote them.

    Args:
        folder: The checkpoint.
        shapes: Name to the shape that this rank wants (own columns where the name is in `shares`).
        shares: Name to the columns that this rank holds.

    Returns:
        Name to tensor, on the CPU.

    Raises:
        TrainingError: No checkpoint, a missing or damaged file, other tensors or other shapes than wanted.
    """
    files = _files(folder)
    result = {}
    for name, shape in shapes.items():
        tensor = _columns(files, name, shares[name]) if name in shares else _whole(files, name)
        if tensor is None or tuple(tensor.shape) != tuple(shape):
            raise TrainingError(
                f"{name}: {'nothing' if tensor is None else tuple(tensor.shape)}",
                f"{tuple(shape)}",
                str(folder),
                "train with the settings and the data of this checkpoint, or under a new run name",
            )
        result[name] = tensor
    return result


def read_whole(folder: Path) -> dict[str, torch.Tensor]:
    """Read every whole tensor of a checkpoint, whatever their names and shapes.

    Raises:
        TrainingError: No checkpoint, or a missing or damaged file.
    """
    stored, columns = _files(folder)[0]
    return {name: stored.get_tensor(name) for name in stored.keys() if name not in columns}  # noqa: SIM118


def _files(folder: Path) -> list[tuple[Any, dict[str, Any]]]:
    found = {path.stem: path for path in folder.glob("columns-*-of-*.safetensors")}
    totals = {int(match.group(1)) for stem in found if (match := re.fullmatch(r"columns-\d+-of-(\d+)", stem))}
    if len(totals) != 1:
        raise TrainingError(
            f"files {sorted(found)}", "columns-0-of-N.safetensors to columns-(N-1)-of-N", str(folder), _REMEDY
        )
    total = totals.pop()
    return [_open(folder / f"columns-{rank}-of-{total}.safetensors") for rank in range(total)]


def _open(path: Path) -> tuple[Any, dict[str, Any]]:
    index_path = path.with_suffix(".json")
    if not path.is_file() or not index_path.is_file():
        raise TrainingError("a missing file", f"{path.name} and {index_path.name}", str(path.parent), _REMEDY)
    try:
        index = json.loads(index_path.read_text())
        if index["schema"] != SCHEMA:
            raise TrainingError(f"schema {index['schema']}", f"schema {SCHEMA}", str(path), _REMEDY)
        if index["sha256"] != hash_file(path):
            raise TrainingError("bytes that differ from the checksum", "the file as it was written", str(path), _REMEDY)
        columns = {str(name): tuple(map(int, share)) for name, share in index["columns"].items()}
        return safe_open(path, framework="pt"), columns
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"a damaged file ({error})", "a checkpoint of raymm", str(path), _REMEDY) from error


def _whole(files: list[tuple[Any, dict[str, Any]]], name: str) -> torch.Tensor | None:
    for stored, columns in files:
        if name in stored.keys() and name not in columns:  # noqa: SIM118 - not a mapping
            tensor: torch.Tensor = stored.get_tensor(name)
            return tensor
    return None


def _columns(files: list[tuple[Any, dict[str, Any]]], name: str, share: ColumnShare) -> torch.Tensor | None:
    parts = []
    for stored, columns in files:
        if name not in columns:
            return None
        start, stop, width = columns[name]
        if width != share.width:
            return None
        low, high = max(start, share.start), min(stop, share.stop)
        if low < high:
            parts.append(stored.get_slice(name)[:, low - start : high - start])
    return torch.cat(parts, dim=1)
