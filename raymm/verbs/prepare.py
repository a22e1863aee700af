"""Prepare: a recipe to a prepared set, and what happened on the way as a table."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from raymm.data.summary import PreparedSummary, split_notes
from raymm.launch.prepare import prepare

__all__ = ["preparation_table", "prepare"]


def preparation_table(summary: PreparedSummary) -> RenderableType:
    """Lay out what a preparation read, left out and kept.

    Returns:
        Something that a rich console prints.
    """
    parts: list[RenderableType] = []
    if not summary.reused:
        parts.append(_files(summary))
    parts.append(_domains(summary))
    parts.extend(Text(line, style="yellow") for line in _lacking(summary))
    parts.extend(Text(line) for line in _made(summary))
    notes = [note for domain in summary.domains for note in split_notes(domain)]
    parts.extend(Text(f"  {note}", style="yellow") for note in notes)
    if len(summary.domains) > 1:
        matching = "" if summary.shared else " (matching of users will rest on distance alone)"
        parts.append(
            Text(f"  {summary.true_pairs:,} users in both domains, {summary.shared:,} known as such{matching}")
        )
    how = "was there already, from the same sources and recipe" if summary.reused else f"in {summary.seconds:.1f} s"
    parts.append(Text(f"  {summary.folder} {how}"))
    return Group(*parts)


def _files(summary: PreparedSummary) -> Table:
    table = _table("file", "format", "rows", "set aside", "other domain", "low rating")
    for source in (*summary.interaction_files, *summary.item_files):
        counts = (source.rows, source.malformed, source.other_domain, source.low_rating)
        table.add_row(Text(source.path), source.format, *(f"{count:,}" for count in counts))
    return table


def _domains(summary: PreparedSummary) -> Table:
    table = _table("domain", "read", "repeats", "too rare", "users", "items", "train", "valid.", "test")
    for domain in summary.domains:
        rare = domain.outside_core + domain.short_history
        sizes = (domain.users, domain.items, domain.train, domain.validation, domain.test)
        table.add_row(
            Text(domain.name), *(f"{count:,}" for count in (domain.interactions, domain.repeats, rare, *sizes))
        )
    return table


def _lacking(summary: PreparedSummary) -> list[str]:
    return [
        f"  {count:,} of {domain.items:,} items of {domain.name} lack {modality}"
        for domain in summary.domains
        for modality, count in domain.missing.items()
        if count
    ]


def _made(summary: PreparedSummary) -> list[str]:
    """Say which vectors had no use, and which shards an interrupted preparation had left."""
    lines = []
    for feature in summary.features:
        name = f"{feature.modality} of {feature.domain}"
        if feature.unused:
            lines.append(f"  {name}: {feature.unused:,} vectors of the file belong to no item")
        if feature.reused and not summary.reused:
            lines.append(f"  {name}: {feature.reused:,} of {feature.shards:,} shards were there already")
    return lines


def _table(first: str, *others: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
