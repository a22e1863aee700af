"""Stages by the one loop: the best epoch is kept, the start included, and each stage leaves an artefact."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raymm import artefacts
from raymm.errors import TrainingError
from raymm.ratings.stage import RowModel, Stage, StageTraining
from raymm.training.rows import read_tables
from raymm.verbs.stages import KIND, SCHEMA, run_stages


class _Number(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(()))


class _Toy:
    """Drives a number to 1; `wanted` is where validation would have it."""

    def __init__(self, wanted: float | None) -> None:
        self.number, self.wanted = _Number(), wanted

    def stages(self):
        def error():
            return abs(float(self.number.value) - self.wanted)

        model = RowModel(self.number, lambda _: (self.number.value - 1).square())
        yield Stage("solved", lambda: {"a": torch.ones(2)})
        training = StageTraining(rows=4, batch_size=1, learning_rate=0.05, epochs=20, patience=3)
        yield Stage(
            "learned",
            lambda: dict(self.number.named_parameters()),
            model,
            training,
            None if self.wanted is None else error,
        )

    def facts(self):
        return {}

    def scorer(self):
        raise TrainingError("a toy", "a model")


@pytest.mark.parametrize(("wanted", "kept"), [(None, 1.0), (0.6, 0.6), (-1.0, 0.0)])
def test_the_epoch_that_validation_likes_is_kept(wanted, kept, tmp_path) -> None:
    toy = _Toy(wanted)
    seen = []
    records = run_stages(toy, 0, tmp_path, {"data": "abc"}, lambda record: seen.append(record["stage"]))
    assert float(toy.number.value) == pytest.approx(kept, abs=0.15)
    if wanted == -1.0:
        assert float(toy.number.value) == 0
        assert len(records) == 3  # patience
    assert [record["stage"] for record in records] == seen == ["learned"] * len(records)
    for name in ("solved", "learned"):
        manifest = artefacts.read_manifest(tmp_path / name, KIND, SCHEMA)
        artefacts.verify(tmp_path / name, manifest)
        assert manifest.inputs == {"data": "abc"}
    assert float(read_tables(tmp_path / "learned")["value"]) == float(toy.number.value)
