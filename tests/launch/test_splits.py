from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from raymm.config import build, plain
from raymm.data import layout
from raymm.data.prepared import open_prepared
from raymm.data.recipe import Recipe, read_recipe
from raymm.data.sealed import open_sealed, open_sealed_ratings
from raymm.errors import ArtefactError, DataError
from raymm.launch.histories import Cleaned, clean_domain, shard_by_user
from raymm.launch.prepare import prepare
from raymm.launch.sources import INTERACTIONS, find_files, read_files
from raymm.launch.splits import Written, plan_split, write_domain
from tests.conftest import SAMPLE

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
QUIET = lambda *_: None  # noqa: E731
PLAIN = "[cleaning]\ncore_users = 1\ncore_items = 1\nmin_history = 1\n"


def split_sample(folder: Path, n_shards: int, split: dict[str, Any]) -> tuple[pd.DataFrame, list[Written]]:
    """Split the bundled sample: (domain, who, what, part) in the order of the files, and the counts."""
    values = plain(read_recipe(SAMPLE))
    recipe = build(Recipe, {**values, "overlap": {}, "split": split})
    shards = shard_by_user(read_files(find_files(SAMPLE, recipe, INTERACTIONS, 300_000)), recipe, n_shards, QUIET)
    cleaned = [clean_domain(shards, recipe, number, QUIET) for number in range(2)]
    rules = plan_split(recipe, cleaned)
    written = [write_domain(folder, *part, QUIET) for part in zip(recipe.domains, cleaned, rules, strict=True)]
    return pd.concat([parts(folder, *part) for part in zip(recipe.domains, cleaned, strict=True)]), written


def parts(folder: Path, domain: str, cleaned: Cleaned) -> pd.DataFrame:
    users, items = (np.array(ids.to_pylist()) for ids in (cleaned.user_ids, cleaned.item_ids))
    return named(folder, domain, users, items)


def named(folder: Path, domain: str, users: np.ndarray, items: np.ndarray) -> pd.DataFrame:
    """Read the three parts of a domain with external ids."""
    tables = {
        "train": pq.read_table(layout.train_folder(folder, domain)),
        "validation": pq.read_table(layout.validation_file(folder, domain)),
        "test": pq.read_table(layout.sealed_file(folder, domain)),
    }
    frames = [table.to_pandas().assign(domain=domain, part=part) for part, table in tables.items()]
    rows = pd.concat(frames)
    return rows.assign(who=users[rows["user"]], what=items[rows["item"]])


def source() -> pd.DataFrame:
    """The bundled sample cleaned by its recipe, in plain pandas."""
    rows = pd.read_csv(SAMPLE.parent / "interactions.tsv", sep="\t", dtype={"user": str, "item": str})
    rows = rows.sort_values(["domain", "user", "order"]).drop_duplicates(["domain", "user", "item"])
    return rows.rename(columns={"user": "who", "item": "what"})


