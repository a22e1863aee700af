import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import sparse, stats

from raymm.contracts import Domain, Holdout
from raymm.errors import DataError
from raymm.evaluation.ranking import rank
from raymm.report.comparison import (
    PAGE,
    RECORD,
    RunComparison,
    compare_domain,
    comparison_table,
    draw_comparison,
    headline,
    write_comparison,
)
from raymm.scorers import DotScorer
from tests.report.toy_scores import toy_scorer

USERS, ITEMS = 40, 60


def _domain() -> Domain:
    generator = np.random.default_rng(0)
    dense = generator.random((USERS, ITEMS)) < np.linspace(0.5, 0.02, ITEMS)
    dense[:, -1] = False  # one item that nobody has
    dense[:, 0] |= ~dense.any(1)
    return Domain("books <i>", sparse.csr_array(dense.astype(np.float32)))


def _rankings(domain: Domain, **scorers: DotScorer):
    free = domain.interactions.toarray() == 0
    targets = np.array([np.flatnonzero(row)[user % 3] for user, row in enumerate(free)])
    targets[:3] = ITEMS - 1
    found = sparse.csr_array((np.ones(USERS, np.float32), (np.arange(USERS), targets)), shape=(USERS, ITEMS))
    holdout = Holdout(domain.name, np.arange(USERS), found, domain.interactions)
    return {name: rank(scorer, holdout, (5, 20)) for name, scorer in scorers.items()}


@pytest.fixture(scope="module")
def record() -> RunComparison:
    domain = _domain()
    rankings = _rankings(domain, first=toy_scorer(USERS, ITEMS, 1), second=toy_scorer(USERS, ITEMS, 2))
    entry = compare_domain(domain, rankings, "ndcg@20", np.random.default_rng(0))
    return RunComparison(("first", "second"), "toy & co", (entry,))


def test_the_whole_equals_a_paired_test_and_the_parts_add_up(record: RunComparison) -> None:
    domain = _domain()
    rankings = _rankings(domain, first=toy_scorer(USERS, ITEMS, 1), second=toy_scorer(USERS, ITEMS, 2))
    ours, theirs = (rankings[name].values["ndcg@20"] for name in ("first", "second"))
    whole = record.domains[0].parts[0]
    assert whole.means == pytest.approx({"first": ours.mean(), "second": theirs.mean()})
    assert whole.tests["second"].p_t == pytest.approx(stats.ttest_rel(theirs, ours).pvalue)
    for family in ("item popularity", "user history"):
        parts = [part for part in record.domains[0].parts if part.family == family]
        parts = [part for part in parts if part.name not in ("head", "tail", "not in training")]
        assert len(parts) >= 2
        # One held-out item a user: each user is in one part of a family.
        assert sum(part.n_users for part in parts) == USERS
        total = sum(part.n_users * part.means["second"] for part in parts)
        assert total / USERS == pytest.approx(whole.means["second"])


def test_an_item_that_nobody_has_in_training_is_a_part_of_its_own(record: RunComparison) -> None:
    cold = [part for part in record.domains[0].parts if part.name == "not in training"]
    assert [part.n_users for part in cold] == [3]


def test_rankings_of_other_items_are_refused() -> None:
    domain, scorer = _domain(), toy_scorer(USERS, ITEMS, 1)
    rankings = _rankings(domain, first=scorer)
    users = np.arange(USERS)
    other = Holdout(
        domain.name,
        users,
        sparse.csr_array((np.ones(USERS, np.float32), (users, users % 2)), shape=(USERS, ITEMS)),
        sparse.csr_array((USERS, ITEMS), dtype=np.float32),
    )
    with pytest.raises(DataError):
        compare_domain(domain, rankings | {"other": rank(scorer, other, (5, 20))}, "ndcg@20", np.random.default_rng(0))


def test_page_and_record_hold_every_part_and_escape_names(record: RunComparison, tmp_path: Path) -> None:
    write_comparison(record, tmp_path)
    page = (tmp_path / PAGE).read_text()
    assert "books &lt;i&gt;" in page
    assert "<i>" not in page
    assert page.count("<img") == 1
    for part in record.domains[0].parts:
        assert part.name in page
    stored = json.loads((tmp_path / RECORD).read_text())
    assert len(stored["domains"][0]["parts"]) == len(record.domains[0].parts)


def test_the_table_marks_what_is_no_chance(record: RunComparison) -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(comparison_table(record, Path("page.html")))
    shown = console.export_text()
    whole = record.domains[0].parts[0]
    mark = "" if whole.tests["second"].verdict == "open" else "*"
    assert f"{whole.means['second']:.4f}{mark}" in shown
    assert "page.html" in shown
    assert "candidates" not in shown
    console.print(comparison_table(dataclasses.replace(record, candidates=99), Path("page.html")))
    assert "ranked among 99 sampled candidates, not all items" in console.export_text()


def test_the_figure_is_an_image(record: RunComparison) -> None:
    assert draw_comparison(record.domains[0]).startswith("data:image/svg+xml;base64,")


@pytest.mark.parametrize(("cutoffs", "expected"), [((5, 10, 20), 20), ((5, 10), 10), ((20, 50), 20)])
def test_the_headline_is_at_20_where_there_is_20(cutoffs: tuple[int, ...], expected: int) -> None:
    assert headline(cutoffs) == (f"recall@{expected}", f"ndcg@{expected}")
