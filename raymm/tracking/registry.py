"""The model registry: a finished run becomes a version of a named model that leads back to its data."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode
from scipy import sparse

from raymm.artefacts import MANIFEST, RUN_KIND, RUN_SCHEMA, Manifest, fingerprint, hash_file, read_manifest, verify
from raymm.data.prepared import PreparedSet, open_prepared
from raymm.errors import ArtefactError, TrackingError
from raymm.scorers import load_scorer
from raymm.tracking.served import KIND, SCHEMA, ServedDomain, write_served
from raymm.tracking.served_model import ARTEFACT, save_served_model
from raymm.tracking.store import Tracking

PREPARED = "prepared"

_RUN_FINGERPRINT = "raymm.run_fingerprint"
_DATA_FINGERPRINT = "raymm.prepared_fingerprint"
_RAW_FILES = "raymm.raw_files"
_CONFIG_HASH = "raymm.config_hash"
_CODE_VERSION = "raymm.version"
_CONTENT = "raymm.content"
_DIGEST = "raymm.manifest_sha256"
_METRICS = "raymm.metrics"


@dataclass(frozen=True)
class RegisteredModel:
    """A version in the registry.

    Attributes:
        uri: `models:/<name>@<alias>`, or with the version where there is no alias.
        name: Name of the model.
        version: Version, from 1.
        run_id: The MLflow run that it came from.
        data_fingerprint: Fingerprint of the prepared set that it was trained on.
        metrics: What was measured of it when it was registered, by raymm's names (`test.arts.ndcg@10`).
        tags: All tags of the version: lineage and metrics.
    """

    uri: str
    name: str
    version: int
    run_id: str
    data_fingerprint: str
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def register(
    tracking: Tracking,
    run_id: str,
    run_folder: Path,
    prepared_folder: Path,
    name: str,
    alias: str = "",
    metrics: Mapping[str, float] | None = None,
) -> RegisteredModel:
    """Register the scorers of a finished run as a served model; what was evaluated is what is registered.

    Registering the same run twice gives the version that is there already.

    Args:
        tracking: Store and registry.
        run_id: The MLflow run that training was tracked as.
        run_folder: Artefact of kind `run`, with `scorers/<domain>/`.
        prepared_folder: The prepared set that the run was trained on.
        name: Name of the model in the registry.
        alias: Alias to set, such as `champion`; empty for none.
        metrics: What was measured, to be kept with the version.

    Raises:
        ArtefactError: A folder is missing or damaged, or the run was trained on another prepared set.
        TrackingError: The store does not answer, or refuses the run, the name or the alias.
    """
    run_manifest = read_manifest(run_folder, RUN_KIND, RUN_SCHEMA)
    verify(run_folder, run_manifest)
    prepared = open_prepared(prepared_folder)
    verify(prepared_folder, prepared.manifest)
    trained_on = run_manifest.inputs.get(PREPARED)
    if trained_on != prepared.fingerprint:
        raise ArtefactError(
            f"prepared set {prepared.fingerprint}",
            f"{trained_on}, the one that the run was trained on",
            str(prepared_folder),
            "give the folder that the run was trained on",
        )
    with tempfile.TemporaryDirectory(prefix="raymm-register-") as scratch:
        served = Path(scratch) / ARTEFACT
        inputs = {RUN_KIND: run_manifest.fingerprint, PREPARED: prepared.fingerprint}
        domains = _served_domains(run_folder, prepared)
        manifest = write_served(served, domains, inputs, run_manifest.settings)
        tags = _lineage(run_manifest, prepared, manifest, metrics or {})
        tags[_DIGEST] = hash_file(served / MANIFEST)
        user = str(domains[0].user_ids[0])

        def create(client: MlflowClient) -> int:
            present = _same_version(client, name, run_id, tags)
            if present is not None:
                return present
            model_id, source = _log_model(client, run_id, name, served, user)
            return _create_version(client, name, run_id, model_id, source, tags)

        version = tracking.reach(f"registering {name!r}", create)
    if alias:
        set_alias(tracking, name, version, alias)
    return _describe(tracking, name, version, alias)


def set_alias(tracking: Tracking, name: str, version: int, alias: str) -> None:
    """Let `models:/<name>@<alias>` mean `version`.

    Raises:
        TrackingError: No such version, or an alias that MLflow does not take.
    """
    tracking.reach(
        f"setting alias {alias!r} of {name!r}",
        lambda client: client.set_registered_model_alias(name, alias, str(version)),
    )


def find(tracking: Tracking, name: str, alias: str) -> RegisteredModel | None:
    """Return the version that an alias stands for, with its metrics and data; None where there is none.

    Raises:
        TrackingError: The registry does not answer.
    """

    def look(client: MlflowClient) -> int | None:
        try:
            return int(client.get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST) or "not found" in str(error).lower():
                return None
            raise

    version = tracking.reach(f"looking for {name}@{alias}", look)
    return None if version is None else _describe(tracking, name, version, alias)


def pull(tracking: Tracking, model: RegisteredModel, folder: Path) -> Path:
    """Bring a registered model's scorers and id maps to `folder`; none of the registry's code is run.

    The files are compared with the hash that the registry keeps, so that a change in the file store is noticed.

    Args:
        tracking: Store and registry.
        model: A version, see `find`.
        folder: A folder that is not there yet, or empty.

    Returns:
        The folder, which `raymm.tracking.served.read_served` reads.

    Raises:
        ArtefactError: Something stands at `folder`, or a file is not as it was registered.
        TrackingError: The store does not answer, or the version is no model of raymm.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ArtefactError("a folder with content", "a new or empty folder", str(folder), "choose another")
    expected = model.tags.get(_DIGEST)
    if expected is None:
        raise TrackingError("a model that raymm did not register", f"the tag {_DIGEST}", model.uri, "choose another")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".raymm-pull-", dir=folder.parent) as scratch:

        def download(client: MlflowClient) -> Path:
            source = client.get_model_version_download_uri(model.name, str(model.version))
            uri = f"{source.rstrip('/')}/artifacts/{ARTEFACT}"
            return Path(download_artifacts(uri, dst_path=scratch, tracking_uri=client.tracking_uri))

        found = tracking.reach(f"downloading {model.uri}", download)
        if not (found / MANIFEST).is_file() or hash_file(found / MANIFEST) != expected:
            remedy = "do not use this copy; register the run again"
            raise ArtefactError("a manifest that differs from the registered one", expected, model.uri, remedy)
        verify(found, read_manifest(found, KIND, SCHEMA))
        if folder.exists():
            folder.rmdir()
        shutil.move(found, folder)
    return folder


