from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from raymm.data import layout
from raymm.data.prepared import PreparedSet, open_prepared
from raymm.data.summary import PreparedSummary
from raymm.errors import ArtefactError, ConfigError, DataError
from raymm.launch.prepare import prepare
from tests.launch.toy import MALFORMED, reference, write_toy

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture(scope="module")
def toy(ray_cluster: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, PreparedSummary]:
    """The toy's recipe, the set prepared from it in one piece and one shard, and the summary."""
    folder = tmp_path_factory.mktemp("toy")
    recipe = write_toy(folder)
    return recipe, folder / "out", prepare(recipe, folder / "out")


def external(prepared: PreparedSet, domain: str, table: pd.DataFrame) -> pd.DataFrame:
    users, items = prepared.user_ids(domain), prepared.item_ids(domain)
    return table.assign(who=users[table["user"]], what=items[table["item"]])


def content(folder: Path) -> dict[str, object]:
    """Everything that a prepared set holds, tables read in canonical order."""
    prepared = open_prepared(folder)
    found: dict[str, object] = {}
    for facts in prepared.domains:
        found[f"{facts.name} train"] = pq.read_table(list(prepared.train_files(facts.name))).to_pydict()
        for path in (folder / "domains" / facts.name).glob("*.parquet"):
            found[f"{facts.name} {path.name}"] = pq.read_table(path).to_pydict()
        for path in (folder / "domains" / facts.name / "features").iterdir():
            found[f"{facts.name} {path.name}"] = path.read_bytes()
        for path in (folder / "domains" / facts.name / "graph").iterdir():
            found[f"{facts.name} {path.name}"] = path.read_bytes()
    for path in [*folder.glob("*.parquet"), *(folder / "sealed").iterdir()]:
        found[path.name] = pq.read_table(path).to_pydict()
    return found


def test_prepared_set_equals_the_pandas_reference(toy: tuple[Path, Path, PreparedSummary]) -> None:
    recipe, folder, summary = toy
    prepared = open_prepared(folder)
    for domain, expected in reference(recipe.parent).items():
        train = pq.read_table(list(prepared.train_files(domain))).to_pandas().rename(columns={"order": "place"})
        parts = [external(prepared, domain, train)[["who", "what", "place"]].assign(part="train")]
        for part, path in (
            ("validation", layout.validation_file(folder, domain)),
            ("test", layout.sealed_file(folder, domain)),
        ):
            held_out = external(prepared, domain, pq.read_table(path).to_pandas())[["who", "what"]]
            lengths = expected.groupby("who").size()
            place = lengths[held_out["who"]].to_numpy() - (1 if part == "test" else 2)
            parts.append(held_out.assign(place=place, part=part))
        found = pd.concat(parts).sort_values(["who", "place"]).reset_index(drop=True)
        wanted = expected.sort_values(["who", "place"]).reset_index(drop=True)
        assert len(wanted) > 60
        assert found.astype(str).to_numpy().tolist() == wanted.astype(str).to_numpy().tolist()
    assert [domain.core_passes > 1 for domain in summary.domains] == [True, True]


@pytest.mark.parametrize(("piece_bytes", "shard_rows"), [(501, 60), (4_000, 137)])
def test_pieces_and_shards_do_not_change_the_result(
    toy: tuple[Path, Path, PreparedSummary], tmp_path: Path, piece_bytes: int, shard_rows: int
) -> None:
    recipe, folder, summary = toy
    other = prepare(recipe, tmp_path / "other", piece_bytes=piece_bytes, shard_rows=shard_rows)
    assert other.fingerprint == summary.fingerprint
    prepared = open_prepared(tmp_path / "other")
    assert len(prepared.train_files("a")) > 1
    expected, found = content(folder), content(tmp_path / "other")
    assert len(expected) == 26
    assert found == expected
    assert [domain.__dict__ for domain in other.domains] == [domain.__dict__ for domain in summary.domains]


def test_nothing_is_lost_without_being_counted(toy: tuple[Path, Path, PreparedSummary]) -> None:
    recipe, folder, summary = toy
    a, b = summary.interaction_files
    assert (a.rows, a.malformed) == (420 + len(MALFORMED), len(MALFORMED))
    assert (b.rows, b.malformed, b.other_domain) == (261, 0, 1)
    for domain, file in zip(summary.domains, summary.interaction_files, strict=True):
        assert domain.interactions == file.rows - file.malformed - file.other_domain - file.low_rating
        left = domain.train + domain.validation + domain.test
        assert domain.interactions - domain.repeats - domain.outside_core - domain.short_history == left
        assert min(domain.repeats, domain.outside_core) > 0
    aside = pq.read_table(layout.set_aside_file(folder)).to_pylist()
    lines = (recipe.parent / "a.tsv").read_text().split("\n")
    assert {row["line"]: row["text"] for row in aside} == MALFORMED
    assert all(lines[row["line"] - 1] == row["text"] and row["path"] == "a.tsv" for row in aside)


