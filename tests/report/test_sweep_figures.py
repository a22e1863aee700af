import base64
import dataclasses

from raymm.report.sweep_figures import draw_coordinates, draw_history, draw_importance
from raymm.report.sweep_record import ModelSweep
from tests.report.sweeps import make_sweep


def _svg(uri):
    return base64.b64decode(uri.partition(",")[2]).decode()


def test_figures_are_drawn_again_as_they_were():
    record = make_sweep()
    for drawn in (
        draw_history(record),
        draw_coordinates(record.models[0], record.metric),
        draw_importance(record.models[0]),
    ):
        assert _svg(drawn).startswith("<?xml")
    assert draw_history(record) == draw_history(make_sweep())


def test_the_history_shows_every_trial():
    record = make_sweep()
    fewer = dataclasses.replace(record, models=record.models[:1])
    assert _svg(draw_history(record)).count("<use") > _svg(draw_history(fewer)).count("<use")


def test_there_is_nothing_to_draw_without_values():
    empty = ModelSweep("m", ())
    assert draw_coordinates(empty, "ndcg@10") == ""
    assert draw_importance(empty) == ""
    assert draw_history(dataclasses.replace(make_sweep(), models=(empty,))) == ""
