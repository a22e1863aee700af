from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray

from raymm.data import layout
from raymm.data.raw import Lines
from raymm.data.recipe import Recipe
from raymm.data.rows import item_rows
from raymm.errors import DataError
from raymm.launch.catalogue import Catalogue, build_catalogue, encode_batch, fit_modality, pick_items, write_features
from tests.data.recipes import recipe

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
    blocks = [
        item_rows(Lines(0, lines, frozenset()), settings, 0, names, piece, False)
        for piece, lines in ((1, late), (0, early))
    ]
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


@pytest.mark.ray
def test_features_stand_where_their_item_does(ray_cluster: object, tmp_path: Path) -> None:
    settings, late, early = toy()
    both = catalogues(settings, [ray.put(late), ray.put(early)])
    missing = write_features(tmp_path, settings, both, lambda *_: None)
    assert missing == [{"words": 1, "names": 1}, {"words": 0, "names": 0}]
    for catalogue in both:
        values, present = (np.load(path) for path in layout.feature_files(tmp_path, catalogue.domain, "words"))
        assert values.shape == (5, 3)
        assert present.tolist() == [name != "unheard" for name in catalogue.item_ids.to_pylist()]
    # a0 and b0, a2 and b2 have equal texts: one encoder serves both domains.
    first, second = (np.load(layout.feature_files(tmp_path, domain, "words")[0]) for domain in ("a", "b"))
    np.testing.assert_array_equal(first[:2], second[[0, 2]])
    np.testing.assert_allclose(first[4], first[:4].mean(axis=0), rtol=1e-6)


@pytest.mark.ray
def test_modality_that_most_items_lack_is_an_error(ray_cluster: object, tmp_path: Path) -> None:
    settings, late, early = toy()
    blocks = [ray.put(late), ray.put(early)]
    sparse = build_catalogue(blocks, settings, 0, pa.array(["a0", "a1", "a2", "a3", *[f"x{n}" for n in range(9)]]))
    with pytest.raises(DataError, match=r"9 of 13 items without 'words', for example \['x0'"):
        write_features(tmp_path, settings, [sparse, catalogues(settings, blocks)[1]], lambda *_: None)


@pytest.mark.ray
def test_batch_holds_every_modality(ray_cluster: object) -> None:
    settings, _, early = toy()
    texts = early.select(["text of words", "text of names"])
    encoders = [ray.put(fit_modality(texts, settings, number)) for number in range(2)]
    batch = encode_batch(texts.append_column("place", pa.array(range(8))), ["words", "names"], encoders)
    shapes = {name: array.shape for name, array in batch.items()}
    assert shapes == {
        "place": (8,),
        "values of words": (8, 3),
        "presence of words": (8,),
        "values of names": (8, 2),
        "presence of names": (8,),
    }
