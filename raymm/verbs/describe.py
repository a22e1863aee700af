"""Describe: a prepared set in figures, as a page and for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raymm.data.prepared import PreparedSet, open_prepared
from raymm.data.statistics import describe_domain
from raymm.data.summary import PreparedSummary, read_summary, split_notes
from raymm.report.description import Description, write_description


@dataclass(frozen=True)
class Described:
    """What was found.

    Attributes:
        description: The figures.
        page: The page to open; None if none was written.
    """

    description: Description
    page: Path | None


def describe(folder: Path, output: Path | None) -> Described:
    """Describe a prepared set.

    Args:
        folder: The prepared set; it is not changed.
        output: Where page and record go; None writes nothing.

    Raises:
        ArtefactError: The folder is missing, or is none of a preparation.
    """
    prepared = open_prepared(folder)
    data = prepared.train_data()
    summary = read_summary(prepared.manifest.facts["summary"])
    description = Description(
        name=summary.name,
        fingerprint=prepared.fingerprint,
        domains=tuple(describe_domain(domain) for domain in data.domains),
        held_out={domain.name: (domain.validation, domain.test) for domain in summary.domains},
        true_pairs=summary.true_pairs,
        shared=summary.shared,
        notes=tuple(_notes(prepared, summary)),
    )
    page = None if output is None else write_description(description, data.domains, output)
    return Described(description, page)


def _notes(prepared: PreparedSet, summary: PreparedSummary) -> list[str]:
    malformed = sum(source.malformed for source in (*summary.interaction_files, *summary.item_files))
    notes = [f"{malformed:,} malformed rows were set aside in {prepared.folder.name}/set_aside.parquet"] * bool(
        malformed
    )
    for domain in summary.domains:
        if domain.items_without_row:
            notes.append(f"{domain.name}: {domain.items_without_row:,} items are in no item file")
        if domain.repeated_item_rows:
            notes.append(f"{domain.name}: {domain.repeated_item_rows:,} repeated rows of items were not used")
        notes.extend(split_notes(domain))
    return notes
