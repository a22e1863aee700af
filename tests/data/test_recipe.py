from __future__ import annotations

from pathlib import Path

import pytest

from raymm.config import build, plain
from raymm.data.recipe import Recipe, read_recipe, source_path
from raymm.errors import ConfigError, DataError
from tests.conftest import SAMPLE
from tests.data.recipes import recipe


def test_recipe_of_the_bundled_sample_is_what_it_promises() -> None:
    sample = read_recipe(SAMPLE)
    assert (sample.overlap.shared_ratio, sample.overlap.seed) == (0.9, 0)
    assert [(modality.name, modality.dimension) for modality in sample.features] == [("title", 128), ("text", 128)]
    assert sum(path.stat().st_size for path in SAMPLE.parent.iterdir()) < 2_000_000


def test_recipe_survives_the_way_through_plain_data() -> None:
    assert build(Recipe, plain(recipe())) == recipe()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"domains": []}, "one name, or two"),
        ({"domains": ["a", "b", "c"]}, "one name, or two"),
        ({"domains": ["a", "a"]}, "one name, or two"),
        ({"domains": ["a/../b"]}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"interactions": []}, r"at least one \[\[interactions\]\]"),
        ({"interactions": [{"path": "x"}]}, r"interactions\[0\].*expected one of the two"),
        ({"interactions": [{"path": "x", "domain": "a", "colums": {}}]}, r"interactions\[0\].colums: unknown.*columns"),
        ({"interactions": [{"path": "x", "domain": "z", "columns": {"order": "o"}}]}, r"'z'.*\['a', 'b'\]"),
        ({"interactions": [{"path": "x", "domain": "a"}]}, "columns.order: found nothing, but split.by is 'order'"),
        ({"interactions": [{"path": "x", "domain": "a", "columns": {"user": ""}}]}, "user: found nothing"),
        (
            {
                "interactions": [{"path": "x", "domain": "a", "columns": {"order": "o"}}],
                "cleaning": {"min_rating": 4.0},
            },
            "columns.rating: found nothing, but cleaning.min_rating",
        ),
        ({"cleaning": {"core_users": 0}}, "cleaning.core_users: found 0, expected at least 1"),
        ({"cleaning": {"max_malformed": 1.5}}, "at most 1"),
        ({"overlap": {"shared_ratio": -0.1}}, "overlap.shared_ratio"),
        ({"features": [{"name": "t", "column": "x"}, {"name": "t", "column": "y"}]}, "names that differ"),
        ({"features": [{"name": "t", "column": "x"}], "items": []}, "items: found no source"),
        ({"features": [{"name": "t", "column": "x", "encoder": "clip"}]}, "'tfidf_svd'"),
        ({"features": [{"name": "t", "column": "x", "dimension": "many"}]}, r"features\[0\].dimension"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recipe(**settings)


@pytest.mark.parametrize("delimiter", ["", "::", "\n", '"'])
def test_delimiter_must_be_one_plain_character(delimiter: str) -> None:
    source = {"path": "x", "domain": "a", "columns": {"order": "o"}, "layout": {"delimiter": delimiter}}
    with pytest.raises(ConfigError, match="delimiter"):
        recipe(interactions=[source])


def test_relative_path_stays_in_the_folder_of_the_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "secret.tsv").write_text("x")
    (folder / "deep" / "rows.tsv").write_text("x")
    (folder / "link.tsv").symlink_to(tmp_path / "secret.tsv")
    (folder / "inner.tsv").symlink_to(folder / "deep" / "rows.tsv")
    here = folder / "recipe.toml"
    assert source_path(here, "deep/../deep/rows.tsv") == folder / "deep" / "rows.tsv"
    assert source_path(here, "inner.tsv") == folder / "deep" / "rows.tsv"
    assert source_path(here, str(tmp_path / "secret.tsv")) == tmp_path / "secret.tsv"
    for outside in ("../secret.tsv", "link.tsv", "deep/../../secret.tsv"):
        with pytest.raises(DataError, match="a file within"):
            source_path(here, outside)


def test_missing_file_and_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        source_path(tmp_path / "recipe.toml", "rows.tsv")
    (tmp_path / "rows.tsv").mkdir()
    with pytest.raises(DataError, match="a folder"):
        source_path(tmp_path / "recipe.toml", "rows.tsv")
