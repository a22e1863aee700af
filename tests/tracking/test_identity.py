from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import raymm
from raymm.errors import TrackingError
from raymm.tracking.identity import (
    SPOOL,
    STATE,
    Identity,
    begin_anew,
    git_commit,
    mark_ended,
    read_identity,
    run_tags,
    write_identity,
)


def test_round_trip(tmp_path: Path) -> None:
    identity = Identity("key", "sqlite:///x", "raymm", "name", "")
    assert read_identity(tmp_path) is None
    write_identity(tmp_path, identity)
    assert read_identity(tmp_path) == identity
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


@pytest.mark.parametrize("text", ["{", "[]", '{"key": "a"}', '{"unknown": 1}'])
def test_damage_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / STATE).write_text(text)
    with pytest.raises(TrackingError, match=STATE):
        read_identity(tmp_path)


def test_only_a_run_that_ended_makes_room_for_another(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    begin_anew(folder)  # nothing there
    folder.mkdir()
    identity = Identity("0123456789", "sqlite:///x", "raymm", "name", "")
    write_identity(folder, identity)
    begin_anew(folder)
    assert read_identity(folder) == identity
    mark_ended(folder)
    begin_anew(folder)
    assert not list(tmp_path.iterdir())


def test_what_was_not_sent_is_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    identity = Identity("0123456789", "sqlite:///x", "raymm", "name", "")
    write_identity(folder, identity)
    (folder / SPOOL).write_text("{}\n")
    mark_ended(folder)
    begin_anew(folder)
    assert not folder.exists()
    assert read_identity(tmp_path / "run.01234567") == identity
    assert (tmp_path / "run.01234567" / SPOOL).read_text() == "{}\n"


def test_the_commit_is_a_tag_where_there_is_one(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None
    assert set(run_tags("sieoug", "f00d", tmp_path)) == {"raymm.model", "raymm.data_fingerprint", "raymm.version"}

    def git(*words: str) -> str:
        own = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *own, *words], check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    (tmp_path / "file").write_text("2")
    tags = run_tags("sieoug", "f00d", tmp_path)
    assert tags["mlflow.source.git.commit"] == commit + "-dirty"
    assert tags["raymm.version"] == raymm.__version__
