from __future__ import annotations

from pathlib import Path

import pytest

from raymm.errors import TrackingError
from raymm.tracking.spool import Spool


def test_records_survive_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "new" / "spool.jsonl")
    for number in range(5):
        spool.append({"number": number, "text": "ü\n"})
    again = Spool(spool.path)
    assert [record["number"] for record in again.records] == [0, 1, 2, 3, 4]
    again.keep(again.records[3:])
    assert [record["number"] for record in Spool(spool.path).records] == [3, 4]
    again.keep([])
    assert not spool.path.exists()


def test_a_line_cut_by_a_crash_is_dropped_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    path.write_text('{"number": 1}\n{"numb')
    spool = Spool(path)
    assert len(spool.records) == 1
    spool.append({"number": 2})
    assert [record["number"] for record in Spool(path).records] == [1, 2]


@pytest.mark.parametrize("line", ["nonsense", "[1]", "{"])
def test_damage_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "spool.jsonl"
    path.write_text('{"number": 1}\n' + line + "\n")
    with pytest.raises(TrackingError, match="line 2"):
        Spool(path)
