from raymm.launch.board import AGAIN, Board


def test_records_come_in_the_order_they_were_posted():
    board = Board()
    for epoch in (1, 2):
        board.post({"epoch": epoch})
    records, position = board.since(0)
    assert [record["epoch"] for record in records] == [1, 2]
    assert board.since(position) == ([], position)


def test_what_is_repeated_after_a_restart_replaces_what_was_there():
    board = Board()
    board.post({"epoch": 1, "loss": 1.0})
    _, position = board.since(0)
    board.post({"epoch": 1, "loss": 2.0})
    assert board.since(position) == ([{"epoch": 1, "loss": 2.0}], 2)


def test_records_of_a_checkpoint_fill_gaps_only():
    board = Board()
    board.post({"epoch": 2, "loss": 2.0})
    for epoch in (1, 2):
        board.post({"epoch": epoch, "loss": 9.0, AGAIN: True})
    records, _ = board.since(0)
    assert [(record["epoch"], record["loss"]) for record in records] == [(2, 2.0), (1, 9.0)]


def test_facts_add_up():
    board = Board()
    board.note({"a": 1})
    board.note({"b": 2})
    assert board.facts() == {"a": 1, "b": 2}
