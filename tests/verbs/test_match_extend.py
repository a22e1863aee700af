import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm import artefacts
from raymm.errors import ArtefactError, ConfigError, DataError
from raymm.verbs.match import match_files
from raymm.verbs.match_extend import ExtendRequest, extend_matching
from tests.verbs.matching import request

WAYS = {
    "profile": {"epsilon": 0.05, "marginals": "balanced"},
    "hellinger": {"epsilon": 0.05, "relation": "hellinger", "omega": 0.5, "precision": "float64"},
}
EXACT = {"tolerance": 1e-6, "target_gap": 1e-6}


@pytest.mark.parametrize("name", WAYS)
def test_a_user_of_the_solve_gets_the_row_that_the_solve_gave_him(tmp_path, name):
    asked = dataclasses.replace(request(tmp_path), values={**WAYS[name], "partition": EXACT}, choose=False)
    match_files(asked)
    everybody = pq.read_table(asked.source)
    some = everybody.slice(100, 40)  # in no known pair
    pq.write_table(some, tmp_path / "new.parquet")
    found = extend_matching(ExtendRequest(asked.output, tmp_path / "new.parquet", tmp_path / "late"))
    assert (found.users, found.candidates) == (40, 200)
    artefacts.verify(found.folder, artefacts.read_manifest(found.folder, "new_matches", 1))
    late, solved = (pq.read_table(folder / "partners").to_pandas() for folder in (found.folder, asked.output))
    solved = solved[solved.source_id.isin(some["id"].to_pylist())]
    assert len(late) == len(solved) > 100
    assert not late.known.any()
    both = late.merge(solved, on=["source_id", "target_id"])
    assert len(both) > 0.99 * len(late)
    np.testing.assert_allclose(both.weight_x, both.weight_y, atol=1e-4)
    best = [part[part["rank"] == 1].set_index("source_id").target_id.sort_index() for part in (late, solved)]
    assert (best[0] == best[1]).mean() > 0.95


def test_what_does_not_fit_is_refused(tmp_path):
    asked = dataclasses.replace(request(tmp_path), values={"epsilon": 0.05}, choose=False)
    match_files(asked)
    vectors = {"id": ["new"], "vector": [[1.0, 2.0]]}
    pq.write_table(pa.table(vectors), tmp_path / "narrow.parquet")
    ask = ExtendRequest(asked.output, asked.source, tmp_path / "late")
    with pytest.raises(DataError, match="16, as in the matching"):
        extend_matching(dataclasses.replace(ask, source=tmp_path / "narrow.parquet"))
    with pytest.raises(ConfigError, match="top_k 0"):
        extend_matching(dataclasses.replace(ask, top_k=0))
    with pytest.raises(ArtefactError):
        extend_matching(dataclasses.replace(ask, matching=tmp_path))
    assert not ask.output.exists()
    extend_matching(dataclasses.replace(ask, top_k=3))
    assert pq.read_table(ask.output / "partners").to_pandas()["rank"].max() == 3
    with pytest.raises(ArtefactError, match="content"):
        extend_matching(ask)
    (tmp_path / "all").mkdir()
    known = dataclasses.replace(request(tmp_path / "all", 40, 40, 40, 40), choose=False)
    match_files(known)
    with pytest.raises(ArtefactError, match="fewer known pairs"):
        extend_matching(dataclasses.replace(ask, matching=known.output, output=tmp_path / "none"))
