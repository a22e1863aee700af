from __future__ import annotations

import json
from typing import Any

import pytest

from raymm.data.formats.objects import cut_objects, pick, plain_text

DEEP = {"user": {"id": 7, "tags": ["a", {"b": "c"}]}, "user.id": "flat", "none": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user.id", "flat"),
        ("user.tags.0", "a"),
        ("user.tags.1.b", "c"),
        ("user.tags.9", None),
        ("user.tags.x", None),
        ("user.nothing", None),
        ("none.x", None),
        ("none", None),
    ],
)
def test_dotted_names_lead_into_objects_and_lists(name: str, value: Any) -> None:
    assert pick(DEEP, name) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (5, 5),
        (2.5, 2.5),
        (None, ""),
        (True, "true"),
        (b"caf\xc3\xa9", "café"),
        ([], ""),
        (["a", "", None, ["b", 3]], "a b 3"),
        ({"k": "v", "l": ["w"]}, "v w"),
    ],
)
def test_values_become_text_or_numbers(value: Any, text: str | int | float) -> None:
    assert plain_text(value) == text


def test_line_of_text_is_no_reason_of_its_own() -> None:
    assert cut_objects(['"all is well"'], ["user"], False, {})[1] == {0: "no object"}


def test_lines_become_columns_and_bad_ones_reasons() -> None:
    texts = [json.dumps(DEEP), "{'x': 'y'}", "", '{"user.id": 9}', "[1]"]
    columns, reasons = cut_objects(texts, ["user.id", "none"], False, {2: "too long"})
    assert [column.tolist() for column in columns] == [["flat", "", "", 9, ""], ["", "", "", "", ""]]
    assert set(reasons) == {1, 2, 4}
    assert reasons[1].startswith("no JSON")
    assert (reasons[2], reasons[4]) == ("too long", "no object")
    loose, reasons = cut_objects(["{'x': 'it''s', 'y': [1, 2]}", "{'x': x}"], ["x", "y"], True, {})
    assert [column.tolist() for column in loose] == [["its", ""], ["1 2", ""]]
    assert reasons[1].startswith("neither JSON nor a Python literal")
