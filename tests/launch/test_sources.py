from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
import ray

from raymm.config import build
from raymm.data.recipe import Recipe, read_recipe
from raymm.data.rows import Fate
from raymm.errors import ConfigError, DataError
from raymm.launch.sources import (
    INTERACTIONS,
    ITEMS,
    collect,
    count_fates,
    find_files,
    parse_pieces,
    pick_malformed,
    read_files,
    set_aside,
    summarise_files,
    tally,
)
from tests.launch.toy import MALFORMED, write_toy


def test_files_are_found_cut_and_looked_into(tmp_path: Path) -> None:
    path = write_toy(tmp_path)
    files = find_files(path, read_recipe(path), INTERACTIONS, 1_000)
    size = (tmp_path / "a.tsv").stat().st_size
    assert files.paths == (str(tmp_path / "a.tsv"), str(tmp_path / "b.csv.gz"))
    assert [reading.format for reading in files.readings] == ["tsv", "csv"]
    assert files.readings[1].names == ("shop", "user", "item", "n")
    assert len(files.pieces) == -(-size // 1_000) + 1
    (tmp_path / "items.tsv").unlink()
    with pytest.raises(DataError, match=r"(?s)items\.tsv.*no such file"):
        find_files(path, read_recipe(path), ITEMS, 1_000)


def test_pieces_parse_to_the_rows_of_the_whole(tmp_path: Path) -> None:
    path = write_toy(tmp_path)
    found = []
    for piece_bytes in (10**6, 150):
        files = find_files(path, read_recipe(path), INTERACTIONS, piece_bytes)
        batch = pa.table({"piece": list(range(len(files.pieces)))})
        rows = pa.concat_tables(parse_pieces(batch, files))
        found.append(rows.select(["source", "domain", "user", "item", "rating", "time", "key", "reason"]))
        counts = count_fates(rows, 2, 2)
        assert counts.sum() == len(rows)
        assert counts[:, :, Fate.MALFORMED].sum() == len(MALFORMED) == pick_malformed(rows).num_rows
    assert found[0].equals(found[1])


def test_rows_of_a_store_equal_those_of_the_disk(tmp_path: Path) -> None:
    path = write_toy(tmp_path)
    rows = []
    with fsspec.open("memory://toy-of-sources/a.tsv", "wb") as stream:
        stream.write((tmp_path / "a.tsv").read_bytes())
    for place in ("a.tsv", (tmp_path / "a.tsv").as_uri(), "memory://toy-of-sources/a.tsv"):
        path.write_text(re.sub(r'path = ".*a\.tsv"', f'path = "{place}"', path.read_text()))
        files = find_files(path, read_recipe(path), INTERACTIONS, 1_000)
        assert place in files.paths[0]
        rows.append(pa.concat_tables(parse_pieces(pa.table({"piece": list(range(len(files.pieces)))}), files)))
    assert len(rows[0]) > 600
    assert rows[1].equals(rows[0])
    assert rows[2].equals(rows[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"split": {"by": "order"}},
            r"interactions\[0\].columns.order: found nothing, but split.by is 'order'; format 'douban' has user, item",
        ),
        ({"split": {"by": "time"}}, "columns.time: found nothing, but split.by is 'time'"),
        (
            {"split": {"by": "line"}, "interactions": [{"path": "x_ratings.dat", "columns": {"rating": ""}}]},
            "columns.rating: found nothing, but cleaning.min_rating is set",
        ),
    ],
)
def test_column_that_a_setting_asks_for_must_be_there(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    (tmp_path / "x_ratings.dat").write_text("1\t2\t3\n")
    values = {
        "name": "bare",
        "domains": ["a"],
        "interactions": [{"path": "x_ratings.dat"}],
        "cleaning": {"min_rating": 4.0},
    }
    with pytest.raises(ConfigError, match=message):
        find_files(tmp_path / "recipe.toml", build(Recipe, {**values, **settings}), INTERACTIONS, 2_000)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [({"time": "t", "order": "o"}, "order"), ({"time": "t"}, "time"), ({}, "line")],
)
def test_histories_are_ordered_by_the_best_that_every_source_has(
    tmp_path: Path, columns: dict[str, str], expected: str
) -> None:
    (tmp_path / "rows.tsv").write_text("u\ti\tt\to\n1\t2\t3\t4\n")
    source = {"path": "rows.tsv", "columns": {"user": "u", "item": "i", **columns}}
    values = {"name": "bare", "domains": ["a"], "interactions": [source]}

    def found(*sources: dict[str, Any]) -> str | None:
        recipe = build(Recipe, {**values, "interactions": list(sources)})
        return find_files(tmp_path / "recipe.toml", recipe, INTERACTIONS, 2_000).recipe.split.by

    assert found(source) == expected
    bare = {"path": "rows.tsv", "columns": {"user": "u", "item": "i"}}
    if columns:
        with pytest.raises(ConfigError, match="split.by"):
            found(source, bare)
    else:
        assert found(source, bare) == "line"


@pytest.mark.ray
def test_rows_are_read_counted_and_set_aside_on_the_cluster(ray_cluster: object, tmp_path: Path) -> None:
    path = write_toy(tmp_path)
    files = find_files(path, read_recipe(path), INTERACTIONS, 2_000)
    blocks = read_files(files)
    counts = tally(blocks, 2, 2)
    assert counts.sum() == 420 + len(MALFORMED) + 261
    assert summarise_files(files, counts)[1].other_domain == 1
    aside = set_aside(files, blocks, counts).to_pydict()
    assert dict(zip(aside["line"], aside["text"], strict=True)) == MALFORMED


@pytest.mark.ray
def test_recipe_without_items_reads_none(ray_cluster: object, tmp_path: Path) -> None:
    path = write_toy(tmp_path)
    values = {
        "name": "bare",
        "domains": ["a"],
        "interactions": [{"path": "a.tsv", "domain": "a", "columns": {"user": "who", "item": "what"}}],
        "split": {"by": "line"},
    }
    files = find_files(path, build(Recipe, values), ITEMS, 2_000)
    blocks = read_files(files)
    assert blocks == []
    counts = tally(blocks, 0, 1)
    assert set_aside(files, blocks, counts).num_rows == 0
    assert summarise_files(files, counts) == ()


@pytest.mark.ray
def test_results_are_collected_in_order(ray_cluster: object) -> None:
    heard: list[tuple[str, int, int]] = []
    refs = [ray.put(number) for number in range(3)]
    assert collect(refs, "toy", lambda *told: heard.append(told)) == [0, 1, 2]
    assert heard == [("toy", done, 3) for done in range(4)]
