"""The report of a family: page, files, terminal."""

import io
import json

from rich.console import Console

from raymm.report.family import PAGE, RECORD, RESULTS, family_report, family_table, runs_table
from tests.report.families import toy_family


def shown(renderable):
    console = Console(file=io.StringIO(), width=100)
    console.print(renderable)
    return console.file.getvalue()


def test_the_page_says_all_and_escapes_what_comes_from_data(tmp_path):
    page = family_report(toy_family(), tmp_path)
    text = page.read_text()
    assert page.name == PAGE
    for words in ("-0.1500 [-0.3000, -0.0100]", "Is it &lt;needed&gt;?", "loss is &lt;nan&gt;", "link_neighbours = 0"):
        assert words in text
    assert "<script" not in text
    assert "<b>$x$" not in text
    assert text.count("<img") == 2
    assert json.loads((tmp_path / RECORD).read_text())["reference"] == "full"
    assert (tmp_path / RESULTS).read_text().startswith("domain,slices,slice,metric,variant")
    assert {path.name for path in tmp_path.glob("figure*")} == {
        f"figure{end}" for end in (".svg", ".png", "_item_popularity.svg", "_item_popularity.png")
    }


def test_the_terminal_shows_means_differences_slices_and_failures():
    text = shown(family_table(toy_family(label="weak")))
    for words in ("0.2500", "-0.1500", "[-0.3000, -0.0100]", "0.2500+", "failed: weak, seed 2", "one note"):
        assert words in text


def test_the_board_counts_what_is_done():
    text = shown(runs_table(toy_family(label="weak").runs))
    assert "1 finished, 1 failed, 0 waiting" in text
