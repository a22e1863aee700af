"""The state of a long solve on disk: written whole or not at all, read without pickle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from raymm.errors import ArtefactError
from raymm.transport.problem import Problem

_FACTS = "facts"


@dataclass(frozen=True)
class Checkpoint:
    """A file that holds the last state of one solve.

    Attributes:
        path: An `.npz` file; its folder must exist.
        fingerprint: Of the problem and the settings; the state of another solve is refused.
    """

    path: Path
    fingerprint: str

    def save(self, arrays: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
        """Replace the state; a crash leaves the previous one."""
        text = json.dumps({"fingerprint": self.fingerprint, **facts})
        draft = self.path.with_name(f".{self.path.name}.partial")
        with draft.open("wb") as stream:
            stored = {name: array.cpu().numpy() for name, array in arrays.items()}
            np.savez(stream, **{_FACTS: np.frombuffer(text.encode(), dtype=np.uint8)}, **stored)  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, self.path)

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Return arrays and facts of the last state, or None where nothing was saved yet.

        Raises:
            ArtefactError: A damaged file, or the state of another problem.
        """
        if not self.path.is_file():
            return None
        remedy = "delete the file to start afresh, or give the inputs and settings it was made with"
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                arrays = {name: torch.from_numpy(stored[name]) for name in stored.files if name != _FACTS}
                facts: dict[str, Any] = json.loads(bytes(stored[_FACTS]).decode())
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise ArtefactError(f"a damaged file ({error})", "a saved state", str(self.path), remedy) from error
        if facts.get("fingerprint") != self.fingerprint:
            raise ArtefactError(
                f"state of a solve {facts.get('fingerprint')}", f"of {self.fingerprint}", str(self.path), remedy
            )
        return arrays, facts

    def clear(self) -> None:
        """Forget the state, once the solve is done."""
        self.path.unlink(missing_ok=True)


def fingerprint_of(problem: Problem, *settings: Any) -> str:
    """Hash all numbers of a problem, and plain settings, to 16 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps([problem.epsilon, str(problem.rho), *settings], sort_keys=True).encode())
    cost = problem.cost
    for array in (cost.source, cost.target, cost.source_offset, cost.target_offset, problem.a, problem.b):
        digest.update(array.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
