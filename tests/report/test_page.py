"""The page stands alone, says what the record says, and shows text as text."""

from __future__ import annotations

import dataclasses
import html.parser
import re

import pytest

from raymm.report import page as page_of_a_run
from raymm.report.page import render_page, run_report
from raymm.report.record import read_record
from tests.report.toys import make_record, make_result

HOSTILE = "</style><script>alert({})</script><img src=x onerror='alert(1)'>{{{{ 7 * 7 }}}}\"{{% raw %}}"


class _Page(html.parser.HTMLParser):
    """Collects tags, attributes and text, and checks that tags close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend((name, value or "") for name, value in attrs)
        if tag not in {"meta", "img", "br"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page() -> _Page:
    return _Page(render_page(make_record()))


def test_the_page_needs_nothing_from_elsewhere(page: _Page) -> None:
    assert {"img", "style", "table", "svg", "details"} <= set(page.tags)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    sources = [value for name, value in page.attributes if name in {"src", "href", "srcset", "data", "action"}]
    assert len(sources) == 4  # training, long tail, and the slices of two domains
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "@import" not in page.text
    assert "url(" not in page.text
    assert any("default-src 'none'" in value for _, value in page.attributes)


def test_the_page_says_what_the_record_says(page: _Page) -> None:
    record = make_record()
    text = re.sub(r"\s+", " ", page.text)
    for result in record.domains:
        assert f"{result.facts.n_evaluated} test users" in text
        for comparison in result.comparisons:
            assert f"{comparison.first:.4f}" in text
            assert f"{comparison.second:.4f}" in text
            assert f"{comparison.difference:+.4f}".replace("-", "−") in text
        for value in result.means["model"].values():
            assert f"{value:.4f}" in text
        for example in result.examples:
            assert f"user {example.user}" in text
            assert all(line.title in text for line in example.recommended)
    for expected in (
        "a-run",
        "something to know",
        "0123456789abcdef",
        "epoch 2 chosen by ndcg@10",
        "train 6.0 s",
        "14 November 2023",
        "1 not at the default",
        "users known to be shared",
        "match.worst_error",
        "model is better than popularity in everything compared here",
    ):
        assert expected in text, expected


def test_text_from_data_is_shown_as_text() -> None:
    result = make_result("books", 0, title=HOSTILE)
    hostile = HOSTILE.format(0)
    result = dataclasses.replace(
        result,
        facts=dataclasses.replace(result.facts, name=hostile, modalities={hostile: 0.5}),
        examples=tuple(dataclasses.replace(example, user=hostile) for example in result.examples),
        means={"model": result.means["model"], "popularity": result.means["popularity"], hostile: {}},
    )
    record = make_record(
        name=hostile,
        data=hostile,
        domains=(result,),
        settings={hostile: hostile},
        provenance={hostile: hostile},
        warnings=(hostile,),
        history=({"epoch": 1, "diagnostics": {hostile: 1.0}, "seconds": {hostile: 1.0}},),
    )
    page = _Page(render_page(record))
    plain = _Page(render_page(make_record(domains=(make_result(),))))
    assert "script" not in page.tags
    assert page.tags.count("img") <= plain.tags.count("img")
    assert page.text.count("alert(0)") >= 9
    assert "{{ 7 * 7 }}" in page.text
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_a_ranking_among_candidates_says_so_and_shows_no_measure_of_lists() -> None:
    result = dataclasses.replace(make_result(), catalogue={"model": {}, "popularity": {}})
    text = re.sub(r"\s+", " ", _Page(render_page(make_record(domains=(result,), candidates=999))).text)
    assert "60 test users, what is held out ranked among 999 sampled candidates of the 40 items" in text
    assert "ranks among 999 sampled candidates." in text
    assert "each ranked against all" not in text
    assert "what is shown of the catalogue" not in text
    assert "each ranked against all 40 items" in re.sub(r"\s+", " ", _Page(render_page(make_record())).text)


def test_a_run_without_training_or_details_has_a_page() -> None:
    result = dataclasses.replace(make_result(), comparisons=(), slices={}, catalogue={}, examples=())
    record = make_record(
        domains=(result,), history=(), selection="", settings={}, defaults={}, provenance={}, warnings=()
    )
    page = _Page(render_page(record))
    assert "Nothing was compared" in page.text
    assert "Before believing" not in page.text
    assert page.tags.count("img") == 1
    _Page(render_page(make_record(domains=(), history=())))


@pytest.mark.parametrize(
    ("intervals", "sentence"),
    [
        (((0.1, 0.2), (0.1, 0.2)), "is better than popularity in everything"),
        (((-0.2, -0.1), (-0.2, -0.1)), "is worse than popularity in everything"),
        (((-0.1, 0.1), (-0.1, 0.1)), "No difference between model and popularity"),
        (((0.1, 0.2), (-0.1, 0.1)), "Of 2 comparisons with popularity, model is better in 1 and worse in 0"),
    ],
)
def test_the_first_sentence_claims_no_more_than_the_intervals(intervals, sentence: str) -> None:
    result = make_result()
    comparisons = tuple(
        dataclasses.replace(one, interval=interval)
        for one, interval in zip(result.comparisons[:2], intervals, strict=True)
    )
    assert sentence in page_of_a_run._summary(
        make_record(domains=(dataclasses.replace(result, comparisons=comparisons),))
    )


def test_a_baseline_of_zero_has_a_difference_instead_of_a_share() -> None:
    result = make_result()
    comparisons = tuple(
        dataclasses.replace(one, second=0.0, difference=0.25, relative=None, relative_interval=None)
        for one in result.comparisons
    )
    text = render_page(make_record(domains=(dataclasses.replace(result, comparisons=comparisons),)))
    assert '<span class="gain better">+0.2500</span>' in text


def test_both_files_are_written_and_agree(tmp_path) -> None:
    record = make_record(warnings=("a lone surrogate \ud800 and ünïcode ✓",))
    files = run_report(record, tmp_path / "new" / "folder")
    assert files.page.read_bytes().startswith(b"<!doctype html>")
    assert "ünïcode ✓" in files.page.read_text(encoding="utf-8")
    assert read_record(files.record).domains == record.domains
    assert sorted(path.name for path in files.page.parent.iterdir()) == ["report.html", "report.json"]
    assert files.page.stat().st_size < 1_000_000
