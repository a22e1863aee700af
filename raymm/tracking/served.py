"""What a registered model holds, as a folder of plain arrays and tables: scorers, id maps, and what users know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from raymm.artefacts import MANIFEST, Manifest, read_manifest, verify, writing
from raymm.contracts import Scorer
from raymm.errors import ArtefactError
from raymm.scorers import load_scorer, save_scorer
from raymm.tracking.served_rater import FOLDER, ServedRater, read_rater, write_rater

KIND = "served"
SCHEMA = 1

_USERS, _ITEMS, _KNOWN, _SCORER = "users.parquet", "items.parquet", "known.parquet", "scorer"


@dataclass(frozen=True, eq=False)
class ServedDomain:
    """One domain of a served model.

    Attributes:
        name: The domain's name.
        scorer: The finished model.
        user_ids: (U,) external ids as strings, at the place of their internal index.
        item_ids: (I,) external ids as strings.
        known: (U, I) CSR, non-zero where the user is known to have the item, which is then not recommended.
        rater: Predicted ratings; None of a model that only ranks.
    """

    name: str
    scorer: Scorer
    user_ids: np.ndarray
    item_ids: np.ndarray
    known: sparse.csr_array
    rater: ServedRater | None = None

    def __post_init__(self) -> None:
        """Check that all parts speak of the same users and items."""
        counts = {
            "scorer": (self.scorer.n_users, self.scorer.n_items),
            "ids": (len(self.user_ids), len(self.item_ids)),
            "known items": tuple(self.known.shape),
        }
        if self.rater is not None:
            counts["ratings"] = (self.rater.scorer.n_users, self.rater.scorer.n_items)
        where = f"domain {self.name!r}"
        if len(set(counts.values())) > 1:
            found = ", ".join(f"{part} for {users} users and {items} items" for part, (users, items) in counts.items())
            raise ArtefactError(
                found, "the same users and items in all parts", where, "take the run's own prepared set"
            )
        for ids in (self.user_ids, self.item_ids):
            if not all(isinstance(name, str) and name for name in ids) or len(set(ids)) < len(ids):
                raise ArtefactError("ids that are empty, repeated or no text", "different strings", where)
        for name, array in self.scorer.arrays().items():
            if array.is_floating_point() and not bool(torch.isfinite(array).all()):
                raise ArtefactError(
                    f"NaN or infinity in {name!r} of the scorer", "finite numbers", where, "train again"
                )


def write_served(
    folder: Path,
    domains: Sequence[ServedDomain],
    inputs: Mapping[str, str],
    settings: Mapping[str, Any],
    texts: Mapping[str, str] | None = None,
) -> Manifest:
    """Write a served model: safetensors, Parquet and JSON, without pickle, and a manifest with the hash of every file.

    Args:
        folder: A folder that is not there yet, or empty.
        domains: One or more; their order is kept.
        inputs: Name of each input to its fingerprint.
        settings: The settings that the model was trained with.
        texts: Names of further files to what they say: the model card.

    Returns:
        The manifest.

    Raises:
        ArtefactError: No domain, or something stands at `folder`.
    """
    if not domains:
        raise ArtefactError("no domain", "at least one", str(folder), "train a model with a scorer for a domain")
    with writing(folder, KIND, SCHEMA, inputs, settings) as (draft, facts):
        facts["domains"] = [domain.name for domain in domains]
        for name, text in (texts or {}).items():
            (draft / name).write_text(text)
        for domain in domains:
            part = draft / "domains" / domain.name
            save_scorer(domain.scorer, part / _SCORER)
            pd.DataFrame({"user": domain.user_ids}, dtype="str").to_parquet(part / _USERS, index=False)
            pd.DataFrame({"item": domain.item_ids}, dtype="str").to_parquet(part / _ITEMS, index=False)
            rows, columns = domain.known.nonzero()
            order = np.lexsort((columns, rows))
            pairs = {"user": rows[order].astype(np.int64), "item": columns[order].astype(np.int64)}
            pd.DataFrame(pairs).to_parquet(part / _KNOWN, index=False)
            if domain.rater is not None:
                write_rater(domain.rater, part / FOLDER)
    return read_manifest(folder, KIND, SCHEMA)


def read_served(folder: Path) -> tuple[ServedDomain, ...]:
    """Read a served model. Every file is compared with its hash before it is opened, and nothing is unpickled.

    Args:
        folder: A folder written by `write_served`.

    Raises:
        ArtefactError: The folder is missing, of another schema, or a file was changed.
    """
    manifest = check_served(folder)
    return tuple(_read_domain(folder / "domains" / name, name) for name in manifest.facts["domains"])


def check_served(folder: Path) -> Manifest:
    """Compare every file of a served model with its hash; a file that the manifest does not name is refused too.

    Raises:
        ArtefactError: The folder is missing, of another schema, a file was changed, removed or added, or a domain has
            a name that leads out of the folder.
    """
    manifest = read_manifest(folder, KIND, SCHEMA)
    verify(folder, manifest)
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    strange = sorted(present - set(manifest.files) - {MANIFEST})
    if strange:
        raise ArtefactError(
            ", ".join(strange[:5]) + (f" and {len(strange) - 5} more" if len(strange) > 5 else ""),
            "the files that the manifest names, and no others",
            str(folder),
            "remove what does not belong there, or pull the model anew",
        )
    names = manifest.facts.get("domains")
    if not isinstance(names, list) or not names or not all(map(_is_folder_name, names)):
        raise ArtefactError(
            f"domains {names!r}", "names of folders below `domains`", str(folder), "do not use this copy"
        )
    return manifest


def _is_folder_name(name: object) -> bool:
    """Whether a name leads one step down: rankings are written to folders of these names, too."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _read_domain(part: Path, name: str) -> ServedDomain:
    try:
        users = pd.read_parquet(part / _USERS)["user"].to_numpy(dtype=object)
        items = pd.read_parquet(part / _ITEMS)["item"].to_numpy(dtype=object)
        pairs = pd.read_parquet(part / _KNOWN)
        ones = np.ones(len(pairs), dtype=np.int8)
        coordinates = (pairs["user"].to_numpy(), pairs["item"].to_numpy())
        known = sparse.csr_array((ones, coordinates), shape=(len(users), len(items)))
    except (OSError, ValueError, KeyError) as error:
        raise ArtefactError(
            f"unreadable: {error}", "the tables of a served domain", str(part), "register the model again"
        ) from error
    return ServedDomain(name, load_scorer(part / _SCORER), users, items, known, read_rater(part / FOLDER))
