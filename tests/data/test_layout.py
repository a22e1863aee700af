from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.data import layout


@pytest.mark.ray
def test_files_of_a_prepared_folder_all_have_a_place(prepared_sample: Path) -> None:
    expected = {layout.shared_file(prepared_sample), layout.true_pairs_file(prepared_sample)}
    expected |= {layout.set_aside_file(prepared_sample), prepared_sample / "manifest.json"}
    for domain in ("arts", "office"):
        expected |= {place(prepared_sample, domain) for place in (layout.users_file, layout.items_file)}
        expected |= {place(prepared_sample, domain) for place in (layout.validation_file, layout.sealed_file)}
        expected.add(layout.train_file(prepared_sample, domain, 0))
        expected |= {layout.graph_file(prepared_sample, domain, array) for array in ("starts", "items", "ones")}
        for modality in ("title", "text"):
            expected.update(layout.feature_files(prepared_sample, domain, modality))
    assert {path for path in prepared_sample.rglob("*") if path.is_file()} == expected


def test_tables_are_written_in_the_order_and_types_of_their_schema(tmp_path: Path) -> None:
    ids = {"item": pa.array([1], type=pa.int32()), "more": ["x"], "user": pa.array([2], type=pa.int8())}
    table = pa.table({**ids, "time": [None], "rating": [4]})
    path = tmp_path / "deep" / "table.parquet"
    layout.write_table(path, table, layout.HELD_OUT)
    assert pq.read_schema(path).equals(layout.HELD_OUT)
    with pytest.raises(KeyError):
        layout.write_table(path, table, layout.PAIRS)
