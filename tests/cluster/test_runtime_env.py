"""The runtime environment is one that Ray accepts, and what it sends to a cluster is the code and nothing else."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from ray._private.runtime_env import packaging
from ray.runtime_env import RuntimeEnv

from tests.cluster.shipped import FOLDER, ROOT, documents

# Ray's limit on a working directory that is uploaded, in bytes.
UPLOAD_LIMIT = 100 * 1024**2


@pytest.fixture(scope="module")
def environment() -> dict[str, Any]:
    """Read the shipped runtime environment."""
    (found,) = documents(FOLDER / "runtime_env.yaml")
    return found


def test_ray_accepts_it(environment: dict[str, Any]) -> None:
    checked = RuntimeEnv(working_dir=str(ROOT), **environment)

    assert checked["excludes"] == environment["excludes"]
    assert checked["env_vars"] == environment["env_vars"]


def test_ray_refuses_what_is_no_environment() -> None:
    with pytest.raises(TypeError):
        RuntimeEnv(env_vars={"A": 1})  # type: ignore[dict-item]


def test_it_holds_no_path_of_one_machine(environment: dict[str, Any]) -> None:
    assert "working_dir" not in environment, "the clone is named by --working-dir"
    assert not [value for value in environment["env_vars"].values() if os.path.isabs(value)]


def test_what_is_sent_is_the_code(environment: dict[str, Any], tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    packaging.create_package(
        str(ROOT),
        package,
        include_gitignore=True,
        include_parent_dir=False,
        excludes=environment["excludes"],
        logger=logging.getLogger(__name__),
    )
    names = zipfile.ZipFile(package).namelist()

    assert {"raymm/__init__.py", "raymm/errors.py", "pyproject.toml"} <= set(names)
    assert not [
        name for name in names if name.startswith((".git/", ".venv", "tests/", "runs/", "prepared/", "mlruns/"))
    ]
    assert package.stat().st_size < UPLOAD_LIMIT / 4
