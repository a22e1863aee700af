import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from rich.console import Console

from raymm.config import plain
from raymm.report.matching import compared, draw_matching, matching_table
from raymm.transport.partitioned import PartitionConfig
from raymm.transport.population import PopulationConfig


def way(method: str, hit: float) -> dict[str, object]:
    return {"method": method, "hit_at_1": hit, "hit_at_10": min(1.0, 2 * hit), "mrr": 1.2 * hit}


QUALITY = {
    "hidden_pairs": 40,
    "candidates": 900,
    "chosen": "profile, rho 0.05",
    "baselines": [way("random", 0.001), way("nearest by cosine", 0.2)],
    "plans": [
        way("profile, rho 0.02", 0.3),
        way("profile, rho 0.05", 0.4),
        way("x, balanced", 0.1),
        way("y, balanced", 0.2),
    ],
}
REPORT = {
    "relative_gap": 0.0066,
    "deterministic": True,
    "mass": 0.25,
    "listed_mass": 0.9,
    "iterations": 7,
    "reached_target_gap": True,
    **{f"effective_partners_p{level}": float(level) for level in (10, 50, 90)},
    "seconds.cells": 1.0,
    "seconds.iterations": 2.0,
}
RECORD = {
    "users": {"source": 1200, "target": 900, "source_unknown": 1120, "target_unknown": 820},
    "columns": [64, 32],
    "known_pairs": 80,
    "settings": plain(PopulationConfig(partition=PartitionConfig(target_gap=0.005))),
    "notes": ["a note"],
    "report": REPORT,
}


def shown(record: dict[str, object], quality: dict[str, object], reused: bool = False) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(matching_table(Path("out/first"), record, quality, reused))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_best_of_each_kind_is_compared_and_the_chosen_comes_last() -> None:
    rows = compared(QUALITY)
    assert [label for label, _ in rows] == ["random", "nearest by cosine", "balanced plan", "relaxed plan (chosen)"]
    assert [row["hit_at_1"] for _, row in rows] == [0.001, 0.2, 0.2, 0.4]


def test_the_figure_is_an_image_with_or_without_hidden_pairs() -> None:
    draws = np.random.default_rng(0)
    best, effective = draws.random(500), 1 + draws.exponential(20, 500)
    images = [draw_matching(best, effective, quality) for quality in (QUALITY, {})]
    images.append(draw_matching(np.zeros(0), np.zeros(0), {}))
    for image in images:
        assert ET.fromstring(image).tag.endswith("svg")
        assert b"http://" not in image.replace(b"http://www.w3.org", b"").replace(b"http://purl", b"").replace(
            b"http://creativecommons", b""
        )
    assert images[0] == draw_matching(best, effective, QUALITY)
    assert len(images[0]) > len(images[1])


def test_the_table_says_what_was_found_and_where() -> None:
    text = shown(RECORD, QUALITY)
    for words in (
        "1,200 users, 64 columns",
        "900 users, 32 columns",
        "80",
        "1 profile, epsilon 0.02, relaxed rho 0.05 (chosen on hidden pairs)",
        "25.0 %",
        "0.66 % (deterministic; asked: 0.5 %)",
        "10.0, 50.0, 90.0",
        "90.0 % of a user's, in 32 partners",
        "7 passes, 3.0 s",
        "40 hidden pairs, each among 900 candidates",
        "relaxed plan (chosen)",
        "! a note",
        "out/first",
    ):
        assert words in text, words
    assert "already" not in text
    assert "already" in shown(RECORD, {}, reused=True)


def test_what_is_short_of_what_was_asked_is_said() -> None:
    missed = {**RECORD, "report": {**REPORT, "reached_target_gap": False, "deterministic": False}}
    text = shown(missed, {})
    assert "was not reached" in text
    assert "99.9 % confidence" in text
    known = {**RECORD, "report": {"known_pairs": 80, "leaked_mass": 0.0}}
    assert "nothing to do" in shown(known, {})
