from __future__ import annotations

import hashlib
import importlib.util
import uuid
from pathlib import Path

import fsspec
import pytest

from raymm.data.storage import (
    check_url,
    fetch,
    file_name,
    hash_source,
    is_there,
    list_files,
    locate,
    open_file,
    reaching,
    size_of,
    source_path,
    version_of,
)
from raymm.errors import ConfigError, DataError

DATA = b"user\titem\nu\ti\n"


@pytest.fixture
def remote() -> str:
    url = f"memory://{uuid.uuid4().hex}/deep/rows.tsv"
    with fsspec.open(url, "wb") as stream:
        stream.write(DATA)
    return url


def test_object_of_a_store_is_read_like_a_file(tmp_path: Path, remote: str) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes(DATA)
    for location in (locate(tmp_path / "r.toml", "rows.tsv"), locate(tmp_path / "r.toml", remote), path.as_uri()):
        with open_file(location) as stream:
            assert stream.read() == DATA
        with open_file(location) as stream:
            stream.seek(5)
            assert stream.readline() == b"item\n"
        assert size_of(location) == len(DATA)
        assert file_name(location) == "rows.tsv"
        assert hash_source(location) == hashlib.sha256(DATA).hexdigest()


def test_missing_object_and_folder_are_told_apart(tmp_path: Path, remote: str) -> None:
    with pytest.raises(DataError, match="no such file"):
        locate(tmp_path / "r.toml", remote + ".gone")
    with pytest.raises(DataError, match="a folder"):
        locate(tmp_path / "r.toml", remote.rpartition("/")[0])
    with pytest.raises(DataError, match="no such file"):
        source_path(tmp_path / "recipe.toml", "rows.tsv")
    (tmp_path / "rows.tsv").mkdir()
    with pytest.raises(DataError, match="a folder"):
        source_path(tmp_path / "recipe.toml", "rows.tsv")


@pytest.mark.parametrize(("scheme", "library", "extra"), [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs")])
def test_store_whose_library_is_missing_says_what_to_install(scheme: str, library: str, extra: str) -> None:
    if importlib.util.find_spec(library):
        pytest.skip(f"{library} is installed")
    with pytest.raises(DataError, match=rf"pip install 'raymm\[{extra}\]'"):
        locate(Path("recipe.toml"), f"{scheme}://bucket/rows.tsv")


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hidden@b/x",
        "s3://hidden@b/x",
        "gs://b/x?X-Goog-Signature=hidden",
        "zip://x::s3://b/hidden.zip",
        "c3p://hidden",
    ],
)
def test_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="path: found a URL") as caught:
        check_url(url)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("path", ["rows.tsv", "/abs/a@b?c.tsv", "s3://bucket/a@b/rows.tsv", "hdfs://host:9000/x"])
def test_plain_addresses_pass(path: str) -> None:
    check_url(path)


def test_relative_path_stays_in_the_folder_of_the_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "secret.tsv").write_text("x")
    (folder / "deep" / "rows.tsv").write_text("x")
    (folder / "link.tsv").symlink_to(tmp_path / "secret.tsv")
    (folder / "inner.tsv").symlink_to(folder / "deep" / "rows.tsv")
    here = folder / "recipe.toml"
    assert source_path(here, "deep/../deep/rows.tsv") == folder / "deep" / "rows.tsv"
    assert source_path(here, "inner.tsv") == folder / "deep" / "rows.tsv"
    assert source_path(here, str(tmp_path / "secret.tsv")) == tmp_path / "secret.tsv"
    for outside in ("../secret.tsv", "link.tsv", "deep/../../secret.tsv"):
        with pytest.raises(DataError, match="a file within"):
            source_path(here, outside)


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000, "circle"])
def test_path_that_can_be_none_is_an_error_that_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(DataError) as caught:
        locate(tmp_path / "r.toml", name)
    assert "r.toml" in caught.value.where + caught.value.remedy
    assert len(str(caught.value)) < 1000


def test_an_object_is_copied_once_for_each_version(tmp_path: Path, remote: str) -> None:
    first = fetch(remote, tmp_path / "fetched")
    assert first.read_bytes() == DATA
    assert first.name.endswith("-rows.tsv")
    first.write_bytes(b"kept")
    assert fetch(remote, tmp_path / "fetched").read_bytes() == b"kept"
    with fsspec.open(remote, "wb") as stream:
        stream.write(DATA * 2)
    assert fetch(remote, tmp_path / "fetched").read_bytes() == DATA * 2
    assert sorted(path.name[0] for path in (tmp_path / "fetched").iterdir()).count(".") == 0
    with pytest.raises(DataError, match="no such file"):
        fetch(remote + ".gone", tmp_path)


def test_files_below_a_folder_are_listed_with_their_versions(remote: str) -> None:
    folder = remote.rpartition("/")[0]
    before = list_files(folder)
    assert list(before) == ["rows.tsv"]
    assert before["rows.tsv"] == version_of(remote)
    with fsspec.open(remote, "wb") as stream:
        stream.write(DATA * 2)
    assert list_files(folder)["rows.tsv"] == version_of(remote) != before["rows.tsv"]
    assert is_there(remote)
    assert not is_there(remote + ".gone")


@pytest.mark.parametrize("module", ["botocore.exceptions", "google.auth.exceptions", "aiohttp.client_exceptions"])
def test_what_a_library_of_a_store_raises_is_an_error_of_the_data(module: str) -> None:
    refusal = type("Refused", (type("Base", (Exception,), {"__module__": module}),), {"__module__": "elsewhere"})
    with pytest.raises(DataError, match="Refused: no credentials") as caught, reaching("s3://bucket/x"):
        raise refusal("no credentials\nand more")
    assert "more" not in str(caught.value)


def test_what_is_no_refusal_of_a_store_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError), reaching("s3://bucket/x"):
        raise ZeroDivisionError
