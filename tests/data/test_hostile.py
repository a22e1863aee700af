"""Input that nobody wants, and what each gives: a row set aside with its reason, or an error that names the file."""

from __future__ import annotations

import ast
import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.data.formats.reader import BROKEN, cut_source, read_fields
from raymm.data.formats.reading import settle
from raymm.data.formats.sniff import look
from raymm.data.recipe import Recipe
from raymm.data.rows import Fate, interaction_rows
from raymm.data.storage import locate
from raymm.errors import ConfigError, DataError
from tests.data.recipes import recipe

COLUMNS = {"user": "user", "item": "item", "rating": "rating", "time": "time"}
HEADER = "user\titem\trating\ttime\n"


def settings_of(name: str, source: dict[str, Any], **settings: Any) -> Recipe:
    values: dict[str, Any] = {"path": name, "columns": COLUMNS, **source}
    return recipe(domains=["a"], split={"by": "line"}, items=[], interactions=[values], **settings)


def parse(folder: Path, name: str, data: bytes | None, piece_bytes: int = 2**20, **source: Any) -> list[dict[str, Any]]:
    """Write a file, and read it as a preparation does."""
    cleaning = source.pop("cleaning", {})
    if data is not None:
        (folder / name).write_bytes(data)
    settings = settings_of(name, source, cleaning=cleaning)
    path = locate(folder / "recipe.toml", name)
    reading = settle(settings.interactions[0], "interactions", look(path), [], longest=settings.cleaning.longest_line)
    reading = dataclasses.replace(reading, domain="a")
    rows: list[dict[str, Any]] = []
    for number, piece in enumerate(cut_source(0, path, reading, piece_bytes)):
        for fields in read_fields(piece, reading, piece_bytes):
            rows.extend(interaction_rows(fields, settings, reading, 0, number).to_pylist())
    return rows


def reasons(rows: list[dict[str, Any]]) -> list[str | None]:
    assert rows
    assert all((row["fate"] == Fate.MALFORMED) == (row["reason"] is not None) for row in rows)
    return [row["reason"] for row in rows]


