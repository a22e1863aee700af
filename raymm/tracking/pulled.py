"""A registered model brought to a folder: its files are compared with the registry's hash, none of its code is run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

from raymm.artefacts import MANIFEST, hash_file
from raymm.errors import ArtefactError, TrackingError
from raymm.tracking.candidate import DIGEST
from raymm.tracking.registry import RegisteredModel
from raymm.tracking.served import check_served
from raymm.tracking.served_model import ARTEFACT
from raymm.tracking.store import Tracking


def pull(tracking: Tracking, model: RegisteredModel, folder: Path) -> Path:
    """Bring a registered model's scorers, id maps and card to `folder`.

    The manifest is compared with the hash that the registry keeps, and every file with the manifest, so that a change
    in the file store is noticed. Files that the manifest does not name are refused.

    Args:
        tracking: Store and registry.
        model: A version, see `registry.find` and `registry.resolve`.
        folder: A folder that is not there yet, or empty.

    Returns:
        The folder, which `raymm.tracking.served.read_served` reads.

    Raises:
        ArtefactError: Something stands at `folder`, or a file is not as it was registered.
        TrackingError: The store does not answer, or the version is no model of raymm.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "a folder with content" if folder.is_dir() else "a file"
        raise ArtefactError(found, "a new or empty folder", str(folder), "choose another")
    expected = model.tags.get(DIGEST)
    if expected is None:
        raise TrackingError("a model that raymm did not register", f"the tag {DIGEST}", model.uri, "choose another")
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".raymm-pull-", dir=folder.absolute().parent) as scratch:

        def download(client: MlflowClient) -> Path:
            source = client.get_model_version_download_uri(model.name, str(model.version))
            uri = f"{source.rstrip('/')}/artifacts/{ARTEFACT}"
            return Path(download_artifacts(uri, dst_path=scratch, tracking_uri=client.tracking_uri))

        found_at = tracking.reach(f"downloading {model.uri}", download)
        if not (found_at / MANIFEST).is_file() or hash_file(found_at / MANIFEST) != expected:
            remedy = "do not use this copy; register the run again"
            raise ArtefactError("a manifest that differs from the registered one", expected, model.uri, remedy)
        check_served(found_at)
        if folder.exists():
            folder.rmdir()
        shutil.move(found_at, folder)
    return folder
