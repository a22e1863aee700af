"""Run a model's stages by the one training loop, each leaving an artefact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from raymm import artefacts
from raymm.ratings.stage import ROWS, Stage, Staged
from raymm.training.loop import LoopConfig, LoopState, train
from raymm.training.rows import RowEngine, RowSource, write_tables

KIND, SCHEMA = "stage", 1
SELECTION = "-rmse"
"""Validation metric of a stage: its error, negative, as the loop selects what is highest."""


def run_stages(
    model: Staged,
    seed: int,
    folder: Path | None = None,
    inputs: Mapping[str, str] | None = None,
    on_epoch: Callable[[str, Mapping[str, Any]], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """Run all stages of a model; afterwards its `scorer` is finished.

    Args:
        model: The model.
        seed: Seed of the order of rows.
        folder: Where each stage's artefact goes, in a folder of the stage's name; None writes none.
        inputs: Name of each input of the artefacts to its fingerprint.
        on_epoch: Called with a stage's name and the plain record of each of its epochs.

    Returns:
        One record an epoch, with its `stage`, in order.
    """
    records: list[dict[str, Any]] = []
    for stage in model.stages():
        for record in _run(stage, seed):
            on_epoch(stage.name, record)
            records.append({"stage": stage.name, **record})
        if folder is not None:
            _write(stage, folder / stage.name, inputs or {})
    return records


def _run(stage: Stage, seed: int) -> list[dict[str, Any]]:
    if stage.model is None or stage.training is None:
        return []
    training, error = stage.training, stage.error
    patience = training.epochs if error is None else training.patience
    loop = LoopConfig(epochs=training.epochs, patience=patience, selection=SELECTION)
    engine = RowEngine(stage.model, training.learning_rate, ROWS)
    source = RowSource(training.rows, training.batch_size, seed)
    if error is None:
        # Nothing to select by: the last epoch stays.
        return [record.plain() for record in train(stage.model, engine, source, lambda: {SELECTION: 0.0}, loop)]
    best = _weights(stage.model)
    records = []
    start = LoopState(best=-error())
    for record in train(stage.model, engine, source, lambda: {SELECTION: -error()}, loop, start):
        if record.improved:
            best = _weights(stage.model)
        records.append(record.plain())
    with torch.no_grad():
        for name, value in stage.model.named_parameters():
            value.copy_(best[name])
    return records


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def _write(stage: Stage, folder: Path, inputs: Mapping[str, str]) -> None:
    settings = {"stage": stage.name}
    with artefacts.writing(folder, KIND, SCHEMA, inputs, settings, replace=True) as (draft, facts):
        tables = stage.tables()
        facts["tables"] = {name: list(value.shape) for name, value in tables.items()}
        write_tables(draft, tables)
