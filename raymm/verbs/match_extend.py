"""Extend a matching to source users who came after it, without solving anything again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from raymm import artefacts
from raymm.config import build
from raymm.data.embeddings import read_embeddings
from raymm.errors import ConfigError, DataError
from raymm.transport.export import new_partners
from raymm.transport.population import PopulationConfig
from raymm.transport.problem import state_problem
from raymm.verbs.match import KIND, SCHEMA, open_matching
from raymm.verbs.matching_files import read_frame, write_partners

NEW_KIND, NEW_SCHEMA = "new_matches", 1


@dataclass(frozen=True)
class ExtendRequest:
    """Who is matched by what.

    Attributes:
        matching: Folder of a matching.
        source: Embeddings of the new users, by the model that made those of the matching.
        output: Folder to write.
        top_k: Partners listed for each; None: as many as in the matching.
        id_column: Name of the column of ids.
        force: Replace what stands at `output`.
    """

    matching: Path
    source: Path
    output: Path
    top_k: int | None = None
    id_column: str = "id"
    force: bool = False


@dataclass(frozen=True)
class Extension:
    """What was written.

    Attributes:
        folder: Where.
        users: New users.
        candidates: Target users whom they could be matched to.
        effective: Mean number of partners that a new user is spread over.
        listed: Mean share of a user's mass that his list holds.
    """

    folder: Path
    users: int
    candidates: int
    effective: float
    listed: float


def extend_matching(request: ExtendRequest) -> Extension:
    """List the partners of new source users by the potentials of a matching.

    A new user gets the row that the plan of the matching would give to a user with his embedding: the soft c-transform
    of the target users' potentials. These stay as they are, so no certificate speaks of the new rows, and many new
    users at once call for another `raymm match`. Users of known pairs are not among the candidates.

    Args:
        request: Who is matched by what.

    Raises:
        DataError: The file cannot be used, or its vectors are of another width than those of the matching.
        ConfigError: `top_k` is below 1.
        ArtefactError: No matching, one without target users left, or something else stands at the output.
    """
    if request.top_k is not None and request.top_k < 1:
        raise ConfigError(f"top_k {request.top_k}", "at least 1", "command line")
    matching = open_matching(request.matching)
    config = build(PopulationConfig, matching.record["settings"], str(request.matching))
    new = read_embeddings(request.source, request.id_column)
    width = matching.record["columns"][0]
    if new.vectors.shape[1] != width:
        found = f"{new.vectors.shape[1]} columns"
        raise DataError(found, f"{width}, as in the matching", str(request.source), "give vectors of the same model")
    frame, candidates = read_frame(request.matching)
    cost = frame.cost(torch.from_numpy(new.vectors), candidates.coordinates)
    problem = state_problem(cost, None, None, config.epsilon, config.rho)
    listed = new_partners(problem, candidates.potentials, request.top_k or config.top_k)
    inputs = {
        "matching": artefacts.read_manifest(request.matching, KIND, SCHEMA).fingerprint,
        "source": new.fingerprint,
    }
    settings: dict[str, Any] = {"top_k": request.top_k or config.top_k}
    with artefacts.writing(request.output, NEW_KIND, NEW_SCHEMA, inputs, settings, request.force) as (draft, facts):
        nobody = torch.zeros(len(new.ids), dtype=torch.bool)
        write_partners(draft, listed, nobody, new.ids, candidates.ids)
        facts.update(users=len(new.ids), candidates=len(candidates.ids))
    means = float(listed.effective.mean()), float(listed.kept.mean())
    return Extension(request.output, len(new.ids), len(candidates.ids), *means)
