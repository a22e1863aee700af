"""The Kubernetes manifests say what KubeRay needs to run a job once, as nobody special, with nothing secret inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import raymm
from raymm.cli.arguments import make_parser
from tests.cluster.shipped import ROOT, commands_in_comments, documents, jobs_of, locked, of_kind, yaml_files

SECRET_WORDS = ("token", "password", "secret_key", "access_key", "credential")


def test_every_file_parses_and_holds_something() -> None:
    names = {path.name for path in yaml_files() if documents(path)}

    assert {"rayjob.yaml", "raycluster.yaml", "storage.yaml", "runtime_env.yaml", "autoscaler.yaml"} <= names


def test_a_key_given_twice_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("a: 1\nb: {c: 1, c: 2}\n", encoding="utf-8")

    with pytest.raises(AssertionError, match="given twice"):
        documents(file)


def test_a_failed_job_is_not_submitted_again() -> None:
    for path, job in of_kind("RayJob"):
        spec = job["spec"]

        assert spec["backoffLimit"] == 0, path
        assert spec["submitterConfig"]["backoffLimit"] == 0, path
        assert spec["submissionMode"] in ("K8sJobMode", "HTTPMode", "SidecarMode", "InteractiveMode"), path


def test_the_cluster_of_a_job_goes_with_it() -> None:
    for path, job in of_kind("RayJob"):
        spec = job["spec"]

        assert spec["shutdownAfterJobFinishes"] is True, path
        assert isinstance(spec["ttlSecondsAfterFinished"], int), path
        assert spec["activeDeadlineSeconds"] > 0, path


def test_the_entrypoint_is_a_job_that_exists_in_the_image() -> None:
    image = (ROOT / "cluster" / "Dockerfile").read_text(encoding="utf-8")
    (folder,) = [line.split()[1] for line in image.splitlines() if line.startswith("WORKDIR")]

    for path, job in of_kind("RayJob"):
        ((script, _),) = jobs_of(job["spec"]["entrypoint"])

        assert f"{folder}/{script}" in job["spec"]["entrypoint"], path
        assert (ROOT / script).is_file(), f"{path} starts {script}, which does not exist"


def test_every_command_that_is_shown_starts_a_job_as_it_wants_to_be_started() -> None:
    entrypoints = [(path, job["spec"]["entrypoint"]) for path, job in of_kind("RayJob")]
    started = [(path, *one) for path, command in entrypoints + commands_in_comments() for one in jobs_of(command)]
    assert len(started) >= 4

    for path, script, arguments in started:
        assert (ROOT / script).is_file(), f"{path} starts {script}, which does not exist"
        model = script.stem.removeprefix("train_")
        chosen = make_parser().parse_args(["pipeline", model, *arguments])
        assert chosen.model == model, path


def test_every_shipped_file_that_a_command_names_exists() -> None:
    named = [(path, word) for path, command in commands_in_comments() for word in command.split() if "cluster/" in word]
    assert named

    assert [(path, word) for path, word in named if not (ROOT / word.removeprefix("--file=")).is_file()] == []


def test_every_cluster_asks_for_the_locked_ray_and_a_token() -> None:
    for path, spec in _cluster_specs():
        assert spec["rayVersion"] == locked("ray"), path
        assert spec["authOptions"] == {"mode": "token"}, path


def test_every_pod_runs_as_nobody_special() -> None:
    for path, pod in _pods():
        assert pod["securityContext"]["runAsNonRoot"] is True, path
        assert pod["securityContext"]["runAsUser"] > 0, path
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, path
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, path


def test_every_container_says_what_it_needs() -> None:
    for path, pod in _pods():
        for container in pod["containers"]:
            asked, limit = container["resources"]["requests"], container["resources"]["limits"]

            # Ray reads its CPUs and memory from the limits: more than what was asked for is a promise nobody made.
            assert asked == limit, path
            assert {"cpu", "memory"} <= set(limit), path
            assert container["image"] == f"raymm:{raymm.__version__}", path


def test_every_node_shares_the_store() -> None:
    claims = {claim["metadata"]["name"] for _, claim in of_kind("PersistentVolumeClaim")}
    assert all("ReadWriteMany" in claim["spec"]["accessModes"] for _, claim in of_kind("PersistentVolumeClaim"))

    for path, pod in _pods():
        volumes = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}

            assert mounts[container["workingDir"]] in claims, path


def test_workers_scale_between_their_limits() -> None:
    groups = [(path, group) for path, spec in _cluster_specs() for group in spec["workerGroupSpecs"]]
    assert groups

    for path, group in groups:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"], path
        assert group["maxReplicas"] > 0, path
        assert "rayStartParams" in group, path


def test_nothing_secret_is_written_down() -> None:
    leaves = [(path, key, value) for path in yaml_files() for one in documents(path) for key, value in _leaves(one)]
    assert len(leaves) > 50

    assert [(path.name, key) for path, key, value in leaves if _is_secret(key, value)] == []
    assert [path for path in yaml_files() for one in documents(path) if one.get("kind") == "Secret"] == []


def test_a_secret_is_seen() -> None:
    (leaf,) = _leaves(yaml.safe_load("env: [{AWS_SECRET_KEY: abc}]"))

    assert leaf == ("AWS_SECRET_KEY", "abc")
    assert _is_secret(*leaf)
    assert not _is_secret("/home/ray/.ray/auth_token", "~/.ray/auth_token")


def _cluster_specs() -> list[tuple[Path, dict[str, Any]]]:
    inside = [(path, job["spec"]["rayClusterSpec"]) for path, job in of_kind("RayJob")]
    return inside + [(path, cluster["spec"]) for path, cluster in of_kind("RayCluster")]


def _pods() -> list[tuple[Path, dict[str, Any]]]:
    pods = []
    for path, spec in _cluster_specs():
        groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
        pods += [(path, group["template"]["spec"]) for group in groups]
    assert len(pods) >= 4
    return pods


def _is_secret(key: str, value: str) -> bool:
    """Whether a key that speaks of a secret holds anything but a switch or the path of a file."""
    return any(word in key.lower() for word in SECRET_WORDS) and value not in ("True", "False") and "/" not in value


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _leaves(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from _leaves(value, key)
    else:
        yield key, "" if node is None else str(node)
