import dataclasses
import io
import json

from rich.console import Console

from raymm.report.sweep import PAGE, RECORD, render_sweep, sweep_report, sweep_table
from raymm.report.sweep_record import ModelSweep, Stage
from tests.report.sweeps import make_sweep


def test_the_page_needs_nothing_else_and_escapes_what_it_shows(tmp_path):
    record = make_sweep()
    page = sweep_report(record, tmp_path).read_text()
    assert page.count('<img src="data:image/svg+xml;base64,') == 5  # history; coordinates and importance of two models
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").split("</style>")[1].split("data:image")[0]
    assert "<b>none</b>" not in page
    assert "&lt;b&gt;none&lt;/b&gt;" in page
    assert "The test set was not touched" in page
    assert {path.name for path in tmp_path.iterdir()} == {PAGE, RECORD}
    assert json.loads((tmp_path / RECORD).read_text())["models"][0]["trials"][3]["state"] == "failed"


def test_a_sweep_whose_trials_all_failed_has_a_page_too():
    record = make_sweep()
    failed = tuple(trial for trial in record.models[0].trials if trial.state == "failed")
    page = render_sweep(dataclasses.replace(record, models=(ModelSweep("lightgcn", failed),)))
    assert "No trial ended with a value" in page


def test_the_table_fits_a_terminal_and_puts_the_best_model_first():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(sweep_table(make_sweep()))
    lines = console.export_text().splitlines()
    assert all("…" not in line for line in lines)
    rows = [line.split() for line in lines if line.split()[:1] in (["lightgcn"], ["ease"])]
    assert [row[1:4] for row in rows] == [["12", "3", "3"]] * 2
    means = [float(row[5]) for row in rows]
    assert means == sorted(means, reverse=True)


def test_the_page_says_how_the_settings_of_the_winner_changed():
    record = make_sweep()
    page = render_sweep(record)
    assert "How the settings" not in page
    model = record.models[0]
    schedule = (Stage(0, {"settings.rate": 0.25}), Stage(10, {"settings.rate": 0.3125}, "lightgcn-<i>2</i>"))
    winner = dataclasses.replace(model.winner, schedule=schedule)
    model = dataclasses.replace(model, finalists=(winner, *model.finalists[1:]))
    page = render_sweep(dataclasses.replace(record, models=(model, *record.models[1:])))
    assert page.count("How the settings") == 1
    assert "settings.rate = 0.25<" in page
    assert "settings.rate = 0.3125<" in page
    assert "lightgcn-&lt;i&gt;2&lt;/i&gt;" in page
