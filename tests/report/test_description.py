import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from rich.console import Console
from scipy import sparse

from raymm.contracts import Domain, Feature
from raymm.data.statistics import describe_domain
from raymm.report.description import (
    PAGE,
    RECORD,
    Description,
    description_rows,
    description_table,
    draw_description,
    write_description,
)


def _domain(name: str, seed: int, rated: bool) -> Domain:
    generator = np.random.default_rng(seed)
    matrix = sparse.csr_array((generator.random((30, 12)) < 0.3).astype(np.float32))
    features = {"title": Feature(np.zeros((12, 5), np.float32), np.arange(12) != 3)}
    ratings = generator.integers(1, 6, matrix.nnz).astype(np.float32) if rated else None
    times = generator.integers(10**9, 10**9 + 10**7, matrix.nnz) if rated else None
    return Domain(name, matrix, features, ratings, times)


def _described(*domains: Domain) -> Description:
    held_out = {domain.name: (7, 8) for domain in domains}
    statistics = tuple(describe_domain(domain) for domain in domains)
    return Description("toy <b>", "abc", statistics, held_out, 20, 10, ("a note & more",))


def test_the_page_holds_every_row_and_escapes_what_comes_from_data(tmp_path: Path) -> None:
    domains = [_domain("books", 0, True), _domain("films", 1, False)]
    described = _described(*domains)
    page = write_description(described, domains, tmp_path / "out")
    text = page.read_text()
    assert page.name == PAGE
    assert "toy &lt;b&gt;" in text
    assert "a note &amp; more" in text
    assert "<b>" not in text
    rows = description_rows(described)
    assert len(rows) >= 13
    for label, values in rows:
        assert len(values) == 2
        assert label.split(" (")[0] in text
    record = json.loads((tmp_path / "out" / RECORD).read_text())
    assert record["domains"][0]["interactions"] == domains[0].interactions.nnz


def test_ratings_and_times_are_drawn_only_where_there_are_any() -> None:
    plain, rated = [_domain("books", 0, False)], [_domain("books", 0, True)]
    sizes = []
    for domains in (plain, rated):
        image = ET.fromstring(draw_description(_described(*domains), domains))
        assert image.tag.endswith("svg")
        sizes.append(float(image.attrib["width"].removesuffix("pt")))
    assert sizes[1] > 1.8 * sizes[0]


def test_the_table_says_what_the_rows_say() -> None:
    domains = [_domain("books", 0, True), _domain("films", 1, False)]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(description_table(_described(*domains), Path("somewhere/page.html")))
    text = console.export_text()
    assert "7, 8" in text
    assert "20 users in both domains, 10 known" in text
    assert "a note & more" in text
    assert "5 columns, 91.7 % of the items" in text
    assert "somewhere/page.html" in text
