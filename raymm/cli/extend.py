"""`raymm match --extend`: partners of source users who came after a matching."""

from __future__ import annotations

from argparse import Namespace

from raymm.cli.display import Display
from raymm.errors import ConfigError

_OF_A_SOLVE = ("target", "anchors", "epsilon", "target_gap", "bound", "set", "choose", "workers", "address", "device")


def run(chosen: Namespace, display: Display) -> None:
    """Match the new users and say what was written."""
    from raymm.verbs.match_extend import ExtendRequest, extend_matching

    given = [name for name in _OF_A_SOLVE if getattr(chosen, name) or getattr(chosen, name) is False]
    too_much = [f"--{name.replace('_', '-')}" for name in given]
    if too_much:
        found = f"{', '.join(too_much)} together with --extend"
        expected = "--source, --output, --top-k, --id-column and --force only"
        raise ConfigError(found, expected, "match", "leave them out: nothing is solved again")
    request = ExtendRequest(
        chosen.extend, chosen.source, chosen.output, chosen.top_k, chosen.id_column, force=chosen.force
    )
    display.step(f"Matching {chosen.source} by {chosen.extend}")
    found_users = extend_matching(request)
    display.end()
    display.say(
        f"{found_users.users:,} new users among {found_users.candidates:,} candidates: {found_users.folder}\n"
        f"on average spread over {found_users.effective:.1f} partners, "
        f"{100 * found_users.listed:.1f} % of a user's mass in his list; no certificate speaks of new users"
    )
