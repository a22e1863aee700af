import io

from rich.console import Console

from raymm.cli.display import Display
from raymm.errors import DataError


def _display(terminal=False):
    stream = io.StringIO()
    return Display(Console(file=stream, force_terminal=terminal, width=100)), stream


def _record(epoch, finished=False, validated=True):
    return {
        "epoch": epoch,
        "losses": {"rank.arts": 0.5},
        "validation": {"ndcg@10": 0.25} if validated else {},
        "state": {"best": 0.3, "best_epoch": 1},
        "finished": finished,
    }


def test_a_log_gets_a_line_at_the_end_of_a_part_and_not_one_a_step():
    display, stream = _display()
    display.progress("reading", 0, 100)
    for done in range(1, 101):
        display.progress("reading", done, 100)
    lines = [line for line in stream.getvalue().splitlines() if "reading" in line]
    assert lines[-1].strip() == "reading 100/100"
    assert len(lines) <= 3


def test_epochs_show_losses_and_the_selection_metric():
    display, stream = _display()
    display.epoch(_record(1), 2, "ndcg@10")
    display.epoch(_record(2, finished=True), 2, "ndcg@10")
    text = stream.getvalue()
    assert "rank.arts 0.5000" in text
    assert "ndcg@10 0.2500" in text
    assert "stopped after epoch 2; best validation ndcg@10 0.3000 at epoch 1" in text


def test_an_epoch_without_validation_can_be_shown():
    display, stream = _display()
    display.epoch(_record(2, validated=False), 2, "ndcg@10")
    assert "ndcg" not in stream.getvalue()


def test_a_terminal_gets_a_bar_that_goes_away():
    display, stream = _display(terminal=True)
    display.progress("reading", 1, 2)
    display.progress("writing", 1, 2)
    display.end()
    assert "reading" in stream.getvalue()
    assert display._progress is None


def test_an_error_shows_its_parts_and_obeys_no_markup():
    display, stream = _display()
    display.error(DataError("[red]3[/red]", "4", "x.tsv", "do this"))
    text = stream.getvalue()
    for words in ("DataError", "[red]3[/red]", "expected: 4", "where: x.tsv", "remedy: do this"):
        assert words in text


def test_names_with_brackets_are_shown_as_they_are():
    display, stream = _display()
    display.step("Preparing [/]a[red].toml")
    display.warn("[/b] was not reached")
    display.say("run: runs/[bold]x")
    assert stream.getvalue().splitlines() == [
        "> Preparing [/]a[red].toml",
        "note: [/b] was not reached",
        "run: runs/[bold]x",
    ]


def test_a_sign_of_trouble_is_named_once_with_what_to_change():
    out = io.StringIO()
    display = Display(Console(file=out, width=200))
    for epoch in (1, 2, 3):
        record = {
            "epoch": epoch,
            "losses": {},
            "validation": {},
            "diagnostics": {"warning.leaking_mask": float(epoch > 1), "warning.flat_plan": 0.0},
            "state": {"best": 0.1, "best_epoch": 1},
            "finished": False,
        }
        display.epoch(record, 3, "ndcg@10")
    shown = out.getvalue()
    assert shown.count("known users are matched with strangers") == 1
    assert "epoch 2: known users" in shown
    assert "spread over half" not in shown
