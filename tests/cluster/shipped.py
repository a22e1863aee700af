"""Read what the folder `cluster` ships, and what must agree with it elsewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "cluster"


def yaml_files() -> list[Path]:
    """List every YAML file that is shipped; an empty list is an error, as nothing would be tested."""
    files = sorted(path for path in FOLDER.rglob("*") if path.suffix in (".yaml", ".yml"))
    assert files, f"found no YAML file in {FOLDER}"
    return files


def documents(path: Path) -> list[dict[str, Any]]:
    """Parse the documents of a YAML file; duplicate keys are errors, as they hide what was meant."""
    text = path.read_text(encoding="utf-8")
    for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
        _refuse_twice(node, path)
    found = [document for document in yaml.safe_load_all(text) if document]
    assert found, f"found no document in {path}"
    return found


def of_kind(kind: str) -> list[tuple[Path, dict[str, Any]]]:
    """List every Kubernetes document of a kind with its file; none is an error."""
    found = [(path, one) for path in yaml_files() for one in documents(path) if one.get("kind") == kind]
    assert found, f"found no {kind} in {FOLDER}"
    return found


def jobs_of(command: str) -> list[tuple[Path, list[str]]]:
    """Find the job scripts that a command line starts, relative to the root, with what is passed to each."""
    words = shlex.split(command)
    starts = [place for place, word in enumerate(words) if re.search(r"(^|/)jobs/\w+\.py$", word)]
    return [(Path("jobs") / words[place].partition("jobs/")[2], words[place + 1 :]) for place in starts]


def commands_in_comments() -> list[tuple[Path, str]]:
    """List the commands that comments below `cluster` show, with the lines that a backslash continues joined."""
    found = []
    for path in sorted(FOLDER.rglob("*")):
        comments = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        joined = "\n".join(comments).replace("\\\n", " ")
        found += [
            (path, line) for line in joined.splitlines() if re.match(r"(ray|kubectl|docker|python|export) ", line)
        ]
    assert found, f"found no command in the comments of {FOLDER}"
    return found


def locked(package: str) -> str:
    """Look up the version of a package in requirements.lock."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    versions = [line.split("==")[1].split(";")[0].strip() for line in lines if line.lower().startswith(f"{package}==")]
    assert len(versions) == 1, f"found {versions} for {package} in requirements.lock, expected one version"
    return versions[0]


def _refuse_twice(node: yaml.Node, path: Path) -> None:
    """Look for a key that a mapping holds twice, all the way down."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{path}:{node.start_mark.line + 1}: given twice: {twice}"
        for _, value in node.value:
            _refuse_twice(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_twice(value, path)
