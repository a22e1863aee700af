"""The table at the end of a command, as a terminal shows it."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from rich.console import Console

from raymm.report.record import RunRecord, named
from raymm.report.table import summary_table
from tests.report.toys import make_record


def _shown(record: RunRecord, width: int = 110, **places) -> str:
    asked = {"report": Path("runs/a/report.html"), "model_uri": "models:/m@champion", "next_command": "raymm serve"}
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(summary_table(record, **asked | places))
    return console.file.getvalue()


def test_the_table_holds_metrics_beside_the_baselines_and_the_way_on() -> None:
    record = make_record()
    shown = _shown(record)
    assert max(map(len, shown.splitlines())) <= 110
    for result in record.domains:
        assert result.facts.name in shown
        for comparison in result.comparisons:
            numbers = [f"{comparison.first:.4f}", f"{comparison.second:.4f}", f"{100 * comparison.relative:+.0f} %"]
            numbers.append(f"{comparison.interval[0]:+.4f} to {comparison.interval[1]:+.4f}")
            lines = [line for line in shown.splitlines() if named(comparison.metric) in line]
            assert len(lines) == 2  # one a domain
            assert any(all(number in line for number in numbers) for line in lines)
    for expected in ("HR@10", "NDCG@10", "Recall@20", "60 users, 40 items", "something to know"):
        assert expected in shown
    assert shown.index("report.html") < shown.index("models:/m@champion") < shown.index("raymm serve")


def test_a_ranking_among_candidates_says_so() -> None:
    assert "among 999 sampled candidates" in _shown(make_record(candidates=999))
    assert "candidates" not in _shown(make_record())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_any_width_keeps_the_numbers(width: int) -> None:
    shown = _shown(make_record(), width=width)
    assert max(map(len, shown.splitlines())) <= width


def test_places_that_are_not_there_are_left_out() -> None:
    shown = _shown(make_record(), report=None, model_uri="", next_command="")
    assert "report" not in shown
    assert "models:" not in shown
    assert "next" not in shown


def test_names_are_neither_markup_nor_terminal_commands() -> None:
    record = make_record()
    facts = dataclasses.replace(record.domains[0].facts, name="[red]books[/red]\x1b[2J")
    domains = (dataclasses.replace(record.domains[0], facts=facts), record.domains[1])
    shown = _shown(make_record(domains=domains, warnings=("[bold]careful\x07",)))
    assert "[red]books[/red][2J" in shown
    assert "[bold]careful" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_a_difference_that_could_be_chance_is_called_so() -> None:
    record = make_record()
    open_ones = tuple(dataclasses.replace(one, interval=(-0.1, 0.1)) for one in record.domains[0].comparisons)
    shown = _shown(make_record(domains=(dataclasses.replace(record.domains[0], comparisons=open_ones),)))
    assert shown.count("(chance?)") == 3
    no_base = tuple(dataclasses.replace(one, relative=None, difference=0.25) for one in open_ones)
    shown = _shown(make_record(domains=(dataclasses.replace(record.domains[0], comparisons=no_base),)))
    assert shown.count("+0.2500 (chance?)") == 3
