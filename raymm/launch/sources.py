"""The sources of a recipe, read in pieces on a cluster; what cannot be read is counted and kept apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from raymm.data import layout
from raymm.data.formats.known import Kind
from raymm.data.formats.reader import BROKEN, count_places, cut_source, read_fields
from raymm.data.formats.reading import Reading, settle
from raymm.data.formats.sniff import look
from raymm.data.raw import Piece, unreadable
from raymm.data.recipe import Recipe, needed_columns
from raymm.data.rows import INTERACTIONS as INTERACTION_ROWS
from raymm.data.rows import Fate, interaction_rows, item_rows, item_schema, unreadable_row
from raymm.data.source import InteractionSource, ItemSource
from raymm.data.storage import locate, reaching
from raymm.data.summary import SourceSummary
from raymm.errors import ConfigError, DataError

Progress = Callable[[str, int, int], None]

INTERACTIONS: Kind = "interactions"
ITEMS: Kind = "items"


@dataclass(frozen=True)
class Files:
    """The files of one kind, found, looked into, and cut into pieces.

    Attributes:
        kind: `interactions` or `items`, as in the recipe.
        recipe: The recipe.
        paths: Path or URL of each source.
        readings: How each is read.
        pieces: All pieces, in the order of sources and within them.
        piece_bytes: Size of a piece.
    """

    kind: Kind
    recipe: Recipe
    paths: tuple[str, ...]
    readings: tuple[Reading, ...]
    pieces: tuple[Piece, ...]
    piece_bytes: int


def find_files(recipe_path: Path, recipe: Recipe, kind: Kind, piece_bytes: int) -> Files:
    """Find the files of one kind and look at how they begin.

    Raises:
        DataError: A file is missing, empty, out of bounds, of no known format, or lacks a column.
        ConfigError: A setting asks for a column that a source of interactions does not have.
    """
    sources: Sequence[InteractionSource | ItemSource] = recipe.interactions if kind == INTERACTIONS else recipe.items
    texts = [modality.column for modality in recipe.features if modality.column] if kind == ITEMS else []
    paths, readings, pieces = [], [], []
    for number, source in enumerate(sources):
        path = locate(recipe_path, source.path)
        with reaching(path):
            reading = settle(source, kind, look(path), texts, recipe.cleaning.longest_line)
            if not reading.domain and not reading.columns["domain"]:
                reading = dataclasses.replace(reading, domain=recipe.domains[0])
            pieces.extend(cut_source(number, path, reading, piece_bytes))
        paths.append(path)
        readings.append(reading)
    if kind == INTERACTIONS:
        _check_needs(recipe, readings, recipe_path)
        recipe = _ordered(recipe, readings, recipe_path)
    return Files(kind, recipe, tuple(paths), tuple(readings), tuple(pieces), piece_bytes)


def read_files(files: Files) -> list[ray.ObjectRef[pa.Table]]:
    """Read and parse all pieces with Ray Data.

    The files must be readable under the same path on every machine of the cluster.

    Returns:
        Blocks of typed rows, in no order.
    """
    if not files.pieces:
        return []
    numbers = [{"piece": number} for number in range(len(files.pieces))]
    dataset = ray.data.from_items(numbers, override_num_blocks=len(numbers))
    parse: Callable[..., Any] = parse_pieces
    rows = dataset.map_batches(parse, batch_size=1, batch_format="pyarrow", fn_kwargs={"files": files})
    refs: list[ray.ObjectRef[pa.Table]] = rows.materialize().to_arrow_refs()
    return refs


def parse_pieces(batch: pa.Table, files: Files) -> Iterator[pa.Table]:
    """Parse the pieces whose numbers stand in `batch`; runs on a worker."""
    interactions = files.kind == INTERACTIONS
    schema = INTERACTION_ROWS if interactions else item_schema(files.recipe)
    parse = interaction_rows if interactions else item_rows
    yield schema.empty_table()  # a piece may hold no line at all
    for number in batch["piece"].to_pylist():
        piece = files.pieces[number]
        reading = files.readings[piece.source]
        try:
            for fields in read_fields(piece, reading, files.piece_bytes):
                yield parse(fields, files.recipe, reading, piece.source, number)
        except BROKEN as error:
            yield unreadable_row(schema, piece.source, number, f"{type(error).__name__}: {error}")


def tally(blocks: Sequence[ray.ObjectRef[pa.Table]], n_sources: int, n_domains: int) -> np.ndarray:
    """Count rows by source, domain (the last place: none) and fate: (sources, domains + 1, fates) int64."""
    count = ray.remote(count_fates)
    total = np.zeros((n_sources, n_domains + 1, len(Fate)), dtype=np.int64)
    for counts in ray.get([count.remote(block, n_sources, n_domains) for block in blocks]):
        total += counts
    return total


def count_fates(rows: pa.Table, n_sources: int, n_domains: int) -> np.ndarray:
    """Count the rows of one block, as `tally` does; runs on a worker."""
    counts = np.zeros((n_sources, n_domains + 1, len(Fate)), dtype=np.int64)
    domains = rows["domain"].fill_null(-1).to_numpy()  # -1, no domain of the recipe, counts at the end
    np.add.at(counts, (rows["source"].to_numpy(), domains, rows["fate"].to_numpy()), 1)
    return counts


def set_aside(files: Files, blocks: Sequence[ray.ObjectRef[pa.Table]], counts: np.ndarray) -> pa.Table:
    """Collect the malformed rows with their line numbers in the files.

    Returns:
        `layout.SET_ASIDE`, by file and line.

    Raises:
        DataError: A file broke off while it was read, or more of its rows are malformed than the recipe allows.
    """
    by_source = counts.sum(axis=1)
    if not by_source[:, [Fate.MALFORMED, Fate.UNREADABLE]].any():
        return layout.SET_ASIDE.empty_table()
    pick = ray.remote(pick_malformed)
    rows = pa.concat_tables(ray.get([pick.remote(block) for block in blocks])).sort_by(
        [("source", "ascending"), ("piece", "ascending"), ("line", "ascending")]
    )
    broken = rows.filter(pc.equal(rows["fate"], int(Fate.UNREADABLE)))
    if len(broken):
        raise unreadable(files.paths[broken["source"][0].as_py()], broken["reason"][0].as_py())
    lines = rows["line"].to_numpy() + _first_lines(files)[rows["piece"].to_numpy()] + 1
    sources = rows["source"].to_numpy()
    _check_shares(files, by_source, rows, lines)
    paths = np.array([_named(files, number) for number in range(len(files.paths))], dtype=object)[sources]
    return pa.table({"path": paths, "line": lines, "reason": rows["reason"], "text": rows["text"]}, layout.SET_ASIDE)


def pick_malformed(rows: pa.Table) -> pa.Table:
    """Pick the rows of one block that are no rows; runs on a worker."""
    wanted = rows.filter(pc.greater_equal(rows["fate"], int(Fate.MALFORMED)))
    return wanted.select(["source", "piece", "line", "fate", "reason", "text"])


def summarise_files(files: Files, counts: np.ndarray) -> tuple[SourceSummary, ...]:
    """Say what was read of each file."""
    fates = counts.sum(axis=1)
    return tuple(
        SourceSummary(
            _named(files, number),
            int(fates[number].sum()),
            int(fates[number, Fate.MALFORMED]),
            int(fates[number, Fate.OTHER_DOMAIN]),
            int(fates[number, Fate.LOW_RATING]),
            files.readings[number].format,
        )
        for number in range(len(files.paths))
    )


def collect(refs: Sequence[ray.ObjectRef[Any]], stage: str, progress: Progress) -> list[Any]:
    """Wait for tasks, report how many are done, and return their results in order."""
    waiting = list(refs)
    progress(stage, 0, len(refs))
    while waiting:
        _, waiting = ray.wait(waiting, num_returns=1)
        progress(stage, len(refs) - len(waiting), len(refs))
    results: list[Any] = ray.get(list(refs))
    return results


def _check_needs(recipe: Recipe, readings: Sequence[Reading], recipe_path: Path) -> None:
    problems = [
        f"interactions[{number}].columns.{role}: found nothing, but {why}; format {reading.format!r} has "
        + (", ".join(name for name, column in reading.columns.items() if column and name != "domain") or "none")
        for number, reading in enumerate(readings)
        for role, why in needed_columns(recipe).items()
        if not reading.columns[role]
    ]
    if problems:
        raise ConfigError("\n".join(problems), "", str(recipe_path), "name the column, or change the setting")


def _ordered(recipe: Recipe, readings: Sequence[Reading], recipe_path: Path) -> Recipe:
    """Say what orders histories where the recipe does not: the first of `order` and `time` that there is, else lines.

    Raises:
        ConfigError: Some sources have such a column and others have not.
    """
    if recipe.split.by is not None:
        return recipe
    by: Literal["order", "time", "line"] = "line"
    roles: tuple[Literal["order", "time"], ...] = ("order", "time")
    for role in roles:
        with_it = [number for number, reading in enumerate(readings) if reading.columns[role]]
        if len(with_it) == len(readings):
            by = role
            break
        if with_it:
            raise ConfigError(
                f"split.by: found nothing, and only some interactions have a column `{role}` ({with_it})",
                "",
                str(recipe_path),
                "say what orders histories, for example split.by = 'line', or name the columns of the others",
            )
    return dataclasses.replace(recipe, split=dataclasses.replace(recipe.split, by=by))


def _first_lines(files: Files) -> np.ndarray:
    """Return the number of lines before each piece in its file: (pieces,) int64."""
    count = ray.remote(count_places)
    counted = ray.get([count.remote(piece, files.readings[piece.source], files.piece_bytes) for piece in files.pieces])
    before, first, source = 0, [], -1
    for piece, lines in zip(files.pieces, counted, strict=True):
        before = before if piece.source == source else 0
        source = piece.source
        first.append(before)
        before += lines
    return np.array(first, dtype=np.int64)


def _check_shares(files: Files, by_source: np.ndarray, rows: pa.Table, lines: np.ndarray) -> None:
    limit = files.recipe.cleaning.max_malformed
    sources, reasons = rows["source"].to_numpy(), rows["reason"].to_pylist()
    for number, path in enumerate(files.paths):
        malformed, total = int(by_source[number, Fate.MALFORMED]), int(by_source[number].sum())
        if malformed > limit * total or 0 < total == malformed:
            first = np.flatnonzero(sources == number)[:3]
            examples = "; ".join(f"line {lines[place]}: {reasons[place]}" for place in first)
            raise DataError(
                f"{malformed:,} of {total:,} rows are malformed ({malformed / total:.2%}): {examples}",
                f"at most {limit:.2%}" if limit < 1 else "a row that can be read",
                path,
                "mend the file, the delimiter or the columns in the recipe, or raise cleaning.max_malformed",
            )


def _named(files: Files, number: int) -> str:
    recipe = files.recipe
    return recipe.interactions[number].path if files.kind == INTERACTIONS else recipe.items[number].path
