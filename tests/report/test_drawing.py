import base64
import xml.etree.ElementTree as ET

import matplotlib
from matplotlib.figure import Figure

from raymm.report.drawing import STYLE, data_uri, figure_bytes, literal, png_bytes, series_color, title_axis


def _image() -> bytes:
    with matplotlib.rc_context(STYLE):
        figure = Figure()
        title_axis(figure.subplots(), "Title", "$not math$")
        return figure_bytes(figure)


def test_an_image_is_svg_and_the_same_each_time() -> None:
    image = _image()
    assert ET.fromstring(image).tag.endswith("svg")
    assert image == _image()
    head, _, body = data_uri(image).partition(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(body) == image


def test_names_from_data_are_no_mathematics() -> None:
    assert literal("$x^2$") == r"\$x^2\$"
    assert literal("_hidden") == " _hidden"
    assert literal("a\x1b[31mb") == "a[31mb"
    assert len(literal("x" * 500)) == 40


def test_colours_come_round() -> None:
    assert len({series_color(place) for place in range(8)}) == 8
    assert series_color(8) == series_color(0)


def test_a_png_is_one() -> None:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1, 1))
        figure.subplots()
        assert png_bytes(figure).startswith(b"\x89PNG")
