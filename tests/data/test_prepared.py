from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from raymm.data.prepared import open_prepared
from raymm.data.sealed import open_sealed, open_sealed_ratings
from raymm.errors import ArtefactError, DataError

pytestmark = pytest.mark.ray


def test_counts_of_the_manifest_are_those_of_the_tables(prepared_sample: Path) -> None:
    prepared = open_prepared(prepared_sample)
    assert [facts.name for facts in prepared.domains] == ["arts", "office"]
    data = prepared.train_data()
    for facts, domain in zip(prepared.domains, data.domains, strict=True):
        assert (domain.n_users, domain.n_items) == (facts.n_users, facts.n_items)
        assert domain.interactions.nnz == facts.n_train > 10_000
        assert len(prepared.user_ids(facts.name)) == facts.n_users
        assert len(prepared.item_ids(facts.name)) == len(prepared.titles(facts.name)) == facts.n_items
        assert set(domain.features) == {"title", "text"}
        assert domain.interactions.has_sorted_indices


def test_rows_are_numbered_in_canonical_order(prepared_sample: Path) -> None:
    prepared = open_prepared(prepared_sample)
    for facts in prepared.domains:
        table = pq.read_table(list(prepared.train_files(facts.name))).to_pandas()
        np.testing.assert_array_equal(table["row"], np.arange(facts.n_train))
        np.testing.assert_array_equal(np.lexsort((table["order"], table["user"])), np.arange(facts.n_train))
        assert not table.duplicated(["user", "item"]).any()


def test_training_validation_and_test_are_disjoint_and_complete(prepared_sample: Path) -> None:
    prepared = open_prepared(prepared_sample)
    for facts, validation, sealed in zip(
        prepared.domains, prepared.validation(), open_sealed(prepared_sample), strict=True
    ):
        train = prepared.train_data("none").domain(facts.name).interactions
        assert len(validation.users) > 2_000
        np.testing.assert_array_equal(validation.users, sealed.users)
        assert (train[validation.users] != validation.hidden).nnz == 0
        assert validation.targets.multiply(validation.hidden).nnz == 0
        assert sealed.targets.multiply(sealed.hidden).nnz == 0
        assert (sealed.hidden != validation.hidden + validation.targets).nnz == 0
        assert set(np.diff(sealed.targets.indptr)) == {1}


def test_known_pairs_are_drawn_from_the_true_ones(prepared_sample: Path) -> None:
    prepared = open_prepared(prepared_sample)
    first, second = prepared.user_ids("arts"), prepared.user_ids("office")
    true = prepared.train_data("true").shared
    drawn = prepared.train_data().shared
    assert len(true) > 2_000
    np.testing.assert_array_equal(first[true[:, 0]], second[true[:, 1]])
    assert {tuple(pair) for pair in drawn.tolist()} < {tuple(pair) for pair in true.tolist()}
    assert len(drawn) == round(0.9 * len(true))
    assert prepared.train_data("none").shared.shape == (0, 2)
    marks = [prepared.train_data(known).fingerprint for known in ("drawn", "none", "true", "shuffled")]
    assert marks[0] == prepared.fingerprint
    assert len(set(marks)) == 4


def test_shuffled_pairs_keep_the_users_and_break_every_pair(prepared_sample: Path) -> None:
    prepared = open_prepared(prepared_sample)
    drawn, shuffled = prepared.train_data().shared, prepared.train_data("shuffled").shared
    assert not (drawn == shuffled)[:, 1].any()
    np.testing.assert_array_equal(drawn[:, 0], shuffled[:, 0])
    np.testing.assert_array_equal(np.sort(drawn[:, 1]), np.sort(shuffled[:, 1]))
    np.testing.assert_array_equal(shuffled, prepared.train_data("shuffled").shared)


def test_numbers_of_users_do_not_tell_who_is_whom(prepared_sample: Path) -> None:
    true = open_prepared(prepared_sample).train_data("true").shared
    assert abs(np.corrcoef(true[:, 0], true[:, 1])[0, 1]) < 0.1


def test_matrices_are_mapped_and_hold_what_the_shards_hold(prepared_sample: Path) -> None:
    prepared = open_prepared(prepared_sample)
    for domain in prepared.train_data().domains:
        rows = pq.read_table(list(prepared.train_files(domain.name))).to_pandas()
        rows = rows.sort_values(["user", "item"])
        matrix = domain.interactions
        np.testing.assert_array_equal(matrix.indices, rows["item"])
        np.testing.assert_array_equal(np.repeat(np.arange(domain.n_users), np.diff(matrix.indptr)), rows["user"])
        assert (matrix.data == 1).all()
        for array in (matrix.data, matrix.indices, matrix.indptr):
            held = array
            while not isinstance(held, np.memmap):
                held = held.base
            assert str(held.filename).startswith(str(prepared_sample))


def test_sample_has_no_ratings_to_predict(prepared_sample: Path) -> None:
    with pytest.raises(DataError, match="held-out interactions without a rating"):
        open_prepared(prepared_sample).rating_validation()
    with pytest.raises(DataError, match="held-out interactions without a rating"):
        open_sealed_ratings(prepared_sample)


def test_features_are_mapped_and_read_only(prepared_sample: Path) -> None:
    feature = open_prepared(prepared_sample).train_data().domain("arts").features["title"]
    assert isinstance(feature.values, np.memmap)
    assert feature.values.dtype == np.float32
    assert np.isfinite(feature.values).all()
    with pytest.raises(ValueError, match="read-only"):
        feature.values[0, 0] = 1.0


def test_unknown_domain_names_those_that_are_there(prepared_sample: Path) -> None:
    with pytest.raises(DataError, match="'arts', 'office'"):
        open_prepared(prepared_sample).user_ids("music")


def test_one_who_knows_some_modalities_sees_these_alone(prepared_sample: Path) -> None:
    prepared = open_prepared(prepared_sample)
    known = prepared.knowing(["text"])
    assert [set(domain.features) for domain in known.train_data().domains] == [{"text"}, {"text"}]
    assert known.fingerprint == prepared.fingerprint
    with pytest.raises(DataError, match="one of text, title"):
        prepared.knowing(["text", "sound"])


def test_folder_of_another_schema_is_refused(prepared_sample: Path, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    manifest = json.loads((prepared_sample / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))
    with pytest.raises(ArtefactError, match="schema 99"):
        open_prepared(folder)


def test_missing_feature_file_is_an_error(prepared_sample: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared_sample, tmp_path / "copy")
    (folder / "domains" / "arts" / "features" / "title.npy").unlink()
    with pytest.raises(ArtefactError, match="title"):
        open_prepared(folder).train_data()


def test_name_that_leads_out_of_the_folder_is_refused(prepared_sample: Path, tmp_path: Path) -> None:
    text = (prepared_sample / "manifest.json").read_text()
    for key, name in (("name", "../arts"), ("modalities", ["../text"])):
        values = json.loads(text)
        values["facts"]["domains"][0][key] = name
        (tmp_path / "manifest.json").write_text(json.dumps(values))
        with pytest.raises(ArtefactError, match=r"(?s)'\.\./.*do not use this copy"):
            open_prepared(tmp_path)
