"""Run a model's stages by the one training loop, each leaving an artefact from which a later call goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from raymm import artefacts
from raymm.artefacts import MANIFEST
from raymm.errors import ConfigError
from raymm.ratings.stage import ROWS, Stage, Staged
from raymm.training.loop import EpochRecord, LoopConfig, LoopState, train
from raymm.training.rows import RowEngine, RowSource, read_tables, write_tables

KIND, SCHEMA = "stage", 1
ERROR = "error"
"""What a stage's epoch is chosen by: its own validation error, in the unit of what it predicts."""

_SELECTION, _DRAWS, _EPOCHS = "-error", "draws", "epochs"


def run_stages(
    model: Staged,
    seed: int,
    folder: Path | None = None,
    inputs: Mapping[str, str] | None = None,
    on_epoch: Callable[[dict[str, Any]], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Run all stages of a model; afterwards its `scorer` is finished.

    A stage whose artefact stands in `folder` already is not trained again: its tables are read, and what was drawn
    until then is drawn no more. What is solved in closed form is solved again. An interrupted stage starts anew.

    Args:
        model: The model.
        seed: Seed of the order of rows.
        folder: Where each stage's artefact goes, in a folder of the stage's name; None writes none, and reads none.
        inputs: Name of each input of the artefacts to its fingerprint.
        on_epoch: Called with the record of each epoch that is trained now.

    Returns:
        One plain record an epoch, in order, those of stages that were done before included: `epoch` counts over all
        stages, `stage`, `stage_epoch` and `stage_epochs` say where it stands in its own; `losses`, `diagnostics` (the
        validation error, where the stage has one), `seconds`, and whether it `improved` on the best.

    Raises:
        ConfigError: A stage in `folder` was made of other inputs.
    """
    records: list[dict[str, Any]] = []
    for stage in model.stages():
        place = None if folder is None else folder / stage.name
        done = _read(stage, place, inputs or {})
        if done is not None:
            records.extend(done)
            continue
        own: list[dict[str, Any]] = []
        for record in _run(stage, seed):
            own.append({**record, "epoch": len(records) + len(own) + 1})
            on_epoch(own[-1])
        if place is not None:
            _write(stage, place, inputs or {}, own)
        records.extend(own)
    return records


def _run(stage: Stage, seed: int) -> Iterator[dict[str, Any]]:
    """Train a stage; its best epoch stays, the start included, or its last where nothing tells them apart."""
    if stage.model is None or stage.training is None:
        return
    training, error = stage.training, stage.error
    patience = training.epochs if error is None else training.patience
    loop = LoopConfig(epochs=training.epochs, patience=patience, selection=_SELECTION)
    engine = RowEngine(stage.model, training.learning_rate, ROWS)
    source = RowSource(training.rows, training.batch_size, seed)
    if error is None:
        for record in train(stage.model, engine, source, lambda: {_SELECTION: 0.0}, loop):
            yield _plain(stage, record, training.epochs)
        return
    best = _weights(stage.model)
    start = LoopState(best=-error())
    for record in train(stage.model, engine, source, lambda: {_SELECTION: -error()}, loop, start):
        if record.improved:
            best = _weights(stage.model)
        yield _plain(stage, record, training.epochs)
    _set_weights(stage.model, best)


def _plain(stage: Stage, record: EpochRecord, epochs: int) -> dict[str, Any]:
    errors = {} if stage.error is None else {f"{stage.name}.{ERROR}": -record.validation[_SELECTION]}
    return {
        "stage": stage.name,
        "stage_epoch": record.epoch,
        "stage_epochs": epochs,
        "losses": {f"{stage.name}.{name}": value for name, value in record.losses.items()},
        "validation": {},
        "diagnostics": errors,
        "seconds": dict(record.seconds),
        "improved": stage.error is None or record.improved,
        "finished": False,
    }


def _weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def _set_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(weights[name])


def _write(stage: Stage, folder: Path, inputs: Mapping[str, str], records: list[dict[str, Any]]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    settings = {"stage": stage.name}
    with artefacts.writing(folder, KIND, SCHEMA, inputs, settings, replace=True) as (draft, facts):
        tables = dict(stage.tables())
        facts["tables"] = {name: list(value.shape) for name, value in tables.items()}
        facts[_EPOCHS] = records
        if stage.draws is not None:
            tables[_DRAWS] = stage.draws.get_state()
        write_tables(draft, tables)


def _read(stage: Stage, folder: Path | None, inputs: Mapping[str, str]) -> list[dict[str, Any]] | None:
    """Bring back what an earlier call trained; None where there is nothing, or where the stage is solved anew."""
    if folder is None or stage.model is None or not (folder / MANIFEST).is_file():
        return None
    manifest = artefacts.read_manifest(folder, KIND, SCHEMA)
    artefacts.verify(folder, manifest)
    if dict(manifest.inputs) != dict(inputs):
        raise ConfigError(
            "a stage of other settings or other data",
            "one of this training, or none",
            str(folder),
            "choose another --name, or remove what was left unfinished there",
        )
    tables = read_tables(folder)
    _set_weights(stage.model.network, tables)
    if stage.draws is not None:
        stage.draws.set_state(tables[_DRAWS])
    return list(manifest.facts[_EPOCHS])
