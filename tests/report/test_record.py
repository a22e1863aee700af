"""The record survives JSON, and refuses what is not one."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from raymm.errors import ArtefactError, ConfigError
from raymm.report.record import named, read_record, write_record
from tests.report.toys import make_record


def test_a_record_is_read_as_it_was_written(tmp_path) -> None:
    record = make_record()
    write_record(record, tmp_path / "report.json")
    assert read_record(tmp_path / "report.json") == record


def test_numbers_that_are_not_finite_become_null(tmp_path) -> None:
    history = ({"epoch": 1, "losses": {"bpr": math.nan}, "diagnostics": {"x": [math.inf]}},)
    write_record(make_record(history=history), tmp_path / "report.json")
    text = (tmp_path / "report.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    (epoch,) = json.loads(text)["history"]
    assert epoch["losses"] == {"bpr": None}
    assert epoch["diagnostics"] == {"x": [None]}


def test_every_domain_needs_the_model_and_the_baseline() -> None:
    record = make_record()
    lacking = dataclasses.replace(record.domains[0], means={"model": {}})
    with pytest.raises(ConfigError, match="no result of popularity"):
        make_record(domains=(lacking,))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"name": 3}', b"\xff", b"[" * 50_000])
def test_another_file_is_refused(content: bytes, tmp_path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(ArtefactError) as error:
        read_record(path)
    assert error.value.where == str(path)


def test_a_missing_file_is_refused(tmp_path) -> None:
    with pytest.raises(ArtefactError):
        read_record(tmp_path / "report.json")


def test_metrics_are_named_as_people_write_them() -> None:
    assert [named(key) for key in ("hr@10", "ndcg@5", "recall@20", "map")] == ["HR@10", "NDCG@5", "Recall@20", "MAP"]
