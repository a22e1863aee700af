from raymm.launch.board import AGAIN
from raymm.report.symptoms import metrics_of, symptoms
from raymm.verbs.journal import Journal


def test_an_epoch_that_comes_again_counts_as_it_came_last(tmp_path):
    journal = Journal(tmp_path / "epochs.jsonl")
    assert journal.records() == []
    for epoch, value in ((1, 0.1), (2, 0.2), (3, 0.3), (2, 0.25)):
        noted = journal.add({"epoch": epoch, "value": value, "diagnostics": {"seen": 1.0}}, "ndcg@10")
        assert noted["diagnostics"]["seen"] == 1.0
    assert [(record["epoch"], record["value"]) for record in journal.records()] == [(1, 0.1), (2, 0.25), (3, 0.3)]


def test_an_epoch_is_noted_with_the_signs_of_trouble_up_to_it(tmp_path):
    journal = Journal(tmp_path / "epochs.jsonl")
    for epoch, leaked in ((1, 0.01), (2, 0.4)):
        record = {"epoch": epoch, "validation": {}, "diagnostics": {"match.leaked": leaked}}
        journal.add(record, "ndcg@10")
    found = [record["diagnostics"] for record in journal.records()]
    expected = [metrics_of(symptoms(journal.records()[: place + 1], "ndcg@10")) for place in range(2)]
    assert [signs["warning.leaking_mask"] for signs in expected] == [0.0, 1.0]
    for diagnostics, signs in zip(found, expected, strict=True):
        assert signs.items() <= diagnostics.items()


def test_what_comes_again_from_a_checkpoint_fills_gaps_only(tmp_path):
    journal = Journal(tmp_path / "epochs.jsonl")
    journal.add({"epoch": 1, "value": 0.1, "diagnostics": {}}, "ndcg@10")
    again = [{"epoch": epoch, "value": 0.9, "diagnostics": {}, AGAIN: True} for epoch in (1, 2)]
    kept, filled = [journal.add(record, "ndcg@10") for record in again]
    assert kept is None
    assert filled is not None
    assert AGAIN not in filled
    assert [(record["epoch"], record["value"]) for record in journal.records()] == [(1, 0.1), (2, 0.9)]


def test_a_line_that_was_cut_off_is_left_out_and_written_over(tmp_path):
    path = tmp_path / "epochs.jsonl"
    journal = Journal(path)
    for epoch in (1, 2):
        journal.add({"epoch": epoch, "diagnostics": {}}, "ndcg@10")
    path.write_bytes(path.read_bytes()[:-9])
    assert [record["epoch"] for record in journal.records()] == [1]
    journal.add({"epoch": 2, "diagnostics": {}}, "ndcg@10")
    assert [record["epoch"] for record in journal.records()] == [1, 2]


def test_signs_of_what_was_not_observed_are_not_given(tmp_path):
    journal = Journal(tmp_path / "epochs.jsonl")
    leaking = {"transfer.active": 1.0, "match.leaked": 0.4, "match.converged": 1.0}
    noted = journal.add({"epoch": 1, "validation": {}, "diagnostics": leaking}, "ndcg@10")
    assert noted["diagnostics"]["warning.leaking_mask"] == 1.0
    assert "warning.flat_plan" not in noted["diagnostics"]
