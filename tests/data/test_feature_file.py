from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raymm.data import layout
from raymm.data.feature_file import FeatureFile
from raymm.data.modality import Modality
from raymm.errors import DataError

IDS = pa.array(["a", "b", "c", "d", "e"])
ALL = np.ones(5, dtype=bool)


def values() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


def opened(folder: Path, width: int = 3, **settings: Any) -> FeatureFile:
    modality = Modality(name="m", encoder="vectors", path="x.npy", **{"max_missing": 0.5, **settings})
    return FeatureFile(folder, "books", modality, IDS, width)


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    found, present = (np.load(path) for path in layout.feature_files(folder, "books", "m"))
    return found, present


def test_rows_stand_at_the_number_of_their_item(tmp_path: Path) -> None:
    file = opened(tmp_path)
    order = np.array([4, 0, 2, 1, 3])
    file.put(order[:2], values()[order[:2]], ALL[:2])
    file.put(order[2:], values()[order[2:]], np.array([True, True, False]))
    assert file.finish("gone") == [("d", "gone")]
    found, present = read(tmp_path)
    assert present.tolist() == [True, True, True, False, True]
    np.testing.assert_array_equal(found[present], values()[present])
    np.testing.assert_allclose(found[3], values()[present].mean(axis=0), rtol=1e-5)


def test_half_precision_and_unit_length_are_stored(tmp_path: Path) -> None:
    file = opened(tmp_path, dtype="float16", l2=True)
    file.put(np.arange(5), values() * 1e6, ALL)
    assert file.finish("") == []
    found, _ = read(tmp_path)
    assert found.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(found.astype(np.float64), axis=1), 1, atol=2e-3)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e5])
def test_a_number_that_cannot_be_stored_names_its_items(tmp_path: Path, wrong: float) -> None:
    bad = values()
    bad[[1, 3], 2] = wrong
    file = opened(tmp_path, dtype="float16")
    with pytest.raises(DataError, match=r"(?s)in 2 vectors: items \['b', 'd'\].*float16"):
        file.put(np.arange(5), bad, ALL)
    file.put(np.arange(5), bad, ~np.isin(np.arange(5), [1, 3]))  # nobody looks at what is missing


def test_another_width_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)vectors of 3 columns.*dimension = 4"):
        opened(tmp_path, dimension=4)
    with pytest.raises(DataError, match=r"\(5, 2\) for items such as \['a', 'b'"):
        opened(tmp_path).put(np.arange(5), values()[:, :2], ALL)


def test_too_many_missing_are_an_error(tmp_path: Path) -> None:
    file = opened(tmp_path, max_missing=0.2)
    file.put(np.arange(4), values()[:4], np.arange(4) < 3, ["", "", "", "a torn page"])
    with pytest.raises(DataError, match=r"2 of 5 items without 'm', for example \['d', 'e'\]; 1 x a torn page"):
        file.finish("")


def test_noise_has_the_length_asked_for_and_hangs_on_the_item_alone(tmp_path):
    ids, rng = pa.array([f"i{n}" for n in range(40)]), np.random.default_rng(0)
    values = rng.standard_normal((40, 24)).astype(np.float32)
    made = []
    for name, order in (("one", np.arange(40)), ("two", rng.permutation(40))):
        modality = Modality("text", "vectors", path="x.npy", noise=0.5)
        file = FeatureFile(tmp_path / name, "d", modality, ids, 24)
        for part in np.array_split(order, 3):
            file.put(part, values[part], np.ones(len(part), bool))
        file.put(order[:2], values[order[:2]], np.zeros(2, bool))  # nobody has it: nothing is drawn
        file.finish("")
        made.append(np.load(layout.feature_files(tmp_path / name, "d", "text")[0]))
    np.testing.assert_array_equal(*made)
    lengths = np.linalg.norm(made[0] - values, axis=1) / np.linalg.norm(values, axis=1)
    np.testing.assert_allclose(lengths, 0.5, rtol=1e-5)
