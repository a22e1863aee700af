"""The ledger of a sweep: what happened to every trial, one line each time, on disk before anything follows from it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from raymm.errors import ArtefactError
from raymm.report.sweep_record import Stage, TrialRecord


@dataclass(frozen=True)
class Start:
    """What is known of a trial when it starts."""

    model: str
    seed: int
    repeats: str = ""


class Ledger:
    """Lines of JSON, only ever added to; a last line that a crash cut off is dropped.

    It, and not Ray Tune's own files, says what is done when a sweep goes on.

    Args:
        path: The file; it need not exist.
        clock: Seconds since the epoch.

    Raises:
        ArtefactError: A line is no entry.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._trials: dict[str, TrialRecord] = {}
        self._starts: dict[str, tuple[float, float]] = {}  # of each trial: time of its last start, seconds before that
        self._phase = ("", 0.0)
        self._seconds: dict[str, float] = {}
        self.sessions = 0
        for entry in _read(path):
            self._apply(entry)

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Every trial, in the order in which they were started first."""
        return tuple(self._trials.values())

    def trial(self, name: str) -> TrialRecord:
        """Return one trial."""
        return self._trials[name]

    def of(self, model: str, repeats: bool = False) -> tuple[TrialRecord, ...]:
        """Return the trials of a model's search, or the runs that repeat its finalists."""
        return tuple(trial for trial in self.trials if trial.model == model and bool(trial.repeats) == repeats)

    def seconds(self, phase: str) -> float:
        """Return for how long drivers worked on a phase, each until the last that it wrote."""
        return self._seconds.get(phase, 0.0)

    def begin_session(self) -> None:
        """Note that a driver was started."""
        self._add({"event": "session"})

    def begin_phase(self, phase: str) -> None:
        """Note what the trials that follow belong to."""
        self._add({"event": "phase", "phase": phase})

    def started(self, name: str, values: Mapping[str, Any], start: Start) -> None:
        """Note that a trial was started, first or again."""
        self._add({"event": "started", "trial": name, "values": dict(values), **asdict(start)})

    def reported(self, name: str, value: float, best_epoch: int, epoch: int) -> None:
        """Note how far a trial has come; an epoch that comes again is the same epoch."""
        self._add({"event": "reported", "trial": name, "value": value, "best_epoch": best_epoch, "epoch": epoch})

    def changed(self, name: str, schedule: Sequence[Stage], curve: Sequence[tuple[int, float]]) -> None:
        """Note that a trial goes on with other settings, from another one's weights.

        Args:
            name: The trial.
            schedule: All settings that led to where it is now.
            curve: Epoch and best value until then, of the weights that it goes on with.
        """
        plain = [asdict(stage) for stage in schedule]
        self._add({"event": "changed", "trial": name, "schedule": plain, "curve": [list(point) for point in curve]})

    def ended(self, name: str, state: str, reason: str = "") -> None:
        """Note how a trial ended; a failed one has no value, whatever it had reported."""
        self._add({"event": "ended", "trial": name, "state": state, "reason": reason})

    def _add(self, entry: dict[str, Any]) -> None:
        entry["time"] = self._clock()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as stream:
            stream.write(json.dumps(entry, allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._apply(entry)

    def _apply(self, entry: Mapping[str, Any]) -> None:
        now, event = float(entry["time"]), entry["event"]
        if event == "session":
            self.sessions, self._phase = self.sessions + 1, ("", now)
        elif event == "phase":
            self._phase = (entry["phase"], now)
        else:
            self._trials[entry["trial"]] = self._changed(entry, now)
        name, since = self._phase
        self._seconds[name] = self._seconds.get(name, 0.0) + max(0.0, now - since)
        self._phase = (name, now)

    def _changed(self, entry: Mapping[str, Any], now: float) -> TrialRecord:
        name = entry["trial"]
        if entry["event"] == "started":
            before = self._trials.get(name)
            self._starts[name] = (now, before.seconds if before else 0.0)
            if before is not None:
                return replace(before, state="running", attempts=before.attempts + 1)
            return TrialRecord(name, entry["model"], entry["seed"], entry["values"], entry["repeats"])
        trial = self._trials[name]
        start, before_s = self._starts[name]
        trial = replace(trial, seconds=before_s + now - start)
        if entry["event"] == "ended":
            value = None if entry["state"] == "failed" else trial.value
            return replace(trial, state=entry["state"], reason=entry["reason"], value=value)
        if entry["event"] == "changed":
            schedule = tuple(Stage(**stage) for stage in entry["schedule"])
            taken = tuple((epoch, value) for epoch, value in entry["curve"])
            return replace(trial, values=schedule[-1].values, schedule=schedule, curve=taken)
        epoch, value = entry["epoch"], entry["value"]
        curve = (*(point for point in trial.curve if point[0] < epoch), (epoch, value))
        return replace(trial, value=value, best_epoch=entry["best_epoch"], epochs=epoch, curve=curve)


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    entries = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            entry = json.loads(line)
            float(entry["time"]), str(entry["event"])
        except (ValueError, KeyError, TypeError) as error:
            raise ArtefactError(
                f"line {number}: {line[:60]!r}",
                "an entry of a sweep",
                str(path),
                "remove the line, or choose another name",
            ) from error
        entries.append(entry)
    if whole != text:
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
    return entries
