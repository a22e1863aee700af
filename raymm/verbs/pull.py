"""Pull: a registered model to a folder that answers without a registry, and without the training stack."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raymm.tracking import pulled, registry
from raymm.tracking.card import CARD_TEXT
from raymm.tracking.registry import RegisteredModel
from raymm.tracking.served import check_served
from raymm.tracking.store import Tracking


@dataclass(frozen=True)
class Pulled:
    """A model on disk.

    Attributes:
        folder: Where it stands.
        model: The version that it is of.
        card: Its model card; None for a model that was registered before there were cards.
        domains: Names of its domains.
        files: Number of files.
        size_bytes: Size of all of them.
    """

    folder: Path
    model: RegisteredModel
    card: Path | None
    domains: tuple[str, ...]
    files: int
    size_bytes: int


def pull(uri: str, folder: Path, tracking: Tracking) -> Pulled:
    """Bring a registered model's scorers, id maps and card to a folder; every file is compared with its hash.

    Args:
        uri: `models:/<name>@<alias>` or `models:/<name>/<version>`.
        folder: A folder that is not there yet, or empty.
        tracking: Store and registry.

    Raises:
        TrackingError: No such model, one that raymm did not register, or the registry does not answer.
        ArtefactError: Something stands at `folder`, or a file is not as it was registered.
    """
    model = registry.resolve(tracking, uri)
    pulled.pull(tracking, model, folder)
    manifest = check_served(folder)
    paths = [path for path in folder.rglob("*") if path.is_file()]
    card = folder / CARD_TEXT
    return Pulled(
        folder,
        model,
        card if card.is_file() else None,
        tuple(manifest.facts["domains"]),
        len(paths),
        sum(path.stat().st_size for path in paths),
    )
