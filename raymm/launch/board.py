"""A small actor on which the first worker posts its epochs, so that the driver can show and log them as they come."""

from __future__ import annotations

from typing import Any

import ray

AGAIN = "again"  # marks a record that comes from a checkpoint, and may have been told before


class Board:
    """Keeps the records of a run, by epoch; a worker that goes on from a checkpoint overwrites what it repeats."""

    def __init__(self) -> None:
        self._records: dict[int, dict[str, Any]] = {}
        self._order: list[int] = []
        self._facts: dict[str, Any] = {}

    def post(self, record: dict[str, Any]) -> None:
        """Keep one epoch's record; one that is told `AGAIN` only where it is missing."""
        if record.get(AGAIN) and record["epoch"] in self._records:
            return
        self._records[record["epoch"]] = record
        self._order.append(record["epoch"])

    def note(self, facts: dict[str, Any]) -> None:
        """Keep something to know about the run itself."""
        self._facts.update(facts)

    def since(self, position: int) -> tuple[list[dict[str, Any]], int]:
        """Return what was posted after `position`, and the new position."""
        return [self._records[epoch] for epoch in self._order[position:]], len(self._order)

    def facts(self) -> dict[str, Any]:
        """Return all that was noted."""
        return dict(self._facts)


def start_board() -> Any:
    """Start a board as an actor that takes no CPU."""
    return ray.remote(Board).options(num_cpus=0, scheduling_strategy="DEFAULT").remote()
