import numpy as np
import pyarrow.parquet as pq
import pytest

from raymm.data.embeddings import read_embeddings
from raymm.data.prepared import open_prepared
from raymm.errors import ArtefactError, DataError
from raymm.verbs.export import export_users

pytestmark = pytest.mark.ray


def test_users_of_a_run_are_what_a_matching_reads(trained, tmp_path):
    folder, prepared = trained.folder, open_prepared(trained.folder.prepared)
    for domain in folder.domains:
        output = tmp_path / f"{domain}.parquet"
        count = export_users(folder.folder, domain, output)
        read = read_embeddings(output)
        users = folder.scorers()[domain].users.numpy()
        assert 0 < count == len(read.ids) <= len(users)
        place = {name: row for row, name in enumerate(prepared.user_ids(domain))}
        rows = [place[name] for name in read.ids.to_pylist()]
        np.testing.assert_array_equal(read.vectors, users[rows])
        assert pq.read_schema(output).names == ["id", "vector"]


def test_what_cannot_be_exported_is_refused(trained, tmp_path):
    folder = trained.folder.folder
    with pytest.raises(DataError, match="2 domains"):
        export_users(folder, None, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="'books'"):
        export_users(folder, "books", tmp_path / "a.parquet")
    (tmp_path / "there.parquet").write_text("mine")
    with pytest.raises(ArtefactError, match="not there yet"):
        export_users(folder, "arts", tmp_path / "there.parquet")
    with pytest.raises(ArtefactError):
        export_users(tmp_path, "arts", tmp_path / "a.parquet")
