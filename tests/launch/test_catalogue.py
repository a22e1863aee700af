from __future__ import annotations

import pyarrow as pa
import pytest
import ray

from raymm.data.raw import Lines
from raymm.data.recipe import Recipe
from raymm.launch.catalogue import Catalogue, build_catalogue, pick_items
from tests.data.recipes import item_table, recipe

WORDS = ["red cat", "green cat", "blue dog", "grey dog", "pink owl", "red owl", "green hen", "blue hen"]
FEATURES = [
    {"name": "words", "column": "text", "dimension": 3, "max_missing": 0.4},
    {"name": "names", "column": "title", "dimension": 2, "max_missing": 0.4},
]


def toy() -> tuple[Recipe, pa.Table, pa.Table]:
    """Two blocks of item rows; the first of a2 is in the later piece's block, which comes first."""
    settings = recipe(features=FEATURES)
    names = ("domain", "item", "title", "text")
    early = [f"a\ta{place}\ttitle {text}\t{text}" for place, text in enumerate(WORDS)]
    late = ["a\ta2\tlate\tlate", *[f"b\tb{place}\tname {text}\t{text}" for place, text in enumerate(WORDS[:5])]]
    blocks = [item_table(Lines(0, lines), settings, names, piece) for piece, lines in ((1, late), (0, early))]
    return settings, blocks[0], blocks[1]


def catalogues(settings: Recipe, blocks: list[object]) -> list[Catalogue]:
    return [
        build_catalogue(blocks, settings, 0, pa.array(["a0", "a2", "a5", "a7", "unheard"])),
        build_catalogue(blocks, settings, 1, pa.array([f"b{place}" for place in range(5)])),
    ]


def test_only_wanted_items_of_the_domain_are_picked() -> None:
    _, late, early = toy()
    assert pick_items(late, 0, pa.array(["a2", "b1"]))["item"].to_pylist() == ["a2"]
    assert pick_items(early, 0, pa.array(["a9", "a3"]))["number"].to_pylist() == [1]


@pytest.mark.ray
def test_first_row_of_an_item_counts_and_missing_ones_are_null(ray_cluster: object) -> None:
    settings, late, early = toy()
    first, second = catalogues(settings, [ray.put(late), ray.put(early)])
    assert first.rows["item"].to_pylist() == ["a0", "a2", "a5", "a7", None]
    assert first.rows["text of words"].to_pylist()[1] == "blue dog"
    assert (first.n_without_row, first.n_repeated) == (1, 1)
    assert (second.n_without_row, second.n_repeated) == (0, 0)
