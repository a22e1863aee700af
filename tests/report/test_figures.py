"""Figures are well-formed, alike from run to run, and safe whatever names hold."""

from __future__ import annotations

import base64
import dataclasses
import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest

from raymm.report import figures
from tests.report.toys import make_record

PREFIX = "data:image/svg+xml;base64,"


def _svg(uri: str) -> ElementTree.Element:
    assert uri.startswith(PREFIX)
    root = ElementTree.fromstring(base64.b64decode(uri.removeprefix(PREFIX)))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(root.iter())) > 50
    links = [value for node in root.iter() for name, value in node.attrib.items() if name.endswith("href")]
    assert all(link.startswith("#") for link in links)  # nothing is loaded from elsewhere
    return root


def test_figures_are_vector_graphics() -> None:
    record = make_record()
    result = record.domains[0]
    _svg(figures.draw_training(record))
    _svg(figures.draw_long_tail(record))
    _svg(figures.draw_slices(result.slices["model"], result.slices["popularity"], "ndcg@10"))


def test_figures_are_alike_from_run_to_run_and_leave_no_global_state() -> None:
    record = make_record()
    before = dict(matplotlib.rcParams)
    assert figures.draw_training(record) == figures.draw_training(record)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.filterwarnings("error")
def test_any_name_can_be_drawn() -> None:
    names = ("$x$", "a$b", "_hidden", "tab\tand\nline", "&<>'\"", "x" * 500, r"\frac{")
    record = make_record()
    result = record.domains[0]
    facts = [dataclasses.replace(result.facts, name=name) for name in names]
    validation = {"ndcg@10": 0.1} | {f"{name}.ndcg@10": 0.2 for name in names}
    history = tuple({"epoch": epoch, "losses": dict.fromkeys(names, 0.5), "validation": validation} for epoch in (1, 2))
    strange = make_record(domains=tuple(dataclasses.replace(result, facts=one) for one in facts), history=history)
    _svg(figures.draw_training(strange))
    _svg(figures.draw_long_tail(strange))


def test_there_is_no_figure_without_anything_to_draw() -> None:
    assert figures.draw_training(make_record(history=())) == ""
    assert figures.draw_slices((), (), "ndcg@10") == ""
    result = make_record().domains[0]
    assert figures.draw_slices(result.slices["model"], result.slices["popularity"], "rmse") == ""


def test_one_epoch_one_domain_and_gaps_are_drawn() -> None:
    record = make_record()
    history = ({"epoch": 1, "losses": {"bpr": 0.5, "broken": float("nan")}, "validation": {"ndcg@10": 0.1}},)
    _svg(figures.draw_training(dataclasses.replace(record, history=history, domains=record.domains[:1])))


def test_the_chosen_epoch_is_the_first_of_the_best() -> None:
    assert figures.best_epoch(make_record()) == 2
    history = tuple({"epoch": epoch, "validation": {"ndcg@10": 0.1}} for epoch in (2, 4))
    assert figures.best_epoch(make_record(history=history)) == 2
    assert figures.best_epoch(make_record(history=())) is None
