"""`raymm describe`: a prepared set in figures."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from raymm.cli.display import Display


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed after `raymm describe`."""
    parser.add_argument("data", type=Path, metavar="DIR", help="prepared folder")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where description.html and .json go (default: DIR-description)"
    )


def run(chosen: Namespace, display: Display) -> None:
    """Describe, write the page, print the table."""
    from raymm.report.description import description_table
    from raymm.verbs.describe import describe

    data = chosen.data.resolve()
    output = chosen.output or data.with_name(f"{data.name}-description")
    display.step(f"Describing {chosen.data}")
    found = describe(data, output)
    display.end()
    display.console.print(description_table(found.description, found.page))
