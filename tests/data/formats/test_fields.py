from __future__ import annotations

import numpy as np

from raymm.data.formats.fields import Fields, objects, pick_lines
from raymm.data.raw import Lines


def test_rows_are_picked_with_their_places_and_reasons() -> None:
    lines = Lines(10, ["head", "", "a", "b\0", "c", "d"], frozenset({4}), {5: 99_999})
    places, texts, reasons = pick_lines(lines, 1)
    assert places.tolist() == [12, 13, 14, 15]
    assert texts == ["a", "b\0", "c", "d"]
    assert reasons == {1: "a NUL byte", 2: "bytes that the encoding does not have", 3: "a line of 99,999 bytes"}
    assert pick_lines(Lines(0, ["", ""]), 0)[1:] == ([], {})


def test_objects_are_never_looked_into() -> None:
    assert objects([[1, 2], [3, 4]]).shape == (2,)
    fields = Fields({"x": objects(["a", 1])}, np.arange(2), {}, str)
    assert len(fields) == 2
