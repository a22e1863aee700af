"""Ids are texts as they stand in the file; what cannot be used is named with its row."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from raymm.errors import DataError
from raymm.verbs.id_lists import read_items, read_users


def test_ids_keep_zeros_and_words_that_mean_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('user\n007\nNA\n"with, comma"\n007\n', encoding="utf-8-sig")
    assert read_users(tmp_path / "a.csv")["user"].tolist() == ["007", "NA", "with, comma"]
    (tmp_path / "a.txt").write_text("007\n\n  nan \n", encoding="utf-8-sig")
    assert read_users(tmp_path / "a.txt")["user"].tolist() == ["007", "nan"]
    pd.DataFrame({"item": [7, 8, 7]}).to_parquet(tmp_path / "a.parquet")
    assert read_items(tmp_path / "a.parquet") == ("7", "8")


def test_a_user_may_be_asked_for_in_one_domain(tmp_path: Path) -> None:
    pd.DataFrame({"user": ["a", "a", "b"], "domain": ["arts", None, ""]}).to_parquet(tmp_path / "a.parquet")
    assert read_users(tmp_path / "a.parquet").to_numpy().tolist() == [["a", "arts"], ["a", ""], ["b", ""]]
    table = pd.DataFrame({"user": ["a", "b"], "domain": pd.Categorical([None, "arts"])})
    table.to_parquet(tmp_path / "b.parquet")
    assert read_users(tmp_path / "b.parquet").to_numpy().tolist() == [["a", ""], ["b", "arts"]]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", b"[]", "'.json'"),
        ("missing.csv", None, "no such file"),
        ("a.csv", b"", "unreadable"),
        ("a.csv", b"user\n", "no rows"),
        ("a.csv", b"customer\na\n", "customer"),
        ("a.csv", b"user,age\na,1\n", "age"),
        ("a.csv", b'user\na\n""\n', "row 2"),
        ("a.csv", b"user\na\nb,arts\n", "2 fields in row 2"),
        ("a.csv", b"user,domain\na\n", "1 fields in row 1"),
        ("a.csv", b"user\n\xff\xfe\n", "unreadable"),
        ("a.txt", b"\xff\xfe\n", "unreadable"),
        ("a.txt", b"\n\n", "no rows"),
        ("a.parquet", b"PAR1", "unreadable"),
    ],
)
def test_what_is_no_list_of_users_is_named(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_users(tmp_path / name)


def test_numbers_that_are_not_whole_are_no_ids(tmp_path: Path) -> None:
    pd.DataFrame({"user": [1.0, None]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="1.0 in row 1 and 1 more"):
        read_users(tmp_path / "a.parquet")
