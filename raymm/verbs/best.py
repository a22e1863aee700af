"""The best settings of a sweep as TOML that `raymm train --config` takes, and as a schedule where they changed."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raymm.errors import ConfigError
from raymm.experiment import build_experiment
from raymm.report.sweep_record import ModelSweep
from raymm.verbs.trial import nested


def write_best(path: Path, values: Mapping[str, Any], model: ModelSweep, metric: str) -> None:
    """Write the settings of a model's winner, over an earlier file, and check that they read back as they were.

    Where they changed within the training, the file holds the last of them and says so, and all of them go into
    `schedule_path`, each with the epoch after which it holds.

    Args:
        path: The file.
        values: The plain experiment that the sweep's trials started from.
        model: The model's sweep; has a winner.
        metric: What it was chosen by.

    Raises:
        ConfigError: The model has no winner, or a value that TOML has no words for.
    """
    winner = model.winner
    if winner is None:
        raise ConfigError("no winner", "a trial that did not fail", str(path), "look at the trials' reasons")
    wanted = nested({name: value for name, value in values.items() if name != "scale"}, winner.values)
    spread = f", standard deviation {winner.spread:.5f}" if winner.spread is not None else ""
    heading = (
        f"# The best settings of {model.model} in a sweep of {len(model.searched)} trials (trial {winner.trial}):\n"
        f"# {metric} on validation {winner.mean:.5f}, mean over {len(winner.seeds)} seeds{spread}.\n"
    )
    if winner.schedule:
        heading += (
            f"#\n# These are the last of {len(winner.schedule)} settings that followed each other within the training:"
            f" {schedule_path(path).name}.\n"
            "# The value above is that of all of them in turn. A training with the last ones alone is another one:\n"
        )
        plain = {"trial": winner.trial, "schedule": [asdict(stage) for stage in winner.schedule]}
        _replace(schedule_path(path), json.dumps(plain, indent=1) + "\n")
    else:
        schedule_path(path).unlink(missing_ok=True)  # of an earlier winner
    heading += f"#\n#     raymm train {model.model} --data DIR --config {path.name}\n"
    text = heading + "\n" + to_toml(wanted)
    if build_experiment(tomllib.loads(text)).mathematics() != build_experiment(wanted).mathematics():
        raise ConfigError("settings that changed on their way through TOML", "the same", str(path))
    _replace(path, text)


def schedule_path(path: Path) -> Path:
    """Return where the schedule is written whose last settings are in `path`."""
    return path.with_suffix(".schedule.json")


def to_toml(values: Mapping[str, Any]) -> str:
    """Write nested tables of numbers, texts, truth values and lists as TOML.

    Raises:
        ConfigError: A value of another kind; TOML has no null.
    """
    return "\n".join(_lines(values, "")) + "\n"


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.partial")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)


def _lines(table: Mapping[str, Any], name: str) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = ([f"[{name}]"] if name and plain else []) + [
        f"{_key(key)} = {_value(value)}" for key, value in plain.items()
    ]
    for key, value in table.items():
        if isinstance(value, Mapping):
            below = _lines(value, f"{name}.{_key(key)}" if name else _key(key))
            lines += ([""] if lines and below else []) + below
    return lines


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False) if isinstance(value, bool | str) else repr(value)
    raise ConfigError(f"{value!r}", "a number, a text, true, false, or a list of them", "TOML", "leave the setting out")
