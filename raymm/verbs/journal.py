"""The epochs of a run on disk, so that a driver that was killed finds those before."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raymm.launch.board import AGAIN
from raymm.report.symptoms import metrics_of, symptoms


class Journal:
    """Plain records of epochs, one line each, only ever added to.

    Args:
        path: The file; it need not exist, its folder must when something is added.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, record: Mapping[str, Any], selection: str) -> dict[str, Any] | None:
        """Add one epoch's record, and among its diagnostics the signs of trouble that the epochs up to it show.

        Args:
            record: The record; one that is told `AGAIN` only counts where it is missing.
            selection: The metric that epochs are selected by.

        Returns:
            What was added; None for what is there already.
        """
        record = dict(record)
        if record.pop(AGAIN, False) and any(past["epoch"] == record["epoch"] for past in self.records()):
            return None
        self._mend()
        earlier = [past for past in self.records() if past["epoch"] < record["epoch"]]
        found = metrics_of(symptoms([*earlier, record], selection))
        noted = {**record, "diagnostics": {**record["diagnostics"], **found}}
        with self._path.open("a") as stream:
            stream.write(json.dumps(noted) + "\n")
        return noted

    def records(self) -> list[dict[str, Any]]:
        """Return one record an epoch, the last that was written whole, in order."""
        by_epoch = {record["epoch"]: record for record in map(json.loads, self._whole().splitlines())}
        return [by_epoch[epoch] for epoch in sorted(by_epoch)]

    def _whole(self) -> bytes:
        """Return all lines that have their end: whoever wrote the last one may have died of it, or of a full disk."""
        text = self._path.read_bytes() if self._path.is_file() else b""
        return text[: text.rfind(b"\n") + 1]

    def _mend(self) -> None:
        if self._path.is_file():
            os.truncate(self._path, len(self._whole()))