def as_set(rows: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(rows[["domain", "who", "what", "part"]].itertuples(index=False, name=None))


def test_kinds_by_order_equal_pandas_on_the_sample(tmp_path: Path) -> None:
    rows = source()
    history = rows.groupby(["domain", "who"])
    length, from_end = history["what"].transform("size"), history.cumcount(ascending=False)
    held, test = (0.4 * length + 0.5).astype(int), (0.3 * length + 0.5).astype(int)
    ratio = {"kind": "ratio", "validation_share": 0.1, "test_share": 0.3}
    for number, (split, n_held, n_test) in enumerate((({"kind": "leave_last_two"}, 4, 2), (ratio, held, test))):
        n_test = np.minimum(n_test, length - 1)
        n_held = np.minimum(n_held, length - 1)
        expected = np.where(from_end < n_test, "test", np.where(from_end < n_held, "validation", "train"))
        found, written = split_sample(tmp_path / str(number), 3, split)
        assert as_set(found) == as_set(rows.assign(part=expected))
        assert len(found) == len(rows) > 20_000
        assert [part.train_after_test for part in written] == [None, None]


@pytest.mark.parametrize("split", [{"kind": "mmrec"}, {"kind": "ratio", "pick": "random"}, {"kind": "cold_start"}])
def test_draws_do_not_hang_on_the_number_of_shards(tmp_path: Path, split: dict[str, Any]) -> None:
    one, _ = split_sample(tmp_path / "1", 1, split)
    many, _ = split_sample(tmp_path / "5", 5, split)
    assert as_set(one) == as_set(many)
    assert len(one) == len(source())
    other, _ = split_sample(tmp_path / "other", 1, {**split, "seed": 1})
    assert as_set(other) != as_set(one)
    if split["kind"] == "mmrec":
        length = one.groupby(["domain", "who"]).size()
        counts = one.groupby(["domain", "who", "part"]).size().unstack(fill_value=0)
        held = np.where(length < 10, 2, (0.2 * length).astype(int))
        validation = np.where(length < 10, 1, held // 2)
        assert (counts["validation"] == validation).all()
        assert (counts["test"] == held - validation).all()


@pytest.mark.skipif(not REAL.is_dir(), reason="real data are not beside the repository")
def test_given_split_of_an_mmrec_folder_equals_pandas(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'name = "arts"\ndomains = ["arts"]\n[[interactions]]\npath = "{REAL}/arts_mmrec/arts.inter"\ndomain = "arts"\n'
        'columns = { user = "userID", item = "itemID", order = "timestamp", label = "x_label" }\n'
        f'{PLAIN}[split]\nkind = "given"\n'
    )
    (summary,) = prepare(recipe, tmp_path / "out", shard_rows=40_000).domains
    rows = pd.read_csv(REAL / "arts_mmrec" / "arts.inter", sep="\t")
    assert rows["x_label"].value_counts().sort_index().tolist() == [86_271, 11_682, 12_924]
    once = rows.sort_values("x_label").drop_duplicates(["userID", "itemID"])  # of repeats, the earliest part stays
    expected = pd.DataFrame(
        {
            "domain": "arts",
            "who": once["userID"].astype(str),
            "what": once["itemID"].astype(str),
            "part": once["x_label"].map({0: "train", 1: "validation", 2: "test"}),
        }
    )
    prepared = open_prepared(tmp_path / "out")
    found = named(prepared.folder, "arts", prepared.user_ids("arts"), prepared.item_ids("arts"))
    assert as_set(found) == as_set(expected)
    assert (summary.users, summary.items, summary.repeats) == (9_577, 18_639, len(rows) - len(once))
    held = once[once["x_label"] > 0]
    assert summary.new_items == (~held["itemID"].isin(once["itemID"][once["x_label"] == 0])).sum() > 1_000
    assert (summary.new_users, summary.left_out) == (0, 0)
    (hidden,), (shown,) = open_sealed(prepared.folder), open_sealed(prepared.folder, hides="training")
    assert hidden.hidden.nnz > shown.hidden.nnz > 80_000
    assert (hidden.targets != shown.targets).nnz == 0


@pytest.mark.skipif(not REAL.is_dir(), reason="real data are not beside the repository")
def test_cold_start_equals_the_protocol_on_real_ratings(tmp_path: Path) -> None:
    def files(name: str) -> str:
        return (
            f'[[interactions]]\npath = "{REAL}/douban/{name}_ratings.dat"\ndomain = "{name}"\n'
            'columns = { rating = "rating" }\nlayout = { names = ["user", "item", "rating"] }\n'
        )

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'name = "douban"\ndomains = ["book", "music"]\n' + files("book") + files("music") + PLAIN
        + '[split]\nkind = "cold_start"\nby = "line"\npositive_rating = 4.0\ncold_share = 0.5\nseed = 3\n'
    )  # fmt: skip
    summary = prepare(recipe, tmp_path / "out", shard_rows=30_000)
    prepared = open_prepared(tmp_path / "out")
    data = prepared.train_data()
    book, music = (
        pd.read_csv(REAL / "douban" / f"{name}_ratings.dat", sep="\t", names=["who", "what", "rating"], dtype=str)
        for name in ("book", "music")
    )
    shared = set(book["who"]) & set(music["who"])
    key = hashlib.blake2b(b"cold users, seed 3", digest_size=16).digest()
    drawn = sorted(shared, key=lambda who: hashlib.blake2b(who.encode(), digest_size=8, key=key).digest())
    cold = drawn[: round(0.5 * len(shared))]
    watched = drawn[len(shared) - round(0.1 * (len(shared) - len(cold))) :]
    part = np.where(music["who"].isin(cold), "test", np.where(music["who"].isin(watched), "validation", "train"))
    found = named(prepared.folder, "music", prepared.user_ids("music"), prepared.item_ids("music"))
    assert as_set(found) == as_set(music.assign(domain="music", part=part))
    assert (len(shared), summary.true_pairs, summary.shared, len(data.shared)) == (1_566,) * 4
    assert data.domains[0].interactions.nnz == len(book)
    assert (data.domains[1].n_users, data.domains[1].n_items) == (music["who"].nunique(), music["what"].nunique())

    tested = music[part == "test"].assign(rating=lambda rows: rows["rating"].astype(float))
    (ratings,), (chosen,) = open_sealed_ratings(prepared.folder), prepared.rating_validation()
    assert (ratings.domain, len(ratings.users), len(chosen.users)) == (
        "music",
        len(tested),
        (part == "validation").sum(),
    )
    who, what = prepared.user_ids("music")[ratings.users], prepared.item_ids("music")[ratings.items]
    wanted = set(tested[["who", "what", "rating"]].itertuples(index=False, name=None))
    assert set(zip(who, what, ratings.ratings.tolist(), strict=True)) == wanted
    known = data.shared[np.isin(data.shared[:, 1], np.unique(ratings.users))]
    assert len(known) == len(cold)
    assert (np.diff(data.domains[0].interactions.indptr)[known[:, 0]] > 0).all()
    assert (np.diff(data.domains[1].interactions.indptr)[known[:, 1]] == 0).all()
    (ranking,) = open_sealed(prepared.folder)
    assert ranking.targets.nnz == (tested["rating"] >= 4).sum()
    assert ranking.hidden.nnz == 0
    assert summary.domains[1].new_users == (part != "train").sum()
    assert prepared.split.target == "music"


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A file of two domains in which some users come late, and its rows."""
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "domain": generator.choice(["a", "b"], size=3_000, p=[0.8, 0.2]),
            "who": [f"u{number}" for number in generator.integers(0, 200, size=3_000)],
            "what": [f"i{number}" for number in generator.integers(0, 150, size=3_000)],
            "stars": generator.integers(1, 6, size=3_000),
        }
    )
    begins = 1_000 * rows["who"].str[1:].astype(int)
    rows["at"] = 1_500_000_000 + begins + generator.integers(0, 40_000, size=3_000)
    folder = tmp_path_factory.mktemp("timed")
    rows.to_csv(folder / "rows.tsv", sep="\t", index=False)
    return folder, rows.sort_values("at", kind="stable").drop_duplicates(["domain", "who", "what"])


def timed_recipe(folder: Path, split: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(
        'name = "timed"\ndomains = ["a", "b"]\n[[interactions]]\npath = "rows.tsv"\ncolumns = { domain = "domain", '
        f'user = "who", item = "what", rating = "stars", time = "at" }}\n{PLAIN}[split]\nby = "time"\n{split}'
    )
    return path


@pytest.mark.parametrize("unseen", ["leave_out_users", "leave_out", "keep"])
def test_split_in_time_equals_pandas(timed: tuple[Path, pd.DataFrame], tmp_path: Path, unseen: str) -> None:
    folder, rows = timed
    path = timed_recipe(folder, f'kind = "time"\nunseen = "{unseen}"\ntest_share = 0.2\n')
    summary = prepare(path, tmp_path / "out", shard_rows=700)
    times = np.sort(rows["at"])
    first, second = times[int(0.7 * len(rows))], times[int(0.8 * len(rows))]
    part = np.where(rows["at"] >= second, "test", np.where(rows["at"] >= first, "validation", "train"))
    expected = rows.assign(part=part)
    train = expected[part == "train"]
    held = expected["part"] != "train"
    new_user, new_item = (
        held & ~pd.Series(zip(expected["domain"], expected[side], strict=True), index=expected.index).isin(
            set(zip(train["domain"], train[side], strict=True))
        )
        for side in ("who", "what")
    )  # fmt: skip
    gone = {"leave_out_users": new_user, "leave_out": new_user | new_item, "keep": new_user & False}[unseen]
    prepared = open_prepared(tmp_path / "out")
    found = pd.concat(
        named(prepared.folder, name, prepared.user_ids(name), prepared.item_ids(name)) for name in ("a", "b")
    )
    assert as_set(found) == as_set(expected[~gone])
    assert sum(domain.new_users for domain in summary.domains) == new_user.sum() > 50
    assert sum(domain.new_items for domain in summary.domains) == new_item.sum()
    assert sum(domain.left_out for domain in summary.domains) == gone.sum()
    assert [domain.train_after_test for domain in summary.domains] == [0.0, 0.0]
    for domain in summary.domains:
        everything = rows[rows["domain"] == domain.name]
        assert (domain.users, domain.items) == (everything["who"].nunique(), everything["what"].nunique())
        assert domain.interactions - domain.repeats == domain.train + domain.validation + domain.test + domain.left_out


def test_per_user_split_says_how_much_of_training_is_later_than_the_test(
    timed: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    folder, _ = timed
    summary = prepare(timed_recipe(folder, "positive_rating = 3.0\n"), tmp_path / "out")
    prepared = open_prepared(tmp_path / "out")
    for domain, ranking in zip(summary.domains, open_sealed(prepared.folder), strict=True):
        test = pq.read_table(layout.sealed_file(prepared.folder, domain.name)).to_pandas()
        train = pq.read_table(layout.train_folder(prepared.folder, domain.name)).to_pandas()
        assert domain.train_after_test == pytest.approx((train["time"] > test["time"].min()).mean())
        assert 0.5 < domain.train_after_test < 1
        assert ranking.targets.nnz == (test["rating"] >= 3).sum() < len(test)


def test_split_that_leaves_no_training_is_named(timed: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    path = timed_recipe(timed[0], 'kind = "time"\nvalidation_from = 5\ntest_from = 6\n')
    with pytest.raises(DataError, match=r"(?s)domain 'a'.*no interaction for training"):
        prepare(path, tmp_path / "out")


def test_split_without_a_test_is_named_where_it_is_asked_for(timed: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    path = timed_recipe(timed[0], 'kind = "time"\nvalidation_from = 1_500_100_000\ntest_from = 2_000_000_000\n')
    prepare(path, tmp_path / "out")
    assert len(open_prepared(tmp_path / "out").validation()) == 2
    with pytest.raises(DataError, match="no interaction for test"):
        open_sealed(tmp_path / "out")


def test_prepared_set_of_an_earlier_schema_is_refused(timed: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    manifest = {"kind": "prepared", "schema": 1, "fingerprint": "", "code_version": "0", "created": 0.0}
    manifest.update({name: {} for name in ("inputs", "settings", "facts", "files")})
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match="prepared, schema 1"):
        open_prepared(tmp_path / "out")
