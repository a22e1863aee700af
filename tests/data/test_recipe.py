from __future__ import annotations

from pathlib import Path

import pytest

from raymm.config import build, plain
from raymm.data.recipe import Recipe, needed_columns, read_recipe
from raymm.errors import ConfigError
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
        ({"interactions": [{"path": "x"}]}, r"interactions\[0\].domain: found nothing"),
        ({"interactions": [{"path": "x", "domain": "a", "colums": {}}]}, r"interactions\[0\].colums: unknown.*columns"),
        ({"interactions": [{"path": "x", "domain": "z", "columns": {"order": "o"}}]}, r"'z'.*\['a', 'b'\]"),
        ({"interactions": [{"path": "x", "domain": "a", "columns": {"user": ""}}]}, "user: found nothing"),
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


def test_only_domain_need_not_be_repeated() -> None:
    assert recipe(domains=["a"], interactions=[{"path": "x"}], items=[]).interactions[0].domain == ""


def test_settings_say_which_columns_they_need() -> None:
    assert needed_columns(recipe(split={})) == {}
    assert needed_columns(recipe(split={"by": "order"})) == {"order": "split.by is 'order'"}
    needs = needed_columns(recipe(split={"by": "line"}, cleaning={"min_rating": 4.0}))
    assert needs == {"rating": "cleaning.min_rating is set"}


def test_message_sends_nobody_to_the_settings_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("nme = 'x'\n")
    with pytest.raises(ConfigError) as caught:
        read_recipe(tmp_path / "r.toml")
    assert "did you mean 'name'" in caught.value.found
    assert caught.value.remedy == "mend these settings of the recipe"


def test_changes_lie_over_the_file_and_go_through_the_same_gate() -> None:
    changed = read_recipe(SAMPLE, {"overlap": {"shared_ratio": 0.25}})
    sample = read_recipe(SAMPLE)
    assert changed.overlap.shared_ratio == 0.25
    assert (changed.overlap.seed, changed.features, changed.split) == (
        sample.overlap.seed,
        sample.features,
        sample.split,
    )
    with pytest.raises(ConfigError, match="did you mean 'overlap'"):
        read_recipe(SAMPLE, {"overlaps": {}})
