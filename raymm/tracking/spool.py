"""Records on their way to a tracking store, kept as JSON lines until they have arrived."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from raymm.errors import TrackingError


class Spool:
    """A file of records, one JSON object a line, oldest first; a record is in the file before anybody tries to send it.

    Args:
        path: The file; it exists only while there are records.

    Raises:
        TrackingError: The file holds something else than records.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records = _read(path)

    @property
    def records(self) -> tuple[dict[str, Any], ...]:
        """The records that wait."""
        return tuple(self._records)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record of plain data, and see that it is on disk."""
        line = json.dumps(dict(record), allow_nan=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._records.append(json.loads(line))

    def keep(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Keep only `records`; the file is replaced at once, or removed when none is left."""
        self._records = [dict(record) for record in records]
        if not self._records:
            self.path.unlink(missing_ok=True)
            return
        draft = self.path.with_name(f".{self.path.name}.partial")
        draft.write_text("".join(json.dumps(record, allow_nan=False) + "\n" for record in self._records))
        os.replace(draft, self.path)


def _read(path: Path) -> list[dict[str, Any]]:
    """Read all records; a last line without its end is dropped, as whoever wrote it died before `append` returned."""
    if not path.is_file():
        return []
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    records = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise TrackingError(
                f"line {number} is no record: {line[:80]!r}",
                "one JSON object a line",
                str(path),
                "mend or remove this line; the other records are then sent",
            )
        records.append(record)
    if whole != text:
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
    return records
