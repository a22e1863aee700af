"""`raymm compare`: several runs beside each other."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from raymm.cli.display import Display


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed after `raymm compare`."""
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="RUN", help="evaluated run folders; the first is the base"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="prepared folder, if it was moved since training")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder to write (default: comparison-NAMES beside the first run)"
    )
    parser.add_argument("--force", action="store_true", help="replace what stands at --output")


def run(chosen: Namespace, display: Display) -> None:
    """Compare, write the page, print the table."""
    from raymm.report.comparison import comparison_table
    from raymm.verbs.compare import compare

    names = "-".join(folder.name for folder in chosen.runs)
    output = chosen.output or chosen.runs[0].parent / f"comparison-{names}"[:120]
    display.step(f"Comparing {', '.join(map(str, chosen.runs))}")
    found = compare(chosen.runs, chosen.data, output, chosen.force)
    display.end()
    display.console.print(comparison_table(found.record, found.page))
