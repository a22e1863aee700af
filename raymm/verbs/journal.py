"""The epochs of a run on disk, so that a driver that was killed finds those before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raymm.report.symptoms import metrics_of, symptoms


class Journal:
    """Plain records of epochs, one line each, only ever added to.

    Args:
        path: The file; it need not exist, its folder must when something is added.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, record: Mapping[str, Any], selection: str) -> dict[str, Any]:
        """Add one epoch's record, and among its diagnostics the signs of trouble that the epochs up to it show.

        Args:
            record: The record.
            selection: The metric that epochs are selected by.

        Returns:
            What was added.
        """
        earlier = [past for past in self.records() if past["epoch"] < record["epoch"]]
        found = metrics_of(symptoms([*earlier, record], selection))
        noted = {**record, "diagnostics": {**record["diagnostics"], **found}}
        with self._path.open("a") as stream:
            stream.write(json.dumps(noted) + "\n")
        return noted

    def records(self) -> list[dict[str, Any]]:
        """Return one record an epoch, the last that was written, in order."""
        lines = self._path.read_text().splitlines() if self._path.is_file() else []
        by_epoch = {record["epoch"]: record for record in map(json.loads, lines)}
        return [by_epoch[epoch] for epoch in sorted(by_epoch)]