def test_truncated_gzip_breaks_off_as_an_error(tmp_path: Path) -> None:
    text = HEADER + "".join(f"u{n}\ti{n * 7919 % 1000}\t3\t{n}\n" for n in range(100_000))
    with pytest.raises(BROKEN, match="end-of-stream marker"):
        parse(tmp_path, "rows.tsv.gz", gzip.compress(text.encode())[:-2_000])
    broken = bytearray(gzip.compress(text.encode()))
    broken[len(broken) // 2] ^= 0xFF
    with pytest.raises(BROKEN):
        parse(tmp_path, "rows.tsv.gz", bytes(broken))
    with pytest.raises(DataError, match="cannot be read"):
        parse(tmp_path, "rows.tsv.gz", b"user\titem\n")


def test_packed_file_without_its_ending_is_unpacked(tmp_path: Path) -> None:
    assert reasons(parse(tmp_path, "rows.tsv", gzip.compress((HEADER + "u\ti\t1\t2\n").encode()))) == [None]


def test_wrong_delimiter_names_what_the_header_has(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)no column 'user'; columns: 'user,item,rating,time'.*delimiter"):
        parse(tmp_path, "rows.tsv", b"user,item,rating,time\nu,i,1,2\n")
    rows = parse(tmp_path, "rows.tsv", b"u,i,1,2\n", layout={"names": ["user", "item", "rating", "time"]})
    assert reasons(rows) == ["1 fields where the header has 4"]


def test_mixed_encodings_are_set_aside_line_by_line(tmp_path: Path) -> None:
    data = HEADER.encode() + "ü\ti\t1\t2\n".encode() + "ü\ti\t1\t2\n".encode("latin-1") + b"u\ti\t1\t2\n"
    rows = parse(tmp_path, "rows.tsv", data)
    assert reasons(rows) == [None, "bytes that the encoding does not have", None]
    assert rows[1]["text"].startswith("\\xfc")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_refused_by_name(tmp_path: Path, encoding: str) -> None:
    text = HEADER + "u\ti\t1\t2\n"
    data = text.encode(encoding) if encoding == "utf-16" else b"\xfe\xff" + text.encode(encoding)
    with pytest.raises(DataError, match=r"(?s)UTF-16.*convert it"):
        parse(tmp_path, "rows.tsv", data)


def test_byte_order_mark_and_line_ends_of_windows_are_no_part_of_a_field(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + (HEADER + "u\ti\t1\t2\n").replace("\n", "\r\n").encode()
    (row,) = parse(tmp_path, "rows.tsv", data)
    assert (row["user"], row["time"]) == ("u", 2)


def test_nul_bytes_set_their_line_aside(tmp_path: Path) -> None:
    rows = parse(tmp_path, "rows.tsv", (HEADER + "u\0\ti\t1\t2\nu\ti\t1\t2\n").encode())
    assert reasons(rows) == ["a NUL byte", None]
    line = json.dumps({"user": "u\0", "item": "i"})
    assert reasons(parse(tmp_path, "rows.jsonl", line.encode(), columns={"user": "user", "item": "item"})) == [
        "user id with a NUL character"
    ]


@pytest.mark.parametrize("rating", ["nan", "inf", "-inf", "1e999", "NaN", "Infinity", "five", "0x5"])
def test_rating_that_is_no_finite_number_is_set_aside(tmp_path: Path, rating: str) -> None:
    rows = parse(tmp_path, "rows.tsv", (HEADER + f"u\ti\t{rating}\t2\nu\tj\t5\t2\n").encode())
    assert reasons(rows) == ["rating is no finite number", None]
    lines = "".join(f'{{"user": "u", "item": "i", "rating": {value}, "time": 2}}\n' for value in (5, rating))
    good, bad = parse(tmp_path, "rows.jsonl", lines.encode())
    assert (good["fate"], bad["fate"]) == (Fate.TAKEN, Fate.MALFORMED)


@pytest.mark.parametrize("time", ["-1", "4102444801", "1600000000000", "1e300"])
def test_time_before_1970_or_after_the_limit_is_set_aside(tmp_path: Path, time: str) -> None:
    (row,) = parse(tmp_path, "rows.tsv", (HEADER + f"u\ti\t1\t{time}\n").encode())
    assert row["reason"].startswith("time out of range: s since 1970")


def test_limit_and_unit_of_times_can_be_set(tmp_path: Path) -> None:
    text = HEADER + "u\ti\t1\t1600000000000\nu\ti\t1\t1600000001000\n"
    rows = parse(tmp_path, "rows.tsv", text.encode(), time_unit="ms", cleaning={"latest_time": 1_600_000_000})
    assert [row["time"] for row in rows] == [1_600_000_000, None]


def test_ids_with_spaces_quotes_unicode_and_formulas_stay_as_they_are(tmp_path: Path) -> None:
    ids = [" a b ", "'", '"q"', "漢字😀", "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "NULL", "nan", "007"]
    text = HEADER + "".join(f"{name}\t{name}\t1\t2\n" for name in ids)
    rows = parse(tmp_path, "rows.tsv", text.encode())
    assert reasons(rows) == [None] * len(ids)
    assert [row["user"] for row in rows] == [row["item"] for row in rows] == ids
    lines = "".join(json.dumps({"user": name, "item": name}) + "\n" for name in ids)
    rows = parse(tmp_path, "rows.jsonl", lines.encode(), columns={"user": "user", "item": "item"})
    assert [row["user"] for row in rows] == ids


def test_empty_files_and_files_without_lines_are_errors(tmp_path: Path) -> None:
    for name, data in (("rows.tsv", b""), ("rows.jsonl", b""), ("rows.tsv.gz", gzip.compress(b""))):
        with pytest.raises(DataError, match="an empty file"):
            parse(tmp_path, name, data)
    with pytest.raises(DataError, match="no column 'user'"):
        parse(tmp_path, "rows.tsv", b"\n\n\r\n")
    assert parse(tmp_path, "rows.tsv", HEADER.encode()) == []


def test_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "secret.tsv").write_text(HEADER + "u\ti\t1\t2\n")
    (folder / "rows.tsv").symlink_to(tmp_path / "secret.tsv")
    with pytest.raises(DataError, match="a file within"):
        parse(folder, "rows.tsv", None)


def test_line_of_a_hundred_megabytes_is_set_aside_with_its_length(tmp_path: Path) -> None:
    with (tmp_path / "rows.tsv").open("wb") as stream:
        stream.write((HEADER + "u\ti\t1\t2\n").encode())
        for _ in range(100):
            stream.write(b"x" * 10**6)
        stream.write(b"\nu\tj\t1\t3\n")
    rows = parse(tmp_path, "rows.tsv", None, piece_bytes=2**24)
    assert reasons(rows) == [None, "a line of 100,000,000 bytes", None]
    assert len(rows[1]["text"]) == 500
    assert [row["item"] for row in rows[::2]] == ["i", "j"]


def test_first_line_without_an_end_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no line ends within"):
        parse(tmp_path, "rows.tsv", b"x" * 2**20)


@pytest.mark.parametrize(
    "line",
    ["[" * 100_000, '{"user": ' * 50_000, "nonsense", '{"user": "u"', "[1, 2]", '"text"', "9" * 5_000, "{'user': 'u'}"],
)
def test_line_that_is_no_json_object_is_set_aside(tmp_path: Path, line: str) -> None:
    good = json.dumps({"user": "u", "item": "i", "rating": 5, "time": 7})
    rows = parse(tmp_path, "rows.jsonl", f"{good}\n{line}\n{good}\n".encode())
    assert [row["fate"] for row in rows] == [Fate.TAKEN, Fate.MALFORMED, Fate.TAKEN]
    assert rows[1]["text"] == line[:500]


@pytest.mark.parametrize(
    "line",
    [
        "__import__('os').system('touch {spy}')",
        "{{'user': open('{spy}', 'w').name, 'item': 'i'}}",
        "{{'user': 'u', 'item': (lambda: open('{spy}', 'w'))()}}",
        "(" * 100_000,
        "-" * 100_000 + "1",
        "{{'user': 'u'}}['user'].format(0)",
    ],
)
def test_literals_are_never_run(tmp_path: Path, line: str) -> None:
    spy = tmp_path / "spy"
    good = "{'user': 'u', 'item': 'i', 'rating': 5.0, 'time': 7}"
    assert isinstance(ast.literal_eval(good), dict)
    data = f"{good}\n{line.format(spy=spy) if 'spy' in line else line}\n".encode()
    rows = parse(tmp_path, "rows.txt", data)
    assert [row["fate"] for row in rows] == [Fate.TAKEN, Fate.MALFORMED]
    assert not spy.exists()


def test_half_a_surrogate_in_json_neither_stops_nor_leaks(tmp_path: Path) -> None:
    text = '{"user": "\\ud800x", "item": "i"}\n{"user": "u", "item": "i"}\n'
    rows = parse(tmp_path, "rows.jsonl", text.encode(), columns={"user": "user", "item": "item"})
    assert [row["user"] for row in rows] == ["?x", "u"]


def test_ids_of_parquet_that_became_fractions_are_set_aside(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user": [1.0, 2.0], "item": ["i", "j"]}), tmp_path / "rows.parquet")
    rows = parse(tmp_path, "rows.parquet", None, columns={"user": "user", "item": "item"})
    assert set(reasons(rows)) == {"user id is a fraction: text or whole numbers are expected"}
    data = (tmp_path / "rows.parquet").read_bytes()
    with pytest.raises(DataError, match="Parquet file that cannot be read"):
        parse(tmp_path, "broken.parquet", data[:-20], columns={"user": "user", "item": "item"})


@pytest.mark.parametrize("path", ["s3://key:secret@bucket/x.tsv", "https://host/x.tsv", "gs://b/x?token=secret"])
def test_url_with_credentials_or_of_unknown_kind_is_refused_without_repeating_it(path: str) -> None:
    with pytest.raises(ConfigError, match="path: found a URL") as caught:
        settings_of("x", {"path": path})
    assert "secret" not in str(caught.value)