def _served_domains(run_folder: Path, prepared: PreparedSet) -> list[ServedDomain]:
    """Join each scorer with the ids and known items of its domain; validation items are known by now too."""
    scorers = run_folder / "scorers"
    stored = {path.name for path in scorers.iterdir()} if scorers.is_dir() else set()
    names = [facts.name for facts in prepared.domains if facts.name in stored]
    strange = stored - set(names)
    if not names or strange:
        raise ArtefactError(
            f"scorers of {sorted(stored)}",
            "scorers of " + ", ".join(facts.name for facts in prepared.domains),
            str(scorers),
            "finish the training",
        )
    domains = []
    for name in names:
        facts = prepared.facts(name)
        pairs = [prepared.train_pairs(name), prepared.validation_pairs(name)]
        users, items = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        shape = (facts.n_users, facts.n_items)
        known = sparse.csr_array((np.ones(len(users), dtype=np.float32), (users, items)), shape=shape)
        known.data[:] = 1.0
        scorer = load_scorer(scorers / name)
        domains.append(ServedDomain(name, scorer, prepared.user_ids(name), prepared.item_ids(name), known))
    return domains


def _lineage(run: Manifest, prepared: PreparedSet, served: Manifest, metrics: Mapping[str, float]) -> dict[str, str]:
    return {
        _RUN_FINGERPRINT: run.fingerprint,
        _DATA_FINGERPRINT: prepared.fingerprint,
        _RAW_FILES: json.dumps(dict(prepared.manifest.inputs), sort_keys=True),
        _CONFIG_HASH: fingerprint(dict(run.settings)),
        _CODE_VERSION: run.code_version,
        _CONTENT: fingerprint(dict(served.files)),
        _METRICS: json.dumps({key: float(value) for key, value in metrics.items()}, sort_keys=True),
    }


def _same_version(client: MlflowClient, name: str, run_id: str, tags: Mapping[str, str]) -> int | None:
    """Find the version of this very content, and bring its measurements up to date."""
    for version in client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
        if version.tags.get(_CONTENT) == tags[_CONTENT]:
            client.set_model_version_tag(name, version.version, _METRICS, tags[_METRICS])
            return int(version.version)
    return None


def _log_model(client: MlflowClient, run_id: str, name: str, served: Path, user: str) -> tuple[str, str]:
    """Upload the served model as one of the run's outputs; return its id and where its files are."""
    run = client.get_run(run_id)
    logged = client.create_logged_model(
        run.info.experiment_id, name=name, source_run_id=run_id, params=run.data.params, model_type="raymm"
    )
    model = Model(
        artifact_path=logged.artifact_location, model_uuid=logged.model_id, run_id=run_id, model_id=logged.model_id
    )
    status = LoggedModelStatus.FAILED
    try:
        target = served.with_name("model")
        save_served_model(served, target, user, model)
        client.log_model_artifacts(logged.model_id, str(target))
        status = LoggedModelStatus.READY
    finally:
        client.finalize_logged_model(logged.model_id, status)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return str(logged.model_id), str(logged.artifact_location)


def _create_version(
    client: MlflowClient, name: str, run_id: str, model_id: str, source: str, tags: Mapping[str, str]
) -> int:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    # The place itself, not models:/<id>: a database store would look that up at the process-wide tracking address.
    version = client.create_model_version(name, source=source, run_id=run_id, tags=dict(tags), model_id=model_id)
    link = json.dumps([{"name": name, "version": int(version.version)}])
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})  # MLflow's own pages follow it
    return int(version.version)


def _describe(tracking: Tracking, name: str, version: int, alias: str) -> RegisteredModel:
    found = tracking.reach(f"reading {name!r}", lambda client: client.get_model_version(name, str(version)))
    try:
        metrics = {key: float(value) for key, value in json.loads(found.tags.get(_METRICS, "{}")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise TrackingError(
            f"tag {_METRICS} is damaged: {error}", "numbers by name", f"{name}, version {version}", "register again"
        ) from error
    uri = f"models:/{name}@{alias}" if alias else f"models:/{name}/{version}"
    data = found.tags.get(_DATA_FINGERPRINT, "")
    return RegisteredModel(uri, name, version, found.run_id or "", data, metrics, dict(found.tags))
