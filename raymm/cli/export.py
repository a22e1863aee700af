"""`raymm export`: the users of a run as a file that `raymm match` reads."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from raymm.cli.display import Display


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what can be typed after `raymm export`."""
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--domain", metavar="NAME", help="whose users (default: the only domain of the run)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="Parquet file to write")
    parser.add_argument("--data", type=Path, metavar="DIR", help="prepared folder, if it was moved since training")


def run(chosen: Namespace, display: Display) -> None:
    """Write the file and say how many users it holds."""
    from raymm.verbs.export import export_users

    users = export_users(chosen.run, chosen.domain, chosen.output, chosen.data)
    display.say(f"{users:,} users: {chosen.output}")
