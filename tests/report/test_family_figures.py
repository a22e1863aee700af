"""Figures of families, looked at as images."""

import numpy as np
import pytest
from matplotlib import image as images

from raymm.report.family_figures import draw_family, short_names
from tests.report.families import toy_family


@pytest.mark.parametrize("axis", ["", "neighbours"])
def test_every_figure_is_drawn_in_two_formats_and_not_empty(axis, tmp_path):
    drawings = draw_family(toy_family(axis))
    assert [drawing.name for drawing in drawings] == ["figure", "figure_item_popularity"]
    for drawing in drawings:
        assert b"<svg" in drawing.svg
        path = tmp_path / f"{drawing.name}.png"
        path.write_bytes(drawing.png)
        pixels = images.imread(path)
        assert np.ptp(pixels[..., :3]) > 0.5
    assert drawings[0].svg == draw_family(toy_family(axis))[0].svg


def test_nothing_is_drawn_without_results():
    record = toy_family()
    assert draw_family(type(record)(**{**vars(record), "cells": ()})) == ()


def test_names_of_slices_are_shortened():
    names = ["group 1 of 5, most popular", "group 2 of 5", "not in training", "3 to 5"]
    assert short_names(names) == ["most\npopular", "2", "not\nin training", "3 to 5"]
