from __future__ import annotations

import pytest

from raymm.data.formats.delimited import cut_fields, cut_lines


def test_quotes_are_characters_unless_the_layout_says_otherwise() -> None:
    assert cut_fields('"a,b",c', ",", "") == ['"a', 'b"', "c"]
    assert cut_fields('"a,b","say ""hi"""', ",", '"') == ["a,b", 'say "hi"']
    assert "quotes do not match" in cut_fields('"a,b', ",", '"')
    assert cut_fields("a b", ",", "") == ["a b"]


@pytest.mark.parametrize("quote", ["", '"'])
def test_lines_cut_together_equal_lines_cut_alone(quote: str) -> None:
    texts = ["a,b,c", ",,", '"x,y",z,"q"', "a,b", 'open,"quote,', "a,b,c,d", "", 'u,"v",w', "last,one,here"]
    columns, reasons = cut_lines(texts, ",", quote, 3)
    alone = [cut_fields(text, ",", quote) for text in texts]
    fits = [isinstance(fields, list) and len(fields) == 3 for fields in alone]
    assert sum(fits) == 5
    assert fits[2] == bool(quote)
    assert set(reasons) == {row for row, fit in enumerate(fits) if not fit}
    for row, fields in enumerate(alone):
        assert [column[row] for column in columns] == (fields if fits[row] else ["", "", ""])
    assert [len(column) for column in cut_lines([], ",", quote, 2)[0]] == [0, 0]
    assert cut_lines(["one", "a,b"], ",", quote, 1)[0][0].tolist() == ["one", ""]


def test_delimiter_of_two_characters_does_not_reach_into_the_next_line() -> None:
    texts = ["1::a:", "2:::b", "::", "3::c::d"]
    columns, reasons = cut_lines(texts, "::", "", 2)
    assert [column.tolist() for column in columns] == [["1", "2", "", ""], ["a:", ":b", "", ""]]
    assert reasons == {3: "3 fields where the header has 2"}


def test_skipped_lines_keep_their_reason() -> None:
    columns, reasons = cut_lines(["a,b", "c,d"], ",", "", 2, {0: "too long"})
    assert [column.tolist() for column in columns] == [["", "c"], ["", "d"]]
    assert reasons == {0: "too long"}
