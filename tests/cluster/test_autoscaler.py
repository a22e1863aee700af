"""The cluster launcher's file passes Ray's own check and hands the token over as a file."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import pytest
from ray.autoscaler._private.util import prepare_config, validate_config

import raymm
from tests.cluster.shipped import FOLDER, documents


@pytest.fixture
def config() -> dict[str, Any]:
    """Read the shipped configuration."""
    (found,) = documents(FOLDER / "autoscaler.yaml")
    return found


def test_ray_accepts_it(config: dict[str, Any]) -> None:
    validate_config(prepare_config(copy.deepcopy(config)))


def test_ray_refuses_an_unknown_setting(config: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        validate_config(prepare_config({**config, "max_worker": 2}))


def test_it_scales_from_nothing_to_a_limit(config: dict[str, Any]) -> None:
    workers = {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}

    assert workers
    assert all(kind["min_workers"] == 0 < kind["max_workers"] <= config["max_workers"] for kind in workers.values())


def test_every_node_asks_for_the_token(config: dict[str, Any]) -> None:
    assert "--env=RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"] == {"/home/ray/.ray/auth_token": "~/.ray/auth_token"}
    assert config["docker"]["image"] == f"raymm:{raymm.__version__}"


def test_ray_is_started_on_head_and_workers(config: dict[str, Any]) -> None:
    assert any("ray start --head" in command for command in config["head_start_ray_commands"])
    assert any("$RAY_HEAD_IP" in command for command in config["worker_start_ray_commands"])
