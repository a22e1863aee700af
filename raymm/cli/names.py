"""Names that users give to runs and sweeps."""

from __future__ import annotations

import argparse

_LONGEST_NAME = 200


def folder_name(text: str) -> str:
    """Return the name of a run or a sweep, which names its folder.

    Raises:
        argparse.ArgumentTypeError: It is empty or too long, begins with a dot, leads elsewhere, or holds what no
            terminal shows.
    """
    if (
        text
        and len(text) <= _LONGEST_NAME
        and text.isprintable()
        and text[0] not in ".-"
        and not set(text) & set("/\\")
    ):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} names no folder: expected 1 to {_LONGEST_NAME} letters, digits and signs, "
        "no slash, no dot or dash at the beginning"
    )
