"""The model registry: a finished run becomes a version of a named model that leads back to its data."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST, ErrorCode

from raymm.errors import TrackingError
from raymm.tracking.candidate import COMPARISON, CONTENT, DATA_FINGERPRINT, METRICS, Candidate, write_candidate
from raymm.tracking.card import card_summary
from raymm.tracking.served_model import ARTEFACT, save_served_model
from raymm.tracking.store import Tracking

_COMMIT = "mlflow.source.git.commit"
_URI = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[1-9][0-9]{0,8}))")


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


def register(tracking: Tracking, candidate: Candidate, name: str, alias: str = "") -> RegisteredModel:
    """Register the scorers of a finished run as a served model; what was evaluated is what is registered.

    Registering the same run twice gives the version that is there already, with the newer measurements. The alias is
    set whoever has it: see `claim_alias` for a way that minds others.

    Args:
        tracking: Store and registry.
        candidate: The run, and what was measured of it.
        name: Name of the model in the registry.
        alias: Alias to set, such as `champion`; empty for none.

    Raises:
        ArtefactError: A folder is missing or damaged, or the run was trained on another prepared set.
        TrackingError: The store does not answer, or refuses the run, the name or the alias.
    """
    doing = f"registering {name!r}"
    run_id = candidate.run_id
    tags = tracking.reach(doing, lambda client: dict(client.get_run(run_id).data.tags))
    with tempfile.TemporaryDirectory(prefix="raymm-register-") as scratch:
        served = Path(scratch) / ARTEFACT
        written = write_candidate(candidate, name, tags.get(_COMMIT, ""), served)

        def create(client: MlflowClient) -> int:
            version = _same_version(client, name, run_id, written.tags)
            if version is None:
                model_id, source = _log_model(client, run_id, name, served, written.example_user)
                version = _create_version(client, name, run_id, model_id, source, written.tags)
            client.update_model_version(name, str(version), description=card_summary(written.card))
            return version

        version = tracking.reach(doing, create)
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


def claim_alias(tracking: Tracking, model: RegisteredModel, alias: str, champion: int | None) -> RegisteredModel | None:
    """Let `models:/<name>@<alias>` mean `model` if it still means what it was compared with.

    MLflow changes an alias without asking what it was. Looking right before and right after leaves a gap of
    milliseconds in which two claims can cross; both then see who has it in the end.

    Args:
        tracking: Store and registry.
        model: The version that claims it.
        alias: The alias.
        champion: The version that had the alias when they were compared; None if nobody had it.

    Returns:
        The model under its alias, or None if somebody else was faster; then compare with that one.

    Raises:
        TrackingError: The store does not answer, or does not take the alias.
    """
    holder = _holder(tracking, model.name, alias)
    if holder not in (champion, model.version):
        return None
    set_alias(tracking, model.name, model.version, alias)
    held = _holder(tracking, model.name, alias) == model.version
    return _describe(tracking, model.name, model.version, alias) if held else None


def find(tracking: Tracking, name: str, alias: str) -> RegisteredModel | None:
    """Return the version that an alias stands for, with its metrics and data; None where there is none.

    Raises:
        TrackingError: The registry does not answer.
    """
    version = _holder(tracking, name, alias)
    return None if version is None else _describe(tracking, name, version, alias)


def resolve(tracking: Tracking, uri: str) -> RegisteredModel:
    """Return the version that `models:/<name>@<alias>` or `models:/<name>/<version>` stands for.

    Raises:
        TrackingError: Another address, no such model, or the registry does not answer.
    """
    expected = "models:/<name>@<alias>, or models:/<name>/<version>"
    match = _URI.fullmatch(uri)
    if match is None:
        raise TrackingError(f"{uri!r}", expected, "address of a model", "for example models:/raymm-sieoug@champion")
    name, alias, version = match["name"], match["alias"], match["version"]
    found = find(tracking, name, alias) if alias else _describe(tracking, name, int(version), "")
    if found is None:
        raise TrackingError(
            "nobody has this alias", "a registered model", f"{uri} in {tracking.shown_uri}", "`raymm register` sets it"
        )
    return found


def _holder(tracking: Tracking, name: str, alias: str) -> int | None:
    """Return the version that has an alias; None where there is none."""

    def look(client: MlflowClient) -> int | None:
        try:
            return int(client.get_model_version_by_alias(name, alias).version)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST) or "not found" in str(error).lower():
                return None
            raise

    return tracking.reach(f"looking for {name}@{alias}", look)


def _same_version(client: MlflowClient, name: str, run_id: str, tags: Mapping[str, str]) -> int | None:
    """Find the version of this very content, and bring its measurements up to date."""
    for version in client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'"):
        if version.tags.get(CONTENT) == tags[CONTENT]:
            for key in {METRICS, COMPARISON} & set(tags):
                client.set_model_version_tag(name, version.version, key, tags[key])
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
        metrics = {key: float(value) for key, value in json.loads(found.tags.get(METRICS, "{}")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise TrackingError(
            f"tag {METRICS} is damaged: {error}", "numbers by name", f"{name}, version {version}", "register again"
        ) from error
    uri = f"models:/{name}@{alias}" if alias else f"models:/{name}/{version}"
    data = found.tags.get(DATA_FINGERPRINT, "")
    return RegisteredModel(uri, name, version, found.run_id or "", data, metrics, dict(found.tags))
