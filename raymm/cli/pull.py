"""`raymm pull`: its arguments, and what it shows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from raymm.cli.display import Display


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `raymm pull` takes, but for the tracking store."""
    parser.add_argument("model", help="models:/NAME@ALIAS or models:/NAME/VERSION")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")


def run(chosen: argparse.Namespace, display: Display, tracking: Any) -> None:
    """Pull a model and say what it is."""
    from raymm.verbs.pull import pull

    display.step(f"Pulling {chosen.model}")
    found = pull(chosen.model, chosen.output, tracking)
    card = f"\ncard: {found.card}" if found.card else ""
    display.console.print(
        f"model: {found.folder} (version {found.model.version}, {', '.join(found.domains)}; {found.files} files, "
        f"{found.size_bytes / 1e6:.2f} MB, all as they were registered){card}\n"
        f"next: raymm recommend {found.folder} --k 20 --output recommendations/first",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
