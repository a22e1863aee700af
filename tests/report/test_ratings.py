"""The page, the sentence, the figures and the table of a rating run."""

from __future__ import annotations

from rich.console import Console

from raymm.report.page import PAGE, RECORD
from raymm.report.ratings import draw_error_slices, draw_stages, rating_report, summary
from raymm.report.table import summary_table
from tests.report.rating_toys import make_rating_record, saved


def test_the_page_escapes_what_comes_from_data_and_shows_every_model(tmp_path) -> None:
    record = make_rating_record()
    rating_report(record, tmp_path)
    page = (tmp_path / PAGE).read_text()
    assert (tmp_path / RECORD).is_file()
    for text in (
        "run &lt;i&gt;",
        "u&lt;1&gt;",
        "B &amp; C",
        "mind the &lt;gap&gt;",
        "25 · 75 %",
        "-5.00 %",
        "parity_rmse",
    ):
        assert text in page
    for name in record.errors:
        assert name in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_the_sentence_says_which_side_of_the_floor_and_whether_it_is_chance() -> None:
    assert "5.00 % below the floor; user by user it is better, beyond chance" in summary(make_rating_record())
    worse = make_rating_record(1.1)
    assert "10.00 % above the floor; user by user it is worse, beyond chance" in summary(worse)
    unsure = make_rating_record(saved={**worse.saved, "floor": saved(0.001)})
    assert "which could be chance" in summary(unsure)


def test_figures_are_there_where_there_is_something_to_draw() -> None:
    record = make_rating_record()
    assert draw_stages(record).startswith("data:image/svg")
    assert draw_error_slices(record).startswith("data:image/svg")
    empty = make_rating_record(history=(), slices=())
    assert draw_stages(empty) == draw_error_slices(empty) == ""


def test_the_table_obeys_no_name() -> None:
    console = Console(width=160, record=True)
    console.print(summary_table(make_rating_record(name="a\x1b[31mb"), None, "", "raymm register runs/a"))
    text = console.export_text()
    assert "\x1b" not in text
    for words in (
        "floor_plus",
        "-5.00 %",
        "+0.0500 [+0.0400, +0.0600]",
        "mind the",
        "raymm register",
        "selected on the test",
    ):
        assert words in text