def test_line_numbers_are_right_in_small_pieces(toy: tuple[Path, Path, PreparedSummary], tmp_path: Path) -> None:
    prepare(toy[0], tmp_path / "out", piece_bytes=97)
    aside = pq.read_table(layout.set_aside_file(tmp_path / "out")).to_pydict()
    assert dict(zip(aside["line"], aside["text"], strict=True)) == MALFORMED


def test_items_without_a_row_stay_and_are_counted(toy: tuple[Path, Path, PreparedSummary]) -> None:
    _, folder, summary = toy
    prepared = open_prepared(folder)
    domain = prepared.train_data().domain("a")
    place = prepared.item_ids("a").tolist().index("i3")
    assert prepared.titles("a")[place] == ""
    feature = domain.features["title"]
    assert feature.present.tolist() == [name != "i3" for name in prepared.item_ids("a")]
    np.testing.assert_allclose(feature.values[place], feature.values[feature.present].mean(axis=0), rtol=1e-5)
    assert summary.domains[0].items_without_row == summary.domains[0].missing["title"] == 1
    assert summary.domains[0].repeated_item_rows == 1
    assert "second" not in " ".join(prepared.titles("a"))


def test_ratings_and_times_are_kept_where_every_row_has_them(toy: tuple[Path, Path, PreparedSummary]) -> None:
    a, b = open_prepared(toy[1]).train_data().domains
    assert b.ratings is None
    assert b.times is None
    assert a.ratings is not None
    assert a.times is not None
    np.testing.assert_array_equal(a.ratings, 1 + (a.times - 1_000) % 5)


def test_same_recipe_and_files_are_not_prepared_again(toy: tuple[Path, Path, PreparedSummary]) -> None:
    recipe, folder, summary = toy
    before = (folder / "manifest.json").stat().st_mtime_ns
    again = prepare(recipe, folder)
    assert (again.reused, again.fingerprint, again.domains) == (True, summary.fingerprint, summary.domains)
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_other_settings_need_leave_to_replace(toy: tuple[Path, Path, PreparedSummary], tmp_path: Path) -> None:
    folder = shutil.copytree(toy[1], tmp_path / "out")
    recipe = write_toy(tmp_path / "toy", more="seed = 1")
    with pytest.raises(ArtefactError, match="--force"):
        prepare(recipe, folder)
    assert prepare(recipe, folder, replace=True).fingerprint != toy[2].fingerprint
    assert not list(tmp_path.glob(".*partial"))


def test_damaged_set_is_refused_and_can_be_replaced(toy: tuple[Path, Path, PreparedSummary], tmp_path: Path) -> None:
    folder = shutil.copytree(toy[1], tmp_path / "out")
    (folder / "shared.parquet").write_bytes(b"")
    with pytest.raises(ArtefactError, match="shared.parquet: changed"):
        prepare(toy[0], folder)
    assert not prepare(toy[0], folder, replace=True).reused
    assert content(folder) == content(toy[1])


