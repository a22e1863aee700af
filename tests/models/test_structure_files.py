"""Structures that are written come back as they were, and two who write the same do not disturb one another."""

import numpy as np
import pytest
from scipy import sparse

from raymm.errors import ArtefactError
from raymm.models.spec import Structure
from raymm.models.structure_files import open_structure, write_structure


def test_what_was_written_comes_back_and_who_comes_second_leaves_it(tmp_path):
    matrix = sparse.random_array((30, 20), density=0.2, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    structure = Structure({"items.text": matrix}, {"edges": 3.0})
    folder = tmp_path / "arts-x"
    for _ in range(2):
        write_structure(structure, folder, {"a": "b"}, {}, 1.0)
    found = open_structure(folder)
    assert (found.matrices["items.text"] != matrix).nnz == 0
    assert found.matrices["items.text"].dtype == np.float32
    assert found.facts == {"edges": 3.0}
    assert [path.name for path in tmp_path.iterdir()] == ["arts-x"]
    nowhere = tmp_path / "file"
    nowhere.touch()
    with pytest.raises(ArtefactError, match="directory") as caught:
        write_structure(structure, nowhere / "arts-x", {}, {}, 1.0)
    assert "scale.structures" in caught.value.remedy
