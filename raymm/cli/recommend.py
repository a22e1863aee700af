"""`raymm recommend`: its arguments, and what it shows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from raymm.cli.display import Display

_WORDS = """\
Rank the best items for all users of a registered model, or for those in a file, and write them as Parquet.

files:
  --users: .parquet or .csv with a column `user` and, if wanted, `domain`; or .txt with one id a line.
  --exclude and --candidates: .parquet or .csv with a column `item`, or .txt with one id a line.
  The output holds DOMAIN/part-*.parquet with user, domain, rank, item, score and known; known is false for users whom
  the model does not know, who get what is popular. Items that a user is known to have are left out.

interrupted:
  The same command goes on with the shards that are missing; finished ones are kept in .recommending beside --output.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `raymm recommend` takes, but for tracking store and Ray."""
    parser.description, parser.formatter_class = _WORDS, argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", help="models:/NAME@ALIAS, models:/NAME/VERSION, or the folder of a pulled model")
    parser.add_argument("--users", type=Path, metavar="FILE", help="whom to rank for (default: all that it knows)")
    parser.add_argument("--k", type=int, default=20, help="length of the rankings (default: 20)")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--domain", action="append", default=[], help="domain to rank in; may be repeated (default: all)"
    )
    parser.add_argument("--exclude", type=Path, metavar="FILE", help="items to leave out for everybody")
    parser.add_argument("--candidates", type=Path, metavar="FILE", help="rank these items only")
    parser.add_argument("--workers", type=int, default=2, help="Ray workers; 0 ranks in this process (default: 2)")
    parser.add_argument("--shard-users", type=int, metavar="N", help="users of a shard, at most (default: 5000)")
    parser.add_argument("--force", action="store_true", help="replace what stands at --output")


def run(chosen: argparse.Namespace, display: Display, tracking: Any, address: str) -> None:
    """Rank, and show how fast and with how much memory."""
    from raymm.verbs.recommend import SHARD_USERS, RecommendRequest, recommend

    request = RecommendRequest(
        model=chosen.model,
        output=chosen.output,
        users=chosen.users,
        k=chosen.k,
        domains=tuple(chosen.domain),
        exclude=chosen.exclude,
        candidates=chosen.candidates,
        workers=chosen.workers,
        address=address,
        shard_users=SHARD_USERS if chosen.shard_users is None else chosen.shard_users,
        force=chosen.force,
    )
    where = f"{chosen.workers} Ray workers" if chosen.workers else "this process"
    display.step(f"Ranking with {chosen.model} in {where}")
    found = recommend(request, tracking, display.progress)
    display.end()
    facts = found.facts
    for name, users in facts["users"].items():
        unknown = facts["unknown"].get(name, 0)
        strangers = f", {unknown:,} of them unknown (they got what is popular)" if unknown else ""
        _say(display, f"  {name}: {users:,} users{strangers}, {facts['rows'].get(name, 0):,} rows")
    if found.reused:
        _say(display, f"{found.folder}: was there already, of the same model, users and wishes")
        return
    kept = f", {facts['kept']} of {facts['shards']} shards were there already" if facts["kept"] else ""
    peak = max(facts["worker_peak_bytes"], 0 if facts["workers"] else facts["driver_peak_bytes"]) / 1e6
    _say(
        display,
        f"{found.folder}: {facts['seconds']:.1f} s, {facts['users_per_second']:,.0f} users/s, "
        f"{peak:,.0f} MB a worker, {facts['driver_peak_bytes'] / 1e6:,.0f} MB here{kept}",
    )


def _say(display: Display, line: str) -> None:
    display.console.print(line, highlight=False, markup=False, soft_wrap=True)
