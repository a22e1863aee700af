"""How every figure looks: colours, style, titles, and its way into a page."""

from __future__ import annotations

import base64
import io
from typing import Any

from matplotlib.figure import Figure

MODEL, BASELINE = "#1f5fbf", "#b3b9c4"
INK, MUTED, GRID = "#1d2433", "#667085", "#e6e9ef"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "svg.fonttype": "path",
    "svg.hashsalt": "raymm",
}

_SERIES = (MODEL, "#c4511d", "#2c8a5b", "#8a4fb3", "#b8860b", "#13858c", "#b0305c", "#5c6470")


def series_color(place: int) -> str:
    """Return the colour of one of several curves, counted from 0; there are eight of them."""
    return _SERIES[place % len(_SERIES)]


def title_axis(axis: Any, title: str, note: str) -> None:
    """Put a title to the left and a note, which may come from data, to the right."""
    axis.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
    axis.set_title(literal(note), loc="right", fontsize=8.5, color=MUTED)


def finish_axis(axis: Any) -> None:
    """Take away what only makes a figure busy."""
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(length=0)
    axis.margins(x=0.03)


def literal(text: str) -> str:
    """Keep matplotlib from reading a name as mathematics, or hiding a legend entry that begins with an underscore."""
    shown = "".join(character for character in text if character.isprintable())[:40].replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def figure_bytes(figure: Figure) -> bytes:
    """Return a figure as an SVG image, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return buffer.getvalue()


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as a PNG image on white, for documents that take no SVG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def data_uri(image: bytes) -> str:
    """Return an SVG image as a data URI, which a page can hold."""
    return "data:image/svg+xml;base64," + base64.b64encode(image).decode()
