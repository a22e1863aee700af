"""The model card: what a registered model is, what it came from and what was measured of it, for people and as JSON."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from raymm.config import flatten

CARD_TEXT, CARD_DATA = "card.md", "card.json"
MOST_CHARACTERS = 5000  # of a description or a tag that MLflow's databases hold

_CUT = "\n\n(shortened; the whole card is `card.md` among the model's files)\n"


@dataclass(frozen=True)
class CardDomain:
    """A domain of a model: its name, how much of everything it has, and whose histories its ratings are read from."""

    name: str
    users: int
    items: int
    known_interactions: int
    rated_from: str = ""


@dataclass(frozen=True)
class SliceResult:
    """What was measured on a part of a domain's test set.

    Attributes:
        domain: The domain.
        slice: Which part, `item popularity: tail`.
        users: Users who have a held-out item in it.
        metrics: Metric key to mean over them.
    """

    domain: str
    slice: str
    users: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Card:
    """What a model card says.

    Attributes:
        model: Name of the model.
        run: Name of the run's folder and its fingerprint.
        run_id: MLflow's id of the run.
        created: When the run was finished, seconds since the epoch.
        code_version: raymm's version that trained it.
        commit: Commit of that code, ending in `-dirty` if files differed; empty where it was not under git.
        domains: What it ranks.
        raw_files: Name of each raw file to its hash.
        prepared: Fingerprint of the prepared set.
        recipe: The settings of the preparation.
        settings: The settings of the run, presets written out.
        metrics: What was measured on the test set, by raymm's names (`test.arts.ndcg@10`).
        slices: The same by parts of the test set.
        comparison: How it stood against the champion, in a line; empty where there was none.
    """

    model: str
    run: Mapping[str, str]
    run_id: str
    created: float
    code_version: str
    commit: str
    domains: Sequence[CardDomain]
    raw_files: Mapping[str, str]
    prepared: str
    recipe: Mapping[str, Any]
    settings: Mapping[str, Any]
    metrics: Mapping[str, float] = field(default_factory=dict)
    slices: Sequence[SliceResult] = ()
    comparison: str = ""


def card_json(card: Card) -> str:
    """Write a card as JSON; numbers that are not finite become null."""
    return json.dumps(_storable(asdict(card)), indent=1, sort_keys=True, allow_nan=False) + "\n"


def card_markdown(card: Card) -> str:
    """Write a card as Markdown."""
    parts = [*_summary(card), *_lineage(card), *_slices(card), *_configuration(card)]
    return "\n".join(parts) + "\n"


def card_summary(card: Card) -> str:
    """Write the first parts of a card as Markdown, no longer than a description in the registry may be."""
    return shortened("\n".join([*_summary(card), *_lineage(card), *_slices(card)]) + "\n", _CUT)


def shortened(text: str, mark: str) -> str:
    """Cut a text to what the registry holds, ending in `mark` if it was cut."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - len(mark)] + mark


def _summary(card: Card) -> Iterator[str]:
    yield f"# {card.model}, run {_cell(card.run.get('name', ''))}\n"
    yield "Ranks the items of a domain for its users, by external ids.\n"
    yield from _table(
        ("domain", "users", "items", "interactions known to it"),
        [(_cell(d.name), f"{d.users:,}", f"{d.items:,}", f"{d.known_interactions:,}") for d in card.domains],
    )
    for domain in card.domains:
        if domain.rated_from:
            yield (
                f"Predicts ratings in {_cell(domain.name)}, too, for users known in {_cell(domain.rated_from)}, "
                "and for others who bring a history from there.\n"
            )
    yield (
        "Items that a user is known to have (training and validation) are left out. Users whom the model does not know "
        "get what is most popular, marked by `known` = false; their score is the number of people known to have the "
        "item. Equal scores are ranked by the order of the items in `items.parquet`.\n"
    )
    candidates = card.settings.get("train", {}).get("candidates", 0)
    yield f"## Measured on the test set, {f'among {candidates} sampled candidates' if candidates else 'full ranking'}\n"
    if card.metrics:
        yield from _table(("metric", "value"), [(f"`{key}`", _number(card.metrics[key])) for key in card.metrics])
    else:
        yield "Nothing was measured when it was registered.\n"
    if card.comparison:
        yield f"Chosen by: {card.comparison}\n"


def _lineage(card: Card) -> Iterator[str]:
    yield "## Where it comes from\n"
    rows = [(f"raw file `{_cell(name)}`", f"`{digest}`") for name, digest in card.raw_files.items()]
    rows.append(("prepared set", f"`{card.prepared}`"))
    rows.append(("run", f"`{card.run.get('fingerprint', '')}`, MLflow `{card.run_id}`"))
    rows.append(("trained", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(card.created))))
    commit = f", commit `{card.commit}`" if card.commit else ", not under git"
    rows.append(("code", f"raymm {card.code_version}{commit}"))
    yield from _table(("what", "which"), rows)


def _slices(card: Card) -> Iterator[str]:
    if not card.slices:
        return
    keys = sorted({key for part in card.slices for key in part.metrics})
    yield "## By parts of the test set\n"
    yield from _table(
        ("domain", "part", "users", *keys),
        [
            (
                _cell(part.domain),
                _cell(part.slice),
                f"{part.users:,}",
                *(_number(part.metrics[key]) if key in part.metrics else "-" for key in keys),
            )
            for part in card.slices
        ],
    )


def _configuration(card: Card) -> Iterator[str]:
    for title, values in (("Settings of the run", card.settings), ("Settings of the preparation", card.recipe)):
        yield f"## {title}\n"
        yield from _table(
            ("setting", "value"),
            [(f"`{_cell(name)}`", _cell(json.dumps(_storable(value)))) for name, value in flatten(values).items()],
        )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _cell(text: str) -> str:
    """Write a text that may come from a data file so that it can neither end a cell nor become a tag or a link."""
    plain = " ".join(text.split())
    for sign in ("\\", "|", "`", "<", "[", "]"):
        plain = plain.replace(sign, {"<": "&lt;", "`": "'"}.get(sign, f"\\{sign}"))
    return plain


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "-"


def _storable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _storable(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
