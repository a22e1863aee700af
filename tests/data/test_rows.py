from __future__ import annotations

import pyarrow as pa
import pytest

from raymm.data.raw import Lines
from raymm.data.rows import INTERACTIONS, Fate, item_schema, unreadable_row
from tests.data.recipes import NAMES, interaction_table, item_table, recipe

LATE = "time out of range: s since 1970, at most cleaning.latest_time, are expected"


def parse(*texts: str, header: bool = False, **settings: object) -> list[dict[str, object]]:
    table = interaction_table(Lines(0, list(texts)), recipe(**settings), NAMES, 7, header)
    assert table.schema == INTERACTIONS
    return table.to_pylist()


def test_fields_become_typed_values() -> None:
    (row,) = parse("b\tu 1\t\"i'\t4.5\t1600000000.9\t3")
    assert row == {
        "domain": 1,
        "user": "u 1",
        "item": "\"i'",
        "rating": 4.5,
        "time": 1_600_000_000,
        "key": 3,
        "label": None,
        "source": 0,
        "piece": 7,
        "line": 0,
        "fate": Fate.TAKEN,
        "reason": None,
        "text": None,
    }


@pytest.mark.parametrize("name", ["=1+1", "ʼn漢字", " padded ", "a\u2028b", "NULL", "nan", "00012", "'; DROP"])
def test_ids_are_kept_as_they_stand(name: str) -> None:
    (row,) = parse(f"a\t{name}\t{name}\t\t\t0")
    assert (row["user"], row["item"], row["fate"]) == (name, name, Fate.TAKEN)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a\tu\ti\t1\t2", "5 fields where the header has 6"),
        ("a\tu\ti\t1\t2\t3\t4", "7 fields where the header has 6"),
        ("a\t\ti\t1\t2\t3", "no user id"),
        ("a\tu\t\t1\t2\t3", "no item id"),
        ("\tu\ti\t1\t2\t3", "no domain"),
        ("a\tu\ti\tgood\t2\t3", "rating is no finite number"),
        ("a\tu\ti\tnan\t2\t3", "rating is no finite number"),
        ("a\tu\ti\t-inf\t2\t3", "rating is no finite number"),
        ("a\tu\ti\t1e999\t2\t3", "rating is no finite number"),
        ("a\tu\ti\t1\t-5\t3", LATE),
        ("a\tu\ti\t1\t1600000000000\t3", LATE),
        ("a\tu\ti\t1\tnoon\t3", "time is no finite number"),
        ("a\tu\ti\t1\t2\t", "no order"),
        ("a\tu\ti\t1\t2\t0.5", "order is no whole number"),
        ("a\tu\ti\t1\t2\t1e300", "order is no whole number"),
    ],
)
def test_malformed_lines_are_set_aside_with_a_reason(text: str, reason: str) -> None:
    good, bad = parse("a\tu\ti\t1\t2\t3", text)
    assert good["fate"] == Fate.TAKEN
    assert (bad["fate"], bad["reason"], bad["text"], bad["line"]) == (Fate.MALFORMED, reason, text, 1)


def test_rating_and_time_may_be_missing_where_nothing_needs_them() -> None:
    (row,) = parse("a\tu\ti\t\t\t3")
    assert (row["fate"], row["rating"], row["time"]) == (Fate.TAKEN, None, None)


def test_labels_of_a_given_split_are_read_and_checked() -> None:
    source = {"path": "rows.tsv", "domain": "a", "columns": {"user": "u", "item": "i", "label": "part"}}
    toy = recipe(interactions=[source], split={"by": "line"})
    texts = ["u\ti\t0", "u\tj\t1.0", "u\tk\t2", "u\tl\t", "u\tm\t3", "u\tn\t0.5", "u\to\ttest"]
    rows = interaction_table(Lines(0, texts), toy, ("u", "i", "part")).to_pylist()
    assert [row["label"] for row in rows] == [0, 1, 2, None, None, None, None]
    assert [row["reason"] for row in rows[3:]] == [
        None,
        "label is neither 0, 1 nor 2",
        "label is neither 0, 1 nor 2",
        "label is no finite number",
    ]


def test_low_ratings_are_left_out_and_missing_ones_set_aside() -> None:
    rows = parse("a\tu\ti\t4\t\t0", "a\tu\ti\t3.99\t\t0", "a\tu\ti\t\t\t0", cleaning={"min_rating": 4.0})
    assert [row["fate"] for row in rows] == [Fate.TAKEN, Fate.LOW_RATING, Fate.MALFORMED]
    assert rows[2]["reason"] == "no rating"


def test_what_orders_a_history_must_be_there() -> None:
    rows = parse("a\tu\ti\t1\t9\t", "a\tu\ti\t1\t\t0", split={"by": "time"})
    assert [(row["fate"], row["reason"]) for row in rows] == [(Fate.TAKEN, None), (Fate.MALFORMED, "no time")]
    assert rows[0]["key"] == 9
    (row,) = parse("a\tu\ti\t1\t9\t", split={"by": "line"})
    assert (row["fate"], row["key"]) == (Fate.TAKEN, 0)


def test_header_and_blank_lines_are_no_rows_but_count_as_lines() -> None:
    rows = parse("\t".join(NAMES), "", "a\tu\ti\t\t\t0", "", "c\tu\ti\t\t\t0", header=True)
    assert [(row["line"], row["fate"]) for row in rows] == [(2, Fate.TAKEN), (4, Fate.OTHER_DOMAIN)]


def test_undecodable_line_is_set_aside() -> None:
    lines = Lines(10, ["a\tu\\xff\ti\t1\t2\t3", "a\tu\ti\t1\t2\t3"], frozenset({0}))
    bad, good = interaction_table(lines, recipe(), header=True).to_pylist()
    assert (bad["line"], bad["reason"]) == (10, "bytes that the encoding does not have")
    assert good["fate"] == Fate.TAKEN


def test_long_malformed_line_is_cut_for_show() -> None:
    (row,) = parse("x" * 10_000)
    assert len(row["text"]) == 500


def test_items_keep_their_texts() -> None:
    toy = recipe(features=[{"name": "words", "column": "text"}])
    lines = Lines(0, ["a\ti\tA title\tsome words", "a\t\tno id\t", "z\ti\t\t"])
    table = item_table(lines, toy, ("domain", "item", "title", "text"))
    assert table.schema == item_schema(toy)
    rows = table.to_pylist()
    assert [row["fate"] for row in rows] == [Fate.TAKEN, Fate.MALFORMED, Fate.OTHER_DOMAIN]
    assert (rows[0]["title"], rows[0]["text of words"]) == ("A title", "some words")


def test_no_lines_give_an_empty_table_and_a_broken_file_one_row() -> None:
    assert interaction_table(Lines(0, ["", ""]), recipe()).num_rows == 0
    row = unreadable_row(INTERACTIONS, 2, 5, "broke off")
    assert isinstance(row, pa.Table)
    assert row.select(["source", "piece", "fate", "reason"]).to_pylist() == [
        {"source": 2, "piece": 5, "fate": Fate.UNREADABLE, "reason": "broke off"}
    ]
