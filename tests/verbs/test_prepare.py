import dataclasses
import io

from rich.console import Console

from raymm.data.summary import DomainSummary, FeatureSummary, PreparedSummary, SourceSummary
from raymm.verbs.prepare import preparation_table


def _shown(**changes):
    domain = DomainSummary("a[b]", 100, 3, 4, 5, 1, 20, 30, 60, 20, 20, 1, 0, {"title": 7})
    values = {
        "name": "toy",
        "folder": "out",
        "fingerprint": "f",
        "interaction_files": (SourceSummary("rows.tsv", 104, 2, 1, 1),),
        "item_files": (),
        "domains": (domain, dataclasses.replace(domain, name="b")),
        "true_pairs": 9,
        "shared": 0,
        "seconds": 1.5,
    }
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(preparation_table(PreparedSummary(**{**values, **changes})))
    return console.export_text()


def test_every_count_is_shown():
    shown = _shown()
    for words in ("rows.tsv", "104", "a[b]", "7 of 30 items", "9 users in both domains", "in 1.5 s"):
        assert words in shown
    line = next(line for line in shown.splitlines() if line.strip().startswith("a[b]"))
    assert line.split() == ["a[b]", "100", "3", "9", "20", "30", "60", "20", "20"]


def test_it_says_when_nobody_is_known_to_be_shared():
    assert "distance alone" in _shown()
    assert "distance alone" not in _shown(shared=4)


def test_it_says_when_nothing_was_done():
    assert "was there already" in _shown(reused=True)


def test_vectors_without_an_item_and_shards_of_an_interrupted_preparation_are_counted():
    vectors = FeatureSummary("books", "text", "vectors", 384, 0, unused=1200)
    model = FeatureSummary("books", "cover", "clip_image", 512, 0, shards=30, reused=5)
    shown = _shown(features=(vectors, model))
    assert "text of books: 1,200 vectors of the file belong to no item" in shown
    assert "cover of books: 5 of 30 shards were there already" in shown
    assert "shards" not in _shown(features=(model,), reused=True)


def test_a_split_that_leaks_time_says_so():
    calm = DomainSummary("books", 100, 3, 4, 5, 1, 20, 30, 60, 20, 20, 1, 0, {}, train_after_test=0.0)
    leaking = dataclasses.replace(calm, train_after_test=0.374)
    assert "later than" not in _shown(domains=(calm,))
    assert "37% of the training interactions are later than" in " ".join(_shown(domains=(leaking,)).split())


def test_held_out_interactions_that_training_does_not_know_are_counted():
    plain = DomainSummary("books", 100, 3, 4, 5, 1, 20, 30, 60, 20, 20, 1, 0, {})
    kept = dataclasses.replace(plain, new_users=4, new_items=5)
    assert "4 interactions of users and 5 of items" in " ".join(_shown(domains=(kept,)).split())
    dropped = dataclasses.replace(kept, left_out=9)
    assert "9 held-out interactions" in " ".join(_shown(domains=(dropped,)).split())


def test_one_domain_has_nobody_in_both():
    alone = DomainSummary("books", 100, 3, 4, 5, 1, 20, 30, 60, 20, 20, 1, 0, {})
    assert "both domains" not in _shown(domains=(alone,), shared=0)
