"""The image is built from the lock, runs as nobody special, and holds what its commands name."""

from __future__ import annotations

import json
import re

from tests.cluster.shipped import FOLDER, ROOT, jobs_of

REMOTE = re.compile(r"\b(https?|ftp|git)://|git@")


def test_it_runs_as_a_user() -> None:
    users = [rest for word, rest in _instructions() if word == "USER"]

    assert users
    assert users[-1].split(":")[0] not in ("root", "0")
    assert any(
        f"useradd --create-home --uid 1000 {users[-1]}" in rest for word, rest in _instructions() if word == "RUN"
    )


def test_nothing_is_fetched_by_address() -> None:
    words = {word for word, _ in _instructions()}

    assert {"FROM", "COPY", "RUN", "USER", "CMD"} <= words
    assert "ADD" not in words
    assert not [rest for _, rest in _instructions() if REMOTE.search(rest)]


def test_nothing_secret_is_built_in() -> None:
    settings = [rest for word, rest in _instructions() if word in ("ENV", "ARG")]

    assert settings
    assert not [rest for rest in settings if re.search(r"(?i)token|password|secret|credential", rest)]


def test_it_installs_the_lock_and_no_newer_packages() -> None:
    installs = [rest for word, rest in _instructions() if word == "RUN" and "pip install" in rest]

    assert len(installs) == 2
    assert "--requirement requirements.lock" in installs[0]
    assert "--no-deps" in installs[1]


def test_what_is_copied_exists() -> None:
    sources = [source for word, rest in _instructions() if word == "COPY" for source in _sources(rest)]

    assert "requirements.lock" in sources
    assert all((ROOT / source).exists() for source in sources)


def test_its_python_is_one_that_the_package_supports() -> None:
    ((base),) = [rest for word, rest in _instructions() if word == "FROM"]
    major, minor = re.match(r"python:(\d+)\.(\d+)-", base).groups()  # type: ignore[union-attr]

    assert (3, 11) <= (int(major), int(minor)) < (3, 14)


def test_its_command_is_a_job_that_exists() -> None:
    (command,) = [json.loads(rest) for word, rest in _instructions() if word == "CMD"]

    assert [job for job, _ in jobs_of(" ".join(command)) if (ROOT / job).is_file()], (
        f"{command} names no job that exists"
    )


def test_what_is_left_out_of_the_build() -> None:
    left_out = (FOLDER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()

    assert {".git", ".venv*", "runs", "prepared", "mlflow.db"} <= set(left_out)


def _instructions() -> list[tuple[str, str]]:
    lines = [
        line for line in (FOLDER / "Dockerfile").read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]
    assert len(found) > 5
    return [(str(word), str(rest)) for word, rest in found]


def _sources(rest: str) -> list[str]:
    return [word for word in rest.split()[:-1] if not word.startswith("--")]
