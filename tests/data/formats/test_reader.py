from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from raymm.data.formats.known import INTERACTION_FORMATS, ITEM_FORMATS
from raymm.data.formats.reader import count_places, cut_source, read_fields
from raymm.data.formats.reading import settle
from raymm.data.formats.sniff import look
from raymm.data.rows import Fate, interaction_rows, item_rows, modality_column
from raymm.data.source import InteractionSource, ItemSource
from tests.data.formats.samples import SAMPLES, Sample
from tests.data.recipes import recipe


def read(path: Path, sample: Sample, name: str, piece_bytes: int = 10**6) -> tuple[str, pa.Table]:
    """Read a sample in pieces; return the format it was read as, and its typed rows."""
    texts = [column for column in sample.first if column not in ("item", "title")] if sample.kind == "items" else []
    features = [{"name": f"m{number}", "column": column} for number, column in enumerate(texts)]
    source = {"path": path.name, "format": name}
    settings = recipe(
        domains=["a"],
        split={"by": "line"},
        interactions=[source if sample.kind == "interactions" else {"path": "x"}],
        items=[source] if sample.kind == "items" else [],
        features=features,
    )
    made: InteractionSource | ItemSource
    made = settings.interactions[0] if sample.kind == "interactions" else settings.items[0]
    reading = settle(made, sample.kind, look(str(path)), texts)
    reading = type(reading)(**{**vars(reading), "domain": "a"})
    parse = interaction_rows if sample.kind == "interactions" else item_rows
    tables, first = [], 0
    for number, piece in enumerate(cut_source(0, str(path), reading, piece_bytes)):
        places = 0
        for fields in read_fields(piece, reading, piece_bytes):
            places = max([places, *(int(line) + 1 for line in fields.lines)])
            tables.append(parse(fields, settings, reading, 0, number))
        assert count_places(piece, reading, piece_bytes) >= places
        first += places
    return reading.format, pa.concat_tables(tables)


@pytest.mark.parametrize("named", [False, True], ids=["recognised", "named"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample.form}-{sample.kind}")
def test_every_known_format_is_read(tmp_path: Path, sample: Sample, named: bool) -> None:
    path = tmp_path / sample.name
    path.write_bytes(gzip.compress(sample.data) if sample.name.endswith(".gz") else sample.data)
    form, table = read(path, sample, sample.form if named else "auto")
    assert form == sample.form
    rows = table.to_pylist()
    assert [row["fate"] for row in rows] == [Fate.TAKEN] * sample.rows
    known = ("item", "title") if sample.kind == "items" else tuple(sample.first)
    assert {name: rows[0][name] for name in known} == {name: sample.first[name] for name in known}
    texts = [column for column in sample.first if column not in known]
    assert [rows[0][modality_column(f"m{number}")] for number in range(len(texts))] == [
        sample.first[column] for column in texts
    ]


def test_there_is_a_sample_of_every_known_format() -> None:
    known = {(one.name, one.kind) for one in (*INTERACTION_FORMATS, *ITEM_FORMATS)}
    assert {(sample.form, sample.kind) for sample in SAMPLES} == known


@pytest.mark.parametrize("form", ["amazon_2014", "movielens_1m", "mmrec", "amazon_2014_ratings"])
def test_pieces_give_the_rows_of_the_whole(tmp_path: Path, form: str) -> None:
    (sample,) = (one for one in SAMPLES if one.form == form and one.kind == "interactions")
    path = tmp_path / sample.name.removesuffix(".gz")
    path.write_bytes(sample.data)
    whole = read(path, sample, form)[1].drop_columns(["piece", "line"])
    for piece_bytes in (7, 30, 200):
        assert read(path, sample, form, piece_bytes)[1].drop_columns(["piece", "line"]).equals(whole)
    assert len(whole) == sample.rows
