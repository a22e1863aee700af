"""The card as text: whole, short enough for the registry, and without what a file name could smuggle in."""

from __future__ import annotations

import json
import math

from raymm.tracking.card import MOST_CHARACTERS, Card, CardDomain, SliceResult, card_json, card_markdown, card_summary


def card(**changes: object) -> Card:
    values: dict[str, object] = {
        "model": "raymm-toy",
        "run": {"name": "first", "fingerprint": "abc"},
        "run_id": "f" * 32,
        "created": 0.0,
        "code_version": "0.1.0",
        "commit": "c0ffee",
        "domains": [CardDomain("arts", 1200, 34, 5678)],
        "raw_files": {"arts.tsv": "12ab"},
        "prepared": "feed",
        "recipe": {"cleaning": {"core_users": 5}},
        "settings": {"model": "toy", "train": {"seed": 7}},
        "metrics": {"test.arts.ndcg@10": 0.25},
        "slices": [SliceResult("arts", "user history: short", 9, {"ndcg@10": 0.5}), SliceResult("arts", "none", 0, {})],
        "comparison": "validation ndcg@10 0.3, version 1 0.2",
    }
    return Card(**{**values, **changes})  # type: ignore[arg-type]


def test_a_card_says_what_a_reader_asks() -> None:
    text = card_markdown(card())
    for words in (
        "| arts | 1,200 | 34 | 5,678 |",
        "| `test.arts.ndcg@10` | 0.2500 |",
        "| arts | user history: short | 9 | 0.5000 |",
        "| arts | none | 0 | - |",
        "| raw file `arts.tsv` | `12ab` |",
        "1970-01-01 00:00 UTC",
        "commit `c0ffee`",
        "| `cleaning.core_users` | 5 |",
        "| `train.seed` | 7 |",
        "version 1 0.2",
    ):
        assert words in text, text
    assert "not under git" in card_markdown(card(commit=""))
    assert "Nothing was measured" in card_markdown(card(metrics={}))
    assert "full ranking" in text
    assert "among 99 sampled candidates" in card_markdown(card(settings={"train": {"candidates": 99}}))


def test_every_row_of_a_table_has_its_cells() -> None:
    tricky = card(raw_files={"a|b\n<img src=x>`[l](u)": "1"}, settings={"name": "x | y"})
    lines = [line for line in card_markdown(tricky).splitlines() if line.startswith("|")]
    assert len(lines) > 15
    text = "\n".join(lines)
    assert "<img" not in text
    assert "\\[l\\](u)" in text
    heads = 0
    for line in lines:
        cells = line.replace("\\|", "").count("|")
        heads = cells if line.startswith("|---") or heads == 0 else heads
        assert cells >= 3


def test_a_summary_fits_the_registry_and_says_when_it_was_cut() -> None:
    assert card_summary(card()) in card_markdown(card())
    long = card(slices=[SliceResult("arts", f"slice {number}", 1, {"ndcg@10": 0.5}) for number in range(500)])
    summary = card_summary(long)
    assert len(summary) == MOST_CHARACTERS
    assert summary.endswith("among the model's files)\n")
    assert len(card_markdown(long)) > MOST_CHARACTERS


def test_the_json_is_strict() -> None:
    said = json.loads(card_json(card(metrics={"a": math.nan, "b": 1.0})), parse_constant=lambda word: 1 / 0)
    assert said["metrics"] == {"a": None, "b": 1.0}
