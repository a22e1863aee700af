"""A family of closed forms, which takes seconds, for tests of what runs and shows families."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from raymm.report.family_record import FamilyRun
from raymm.verbs.experiment import FamilyRequest
from raymm.verbs.family import arms_of, read_family

CLOSED = """
title = "Do neighbours beat popularity?"
reference = "popularity"
domain = "office"
metrics = ["recall@20"]
slices = ["item popularity"]

[base]
model = "popularity"

[[variants]]
label = "popularity"

[[variants]]
label = "item k-NN"
model = "item_knn"
"""


class Ear:
    """Hears what an experiment tells."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.states: list[tuple[str, int, str]] = []

    def step(self, title: str) -> None:
        self.steps.append(title)

    def progress(self, label: str, done: int, total: int, extra: str = "") -> None:
        self.steps.append(f"{label} {done} {total} {extra}")

    def run(self, run: FamilyRun, runs: Sequence[FamilyRun]) -> None:
        assert run in runs
        self.states.append((run.label, run.seed, run.state))


def request_of(text: str, folder: Path, prepared: Path, name: str = "closed") -> FamilyRequest:
    """Write a family file and ask for it."""
    path = folder / f"{name}.toml"
    path.write_text(text)
    family = read_family(path)
    return FamilyRequest(name, family, arms_of(family, path), prepared, folder / "out", address="local")
