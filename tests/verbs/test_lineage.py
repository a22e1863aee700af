import json

import pytest

from raymm.errors import ArtefactError
from raymm.report.sweep_record import Stage
from raymm.verbs.lineage import begin, donor_of, hand_over, standing, take_over

RATE = "train.optimizer.learning_rate"


def _epochs(line, last):
    for epoch in range(len(line.journal.records()) + 1, last + 1):
        line.journal.add({"epoch": epoch, "by": line.trial, "validation": {}, "diagnostics": {}}, "ndcg@10")


def _checkpoint(line, folder):
    folder.mkdir(parents=True)
    (folder / "weights").write_text(line.trial)
    hand_over(line, folder)
    return folder


def test_a_line_is_taken_over_with_its_epochs_and_its_settings(tmp_path):
    good, bad = begin(tmp_path / "good", "good", {RATE: 0.1}), begin(tmp_path / "bad", "bad", {RATE: 9.0})
    assert (good.start, good.values) == (None, {RATE: 0.1})
    _epochs(good, 4)
    _epochs(bad, 2)
    given = _checkpoint(good, tmp_path / "given")
    assert donor_of(given) == "good"
    taken = take_over(tmp_path / "bad", "bad", {RATE: 0.12}, given)
    assert taken.schedule == (Stage(0, {RATE: 0.1}), Stage(4, {RATE: 0.12}, "good"))
    assert (taken.start / "weights").read_text() == "good"
    _epochs(taken, 6)
    assert [record["by"] for record in taken.journal.records()] == ["good"] * 4 + ["bad"] * 2
    assert [path.name for path in (tmp_path / "bad").iterdir()] == ["000001"]
    again = standing(tmp_path / "bad")
    assert (again.trial, again.schedule, again.folder) == ("bad", taken.schedule, taken.folder)
    third = take_over(tmp_path / "third", "third", {RATE: 0.1}, _checkpoint(taken, tmp_path / "later"))
    assert [(stage.epoch, stage.source) for stage in third.schedule] == [(0, ""), (4, "good"), (6, "bad")]


def test_one_that_was_cut_off_in_a_takeover_is_still_on_what_it_was(tmp_path):
    assert standing(tmp_path / "never") is None
    line = begin(tmp_path / "one", "one", {RATE: 0.1})
    (tmp_path / "one" / ".000001.partial" / "start").mkdir(parents=True)
    assert standing(tmp_path / "one").folder == line.folder
    _epochs(line, 1)
    taken = take_over(tmp_path / "one", "one", {RATE: 0.2}, _checkpoint(line, tmp_path / "own"))
    assert taken.schedule[-1] == Stage(1, {RATE: 0.2}, "")


def test_damage_is_said(tmp_path):
    line = begin(tmp_path / "one", "one", {RATE: 0.1})
    (line.folder / "lineage.json").write_text(json.dumps({"trial": "one"}))
    with pytest.raises(ArtefactError, match="schedule"):
        standing(tmp_path / "one")
    with pytest.raises(ArtefactError, match="left"):
        take_over(tmp_path / "two", "two", {}, tmp_path)
