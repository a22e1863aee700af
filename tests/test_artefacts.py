"""Artefacts: written whole or not at all, and recognised by what they say of themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from raymm import artefacts
from raymm.artefacts import MANIFEST, fingerprint, read_manifest, verify, writing
from raymm.errors import ArtefactError


def _write(folder, content: str = "one", settings: dict | None = None, replace: bool = False):
    with writing(folder, "thing", 1, {"raw": "abc"}, settings or {"x": 1}, replace) as (draft, facts):
        (draft / "sub").mkdir()
        (draft / "sub" / "a.txt").write_text(content)
        facts["count"] = 3
    return read_manifest(folder, "thing", 1)


def test_an_artefact_says_what_it_is(tmp_path) -> None:
    manifest = _write(tmp_path / "thing")
    assert (manifest.kind, manifest.schema, manifest.facts) == ("thing", 1, {"count": 3})
    assert manifest.inputs == {"raw": "abc"}
    assert list(manifest.files) == ["sub/a.txt"]
    verify(tmp_path / "thing", manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_a_failure_leaves_nothing_behind(tmp_path) -> None:
    def fail() -> None:
        with writing(tmp_path / "thing", "thing", 1, {}, {}) as (draft, _):
            (draft / "a.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_what_was_there(tmp_path) -> None:
    before = _write(tmp_path / "thing")

    def fail() -> None:
        with writing(tmp_path / "thing", "thing", 1, {}, {}, replace=True):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read_manifest(tmp_path / "thing", "thing", 1) == before
    verify(tmp_path / "thing", before)


def test_content_is_not_overwritten_unless_asked(tmp_path) -> None:
    _write(tmp_path / "thing")
    with pytest.raises(ArtefactError, match="a folder with content"):
        _write(tmp_path / "thing", "two")
    _write(tmp_path / "thing", "two", replace=True)
    assert (tmp_path / "thing" / "sub" / "a.txt").read_text() == "two"
    (tmp_path / "empty").mkdir()
    _write(tmp_path / "empty")


def test_what_somebody_else_wrote_meanwhile_is_kept(tmp_path) -> None:
    with pytest.raises(ArtefactError, match="meanwhile"), writing(tmp_path / "thing", "toy", 1, {}, {}):
        _write(tmp_path / "thing", "theirs")
    assert (tmp_path / "thing" / "sub" / "a.txt").read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


@pytest.mark.parametrize("replace", [False, True])
def test_a_file_in_the_way_is_named_and_kept(replace: bool, tmp_path) -> None:
    (tmp_path / "thing").write_text("a file of mine")
    with pytest.raises(ArtefactError) as error:
        _write(tmp_path / "thing", replace=replace)
    assert error.value.where == str(tmp_path / "thing")
    assert (tmp_path / "thing").read_text() == "a file of mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_equal_inputs_and_settings_have_one_fingerprint(tmp_path) -> None:
    first = _write(tmp_path / "a", settings={"x": 1, "y": [1, 2]})
    second = _write(tmp_path / "b", settings={"y": [1, 2], "x": 1})
    other = _write(tmp_path / "c", settings={"x": 1, "y": [2, 1]})
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert len(first.fingerprint) == 16


def test_fingerprints_do_not_depend_on_the_hash_seed() -> None:
    code = "from raymm.artefacts import fingerprint; print(fingerprint({'b': 1, 'a': [1.5, None, 'ü']}, 'x'))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seen == {fingerprint({"a": [1.5, None, "ü"], "b": 1}, "x")}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "5",
        "{}",
        '{"kind": "thing"}',
        "[" * 100_000,
        json.dumps(
            {
                "kind": "thing",
                "schema": 1,
                "fingerprint": "x",
                "inputs": {},
                "settings": {},
                "facts": {},
                "files": 5,
                "code_version": "0",
                "created": 0,
            }
        ),
    ],
)
def test_a_damaged_manifest_is_refused(content: str, tmp_path) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(ArtefactError) as error:
        read_manifest(tmp_path, "thing", 1)
    assert str(tmp_path) in error.value.where
    assert error.value.remedy


def test_another_kind_schema_or_place_is_refused(tmp_path) -> None:
    _write(tmp_path / "thing")
    with pytest.raises(ArtefactError, match="thing, schema 1"):
        read_manifest(tmp_path / "thing", "run", 1)
    with pytest.raises(ArtefactError, match="expected: thing, schema 2"):
        read_manifest(tmp_path / "thing", "thing", 2)
    with pytest.raises(ArtefactError, match="no manifest"):
        read_manifest(tmp_path / "nowhere", "thing", 1)
    with pytest.raises(ArtefactError, match="no manifest"):
        read_manifest(tmp_path, "thing", 1)


def test_changed_and_missing_files_are_named(tmp_path) -> None:
    manifest = _write(tmp_path / "thing")
    path = tmp_path / "thing" / "sub" / "a.txt"
    path.write_text("onf")
    with pytest.raises(ArtefactError, match=r"sub/a\.txt: changed"):
        verify(tmp_path / "thing", manifest)
    path.unlink()
    with pytest.raises(ArtefactError, match=r"sub/a\.txt: missing"):
        verify(tmp_path / "thing", manifest)


def test_many_damaged_files_are_summed_up(tmp_path) -> None:
    with writing(tmp_path / "thing", "thing", 1, {}, {}) as (draft, _):
        for number in range(9):
            (draft / f"{number}.txt").write_text("x")
    manifest = read_manifest(tmp_path / "thing", "thing", 1)
    for number in range(9):
        (tmp_path / "thing" / f"{number}.txt").unlink()
    with pytest.raises(ArtefactError, match="and 4 more"):
        verify(tmp_path / "thing", manifest)


def test_a_file_is_hashed_by_its_bytes(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert artefacts.hash_file(tmp_path / "a") == known


def test_a_folder_that_is_no_artefact_is_never_replaced(tmp_path) -> None:
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing" / "diary.txt").write_text("dear diary")
    with pytest.raises(ArtefactError, match="did not write"):
        _write(tmp_path / "thing", replace=True)
    assert (tmp_path / "thing" / "diary.txt").read_text() == "dear diary"
