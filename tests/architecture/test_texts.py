"""What is shipped names no machine, no package registry, and no document that is not shipped with it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

# Put together from pieces, so that this file does not hold what it looks for.
WRITTEN = {"card.md"}  # by raymm itself, beside a registered model
FOLDERS = ("work", "root", "tmp", "opt")
MACHINE = re.compile(
    r"(?<![\w./~$}*-])/(?:" + "|".join(FOLDERS) + r")/[\w.-]+|(?<![\w./-])/(?:home|Users)/(?!ray\b)\w+"
)
REGISTRY = re.compile(
    "|".join(
        (
            r"py" + r"pi\.org",
            r"python" + r"hosted",
            r"pytorch\.org/" + "whl",
            r"npm" + r"js\.org",
            r"ana" + r"conda\.org",
            "index" + "-url",
        )
    )
)
DOCUMENT = re.compile(r"(?<![\w/.:-])([\w-]+(?:/[\w.-]+)*\.md)\b")
PROSE = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".cfg", ".lock", ".html", ".j2", ""}


def test_no_text_names_a_machine() -> None:
    texts = _texts()
    assert {"pyproject.toml", "raymm/errors.py", "Makefile"} <= set(texts)

    _none(_hits(texts, MACHINE), "a path of one machine")


def test_no_text_names_a_registry() -> None:
    _none(_hits(_texts(), REGISTRY), "a package registry")


def test_every_document_that_is_cited_is_shipped() -> None:
    texts = _texts()
    names = {Path(path).name for path in texts}

    cited = [
        (path, hit) for path, text in texts.items() if Path(path).suffix in PROSE for hit in DOCUMENT.findall(text)
    ]
    missing = [f"{path}: {hit}" for path, hit in cited if Path(hit).name not in names | WRITTEN]

    _none(missing, "a document that is not here")


@pytest.mark.parametrize(
    "text", ["see /" + "tmp/x1", "'/" + "work/main'", "open(/" + "root/.cache)", "in /" + "home/someone/x"]
)
def test_a_path_of_a_machine_is_seen(text: str) -> None:
    assert MACHINE.search(text)


@pytest.mark.parametrize(
    "text", ["a/work/b", "~/work/x", "$HOME/tmp/y", "tests/root/x", "and/or", "/home/ray/raymm", "https://a.b/tmp/c"]
)
def test_what_only_looks_like_one_is_not(text: str) -> None:
    assert not MACHINE.search(text)


def test_a_registry_is_seen() -> None:
    assert REGISTRY.search("https://py" + "pi.org/simple")


def _texts() -> dict[str, str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: what is shipped is what git tracks")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    texts = {}
    for path in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / path).is_file():
            try:
                texts[path] = (ROOT / path).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # not a text
    return texts


def _hits(texts: dict[str, str], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {hit.group()}"
        for path, text in texts.items()
        for number, line in enumerate(text.splitlines(), start=1)
        for hit in pattern.finditer(line)
    ]


def _none(problems: list[str], what: str) -> None:
    if problems:
        pytest.fail(f"{len(problems)} mention(s) of {what}\n\n" + "\n".join(problems), pytrace=False)
