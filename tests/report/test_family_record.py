"""Records of families: numbers by hand, and files that read back."""

import csv
import io
import json
import statistics

import pytest

from raymm.report.family_record import to_csv
from tests.report.families import toy_family


def test_mean_spread_and_verdict():
    record = toy_family()
    full, weak = record.cells[:2]
    assert (full.mean, full.spread, full.verdict) == (0.4, None, "")
    assert weak.mean == pytest.approx(0.25)
    assert weak.spread == pytest.approx(statistics.stdev([0.2, 0.3]))
    assert weak.verdict == "worse"
    assert record.cells[4].verdict == "better"
    assert [run.reason for run in record.failed()] == ["loss is <nan>"]
    assert record.domains == ("films",)
    assert record.parts("films", "item popularity") == ("head", "group 1 of 5, most popular")
    assert record.find("films", ("all", "everybody"), "recall@20", "nobody") is None


def test_plain_data_fit_json_and_hold_the_means():
    stored = json.loads(json.dumps(toy_family().plain(), allow_nan=False))
    assert stored["cells"][1]["mean"] == pytest.approx(0.25)
    assert stored["cells"][0]["sd"] is None


def test_csv_has_a_line_a_cell():
    record = toy_family(axis="k", label='a,"b"')
    rows = list(csv.DictReader(io.StringIO(to_csv(record))))
    assert len(rows) == len(record.cells)
    assert (rows[1]["variant"], rows[1]["x"], rows[1]["difference"], rows[1]["low"]) == (
        'a,"b"',
        "2.0",
        "-0.15",
        "-0.3",
    )
