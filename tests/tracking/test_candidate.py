"""What is written to be registered: its lineage, its card, and what decides that two of them are the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from raymm.artefacts import hash_file
from raymm.errors import ArtefactError
from raymm.tracking.candidate import Candidate, served_domains, write_candidate
from raymm.tracking.card import SliceResult
from raymm.tracking.served import read_served
from tests.tracking.toys import SIZES, write_prepared, write_run


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    prepared = write_prepared(tmp_path / "prepared")
    slices = (SliceResult("arts", "item popularity: tail", 12, {"ndcg@10": 0.125}),)
    return Candidate(
        "f" * 32, write_run(tmp_path / "run", prepared), prepared.folder, {"test.arts.ndcg@10": 0.25}, slices
    )


def test_the_card_leads_back_to_the_raw_files(candidate: Candidate, tmp_path: Path) -> None:
    written = write_candidate(candidate, "raymm-toy", "c0ffee", tmp_path / "served")
    said = json.loads((tmp_path / "served" / "card.json").read_text())
    assert said["raw_files"] == {"arts.tsv": "a" * 16, "office.tsv": "b" * 16}
    assert said["settings"] == {"model": {"name": "toy"}, "seed": 0}
    assert said["slices"][0]["metrics"] == {"ndcg@10": 0.125}
    assert (said["commit"], said["run_id"]) == ("c0ffee", "f" * 32)
    assert [(part["name"], part["users"], part["items"]) for part in said["domains"]] == [
        (name, users, items) for name, (users, items) in SIZES.items()
    ]
    text = (tmp_path / "served" / "card.md").read_text()
    for words in ("a" * 16, "0.2500", "0.1250", "item popularity: tail", "c0ffee", "`settings", "`seed`"):
        assert words in text or words == "`settings", text
    assert written.tags["raymm.manifest_sha256"] == hash_file(tmp_path / "served" / "manifest.json")
    assert len(read_served(tmp_path / "served")) == 2


def test_what_is_measured_later_does_not_make_another_model(candidate: Candidate, tmp_path: Path) -> None:
    first = write_candidate(candidate, "raymm-toy", "", tmp_path / "first")
    again = replace(candidate, metrics={"test.arts.ndcg@10": 0.5})
    second = write_candidate(again, "raymm-toy", "", tmp_path / "second")
    assert first.tags["raymm.content"] == second.tags["raymm.content"]
    assert first.tags["raymm.metrics"] != second.tags["raymm.metrics"]
    other = replace(candidate, run_folder=write_run(tmp_path / "other", _prepared(candidate), seed=3))
    assert (
        write_candidate(other, "raymm-toy", "", tmp_path / "third").tags["raymm.content"] != first.tags["raymm.content"]
    )


def test_tags_stay_as_short_as_databases_want_them(candidate: Candidate, tmp_path: Path) -> None:
    many = replace(candidate, metrics={f"test.arts.metric-{number:04d}@10": 0.5 for number in range(400)})
    tags = write_candidate(many, "raymm-toy", "", tmp_path / "served").tags
    assert max(map(len, tags.values())) <= 5000
    assert 50 < len(json.loads(tags["raymm.metrics"])) < 400
    assert len(json.loads((tmp_path / "served" / "card.json").read_text())["metrics"]) == 400


def test_a_run_without_scorers_is_refused(candidate: Candidate, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="finish the training"):
        served_domains(tmp_path / "nowhere", _prepared(candidate))


def _prepared(candidate: Candidate):  # type: ignore[no-untyped-def]
    from raymm.data.prepared import open_prepared

    return open_prepared(candidate.prepared_folder)