def test_what_raymm_did_not_prepare_is_never_replaced(toy: tuple[Path, Path, PreparedSummary], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("ten years")
    (tmp_path / "run").mkdir()
    manifest = json.loads((toy[1] / "manifest.json").read_text())
    (tmp_path / "run" / "manifest.json").write_text(json.dumps({**manifest, "kind": "run"}))
    for target in (tmp_path / "home", tmp_path / "home" / "thesis.txt", tmp_path / "run"):
        with pytest.raises(ArtefactError):
            prepare(toy[0], target, replace=True)
    assert (tmp_path / "home" / "thesis.txt").read_text() == "ten years"
    assert (tmp_path / "run" / "manifest.json").is_file()


def test_too_many_malformed_rows_are_an_error_that_shows_some(tmp_path: Path) -> None:
    recipe = write_toy(tmp_path)
    recipe.write_text(recipe.read_text().replace("max_malformed = 0.1", "max_malformed = 0.001"))
    with pytest.raises(DataError, match=r"(?s)a\.tsv.*4 of 424 rows are malformed.*line 7: 2 fields.*at most 0\.10%"):
        prepare(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*partial"))


def test_a_file_of_malformed_rows_alone_is_an_error_whatever_the_limit(tmp_path: Path) -> None:
    recipe = write_toy(tmp_path)
    recipe.write_text(recipe.read_text().replace("max_malformed = 0.1", "max_malformed = 1"))
    (tmp_path / "a.tsv").write_text("who\twhat\tstars\tat\tplace\n" + "u;i;3;5;5\n" * 9)
    with pytest.raises(DataError, match=r"(?s)a\.tsv.*9 of 9 rows are malformed.*line 2: 1 field.*a row that can be"):
        prepare(recipe, tmp_path / "out")


def test_packed_file_that_broke_off_is_named(tmp_path: Path) -> None:
    recipe = write_toy(tmp_path)
    packed = (tmp_path / "b.csv.gz").read_bytes()
    (tmp_path / "b.csv.gz").write_bytes(packed[:-20])
    with pytest.raises(DataError, match=r"(?s)b\.csv\.gz.*cannot be read: Compressed file ended"):
        prepare(recipe, tmp_path / "out")


def test_domain_without_interactions_is_named(tmp_path: Path) -> None:
    recipe = write_toy(tmp_path)
    recipe.write_text(recipe.read_text().replace('domains = ["a", "b"]', 'domains = ["a", "c"]'))
    with pytest.raises(DataError, match=r"(?s)domain 'c'.*no interaction"):
        prepare(recipe, tmp_path / "out")


def test_k_core_that_leaves_nothing_is_named(tmp_path: Path) -> None:
    recipe = write_toy(tmp_path)
    recipe.write_text(recipe.read_text().replace("core_items = 6", "core_items = 300"))
    with pytest.raises(DataError, match=r"(?s)domain 'a'.*nothing is left of .* interactions.*core_items"):
        prepare(recipe, tmp_path / "out")


def test_too_many_items_without_a_modality_are_named(tmp_path: Path) -> None:
    recipe = write_toy(tmp_path)
    recipe.write_text(recipe.read_text().replace("max_missing = 0.5", "max_missing = 0.01"))
    with pytest.raises(DataError, match=r"(?s)domain 'a'.*1 of .* items without 'title', for example \['i3'\]"):
        prepare(recipe, tmp_path / "out")


def test_unknown_column_and_setting_are_named_before_anything_is_read(tmp_path: Path) -> None:
    recipe = write_toy(tmp_path)
    good = recipe.read_text()
    recipe.write_text(good.replace('"stars"', '"score"'))
    with pytest.raises(DataError, match=r"(?s)a\.tsv.*no column 'score'.*'stars'"):
        prepare(recipe, tmp_path / "out")
    recipe.write_text(good.replace("core_users", "kore_users"))
    with pytest.raises(ConfigError, match=r"cleaning\.kore_users: unknown setting; did you mean 'core_users'"):
        prepare(recipe, tmp_path / "out")


def test_domains_without_a_common_user_are_allowed(tmp_path: Path) -> None:
    recipe = write_toy(tmp_path)
    (tmp_path / "a.tsv").write_text((tmp_path / "a.tsv").read_text().replace("u ", "somebody else "))
    summary = prepare(recipe, tmp_path / "out")
    assert (summary.true_pairs, summary.shared) == (0, 0)
    assert open_prepared(tmp_path / "out").train_data("true").shared.shape == (0, 2)


def test_one_domain_without_features_is_enough(tmp_path: Path) -> None:
    write_toy(tmp_path)
    recipe = tmp_path / "one.toml"
    recipe.write_text(
        'name = "one"\ndomains = ["a"]\n[[interactions]]\npath = "a.tsv"\ndomain = "a"\n'
        'columns = { user = "who", item = "what", rating = "stars", time = "at" }\n'
        "[cleaning]\nmin_rating = 2.0\nmax_malformed = 0.1\ncore_users = 2\ncore_items = 1\n"
        '[split]\nby = "time"\n'
    )
    summary = prepare(recipe, tmp_path / "out")
    (domain,) = open_prepared(tmp_path / "out").train_data().domains
    assert summary.interaction_files[0].low_rating > 0
    assert summary.domains[0].short_history > 0
    assert summary.domains[0].items_without_row == domain.n_items
    assert domain.ratings is not None
    assert domain.ratings.min() >= 2
    assert domain.features == {}


def test_progress_is_told_stage_by_stage(tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    prepare(write_toy(tmp_path), tmp_path / "out", progress=lambda *told: heard.append(told), shard_rows=100)
    stages = list(dict.fromkeys(stage for stage, _, _ in heard))
    assert stages[0] == "connect"
    assert {"read interactions", "clean a", "write b", "encode items"} < set(stages)
    for stage in stages:
        done, total = next((done, total) for told, done, total in reversed(heard) if told == stage)
        assert done == total > 0
