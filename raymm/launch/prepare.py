"""Preparation: a recipe and its files to a prepared set, on Ray, the same for any number of pieces and machines."""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from raymm import artefacts, config
from raymm.artefacts import Manifest
from raymm.data import layout
from raymm.data.overlap import draw_known, true_pairs
from raymm.data.prepared import DomainFacts, SplitFacts
from raymm.data.recipe import Recipe, RecipeFile, read_recipe
from raymm.data.rows import Fate
from raymm.data.storage import hash_source
from raymm.data.summary import DomainSummary, PreparedSummary, read_summary
from raymm.errors import ArtefactError, DataError
from raymm.launch.catalogue import Catalogue, build_catalogue
from raymm.launch.feature_sources import FeatureSources, find_feature_sources
from raymm.launch.features import write_features
from raymm.launch.histories import Cleaned, clean_domain, shard_by_user
from raymm.launch.session import connect, plain_errors
from raymm.launch.sources import (
    INTERACTIONS,
    ITEMS,
    Files,
    Progress,
    find_files,
    read_files,
    set_aside,
    summarise_files,
    tally,
)
from raymm.launch.splits import Written, plan_split, write_domain

PIECE_BYTES = 16 * 2**20
SHARD_ROWS = 250_000


def prepare(
    source: Path | RecipeFile,
    output: Path,
    replace: bool = False,
    progress: Progress = lambda *_: None,
    address: str | None = None,
    piece_bytes: int = PIECE_BYTES,
    shard_rows: int = SHARD_ROWS,
) -> PreparedSummary:
    """Prepare a data set.

    Rows are read in pieces, brought together by user, cleaned, numbered, split and written in shards; only lists of
    users and items and counts of items come to this process. Tables, read in canonical order, and features are the same
    for any piece size, number of shards and number of machines.

    Args:
        source: The recipe's file, or a recipe that was changed after it was read; relative paths start at the file.
        output: Folder to write; shared by the machines of the cluster, like the sources.
        replace: Take the place of an earlier prepared set.
        progress: Told the stage, how much of it is done, and how much it is.
        address: Cluster to connect to, as `connect` takes it, if this process is not connected yet.
        piece_bytes: Bytes of a file that one task reads.
        shard_rows: Rows of a shard, roughly.

    Returns:
        What was read, left out, and written. An output that holds the same already is reused, and says so.

    Raises:
        ConfigError: The recipe is wrong.
        DataError: The sources are missing or malformed, or nothing is left of a domain.
        ArtefactError: Something else stands at `output`.
    """
    began = time.monotonic()
    file = source if isinstance(source, RecipeFile) else RecipeFile(source, read_recipe(source))
    recipe_path, recipe = file.path, file.recipe
    interactions = find_files(recipe_path, recipe, INTERACTIONS, piece_bytes)
    items = find_files(recipe_path, recipe, ITEMS, piece_bytes)
    sources = find_feature_sources(recipe_path, recipe, output)
    inputs = {**_fingerprints(recipe, interactions, items), **sources.marks}
    settings = config.plain(recipe)
    mark = artefacts.fingerprint(layout.KIND, layout.SCHEMA, inputs, settings)
    earlier = _standing(output, replace)
    if earlier and earlier.fingerprint == mark and _is_whole(output, earlier, replace):
        found = read_summary(earlier.facts["summary"])
        shutil.rmtree(sources.work, ignore_errors=True)  # what was copied from a store to compare it
        return dataclasses.replace(found, folder=str(output), seconds=time.monotonic() - began, reused=True)
    with artefacts.writing(output, layout.KIND, layout.SCHEMA, inputs, settings, replace) as (draft, facts):
        facts["split"] = _split_facts(recipe)
        progress("connect", 0, 1)
        connect(address)
        progress("connect", 1, 1)
        with plain_errors():
            summary, domains = _run(recipe, (interactions, items, sources), draft, shard_rows, progress)
        summary = dataclasses.replace(summary, folder=str(output), fingerprint=mark, seconds=time.monotonic() - began)
        facts.update(summary=dataclasses.asdict(summary), domains=domains)
    shutil.rmtree(sources.work, ignore_errors=True)  # shards that an interruption would have needed
    return summary


def _run(
    recipe: Recipe, found: tuple[Files, Files, FeatureSources], folder: Path, shard_rows: int, progress: Progress
) -> tuple[PreparedSummary, list[dict[str, Any]]]:
    """Write everything but the manifest; return the summary and the facts of each domain."""
    interactions, items, sources = found
    n_domains = len(recipe.domains)
    blocks, counts = _read(interactions, n_domains, progress)
    item_blocks, item_counts = _read(items, n_domains, progress)
    aside = [set_aside(interactions, blocks, counts), set_aside(items, item_blocks, item_counts)]
    layout.write_table(layout.set_aside_file(folder), pa.concat_tables(aside), layout.SET_ASIDE)

    taken = counts[:, :n_domains, Fate.TAKEN].sum(axis=0)
    _check_taken(recipe, interactions, taken)
    shards = shard_by_user(blocks, recipe, max(1, -(-int(taken.sum()) // shard_rows)), progress)
    del blocks  # the cluster may forget them now
    cleaned = [clean_domain(shards, recipe, domain, progress) for domain in range(n_domains)]
    rules = plan_split(recipe, cleaned)
    parts = zip(recipe.domains, cleaned, rules, strict=True)
    written = [write_domain(folder, *part, progress) for part in parts]
    catalogues = [build_catalogue(item_blocks, recipe, domain, cleaned[domain].item_ids) for domain in range(n_domains)]
    for catalogue in catalogues:
        _write_items(folder, catalogue)
    features = write_features(folder, recipe, catalogues, sources, progress)
    missing = [{made.modality: made.missing for made in features if made.domain == name} for name in recipe.domains]
    n_true, n_shared = _write_pairs(folder, recipe, cleaned)

    summary = PreparedSummary(
        recipe.name,
        str(folder),
        "",
        summarise_files(interactions, counts),
        summarise_files(items, item_counts),
        tuple(
            _summarise(recipe.domains[number], int(taken[number]), shards.n_rows[number], *parts)
            for number, parts in enumerate(zip(cleaned, written, catalogues, missing, strict=True))
        ),
        n_true,
        n_shared,
        0.0,
        features=tuple(features),
    )
    return summary, [_facts(recipe, *parts) for parts in zip(summary.domains, cleaned, strict=True)]


def _read(files: Files, n_domains: int, progress: Progress) -> tuple[list[ray.ObjectRef[pa.Table]], np.ndarray]:
    progress(f"read {files.kind}", 0, len(files.pieces))
    blocks = read_files(files)
    counts = tally(blocks, len(files.paths), n_domains)
    progress(f"read {files.kind}", len(files.pieces), len(files.pieces))
    return blocks, counts


def _check_taken(recipe: Recipe, files: Files, taken: np.ndarray) -> None:
    for name, rows in zip(recipe.domains, taken, strict=True):
        if not rows:
            raise DataError(
                "no interaction",
                "at least one",
                f"domain {name!r} in {', '.join(files.paths)}",
                "check `domains`, `domain` and `columns.domain` of the recipe, and cleaning.min_rating",
            )


def _write_items(folder: Path, catalogue: Catalogue) -> None:
    table = {
        "index": np.arange(len(catalogue.item_ids)),
        "item_id": catalogue.item_ids,
        "title": catalogue.rows["title"].fill_null(""),
    }
    layout.write_table(layout.items_file(folder, catalogue.domain), pa.table(table), layout.ITEMS)


def _write_pairs(folder: Path, recipe: Recipe, cleaned: list[Cleaned]) -> tuple[int, int]:
    """Write true and known pairs of two domains, or empty tables for one; return how many there are of each."""
    pairs = known = np.empty((0, 2), dtype=np.int64)
    if len(cleaned) == 2:
        first, second = (domain.user_ids for domain in cleaned)
        pairs = true_pairs(first, second)
        ratio = recipe.overlap.shared_ratio
        default = 1.0 if recipe.split.kind == "cold_start" else 0.5  # who is cold must be known elsewhere
        known = draw_known(pairs, first, default if ratio is None else ratio, recipe.overlap.seed)
    for path, drawn in ((layout.true_pairs_file(folder), pairs), (layout.shared_file(folder), known)):
        layout.write_table(path, pa.table({"first": drawn[:, 0], "second": drawn[:, 1]}), layout.PAIRS)
    return len(pairs), len(known)


def _summarise(
    name: str,
    taken: int,
    n_rows: int,
    cleaned: Cleaned,
    written: Written,
    catalogue: Catalogue,
    missing: dict[str, int],
) -> DomainSummary:
    n_core = sum(shard.n_core for shard in cleaned.kept)
    n_left = sum(shard.n_rows for shard in cleaned.kept)
    return DomainSummary(
        name=name,
        interactions=taken,
        repeats=taken - n_rows,
        outside_core=n_rows - n_core,
        short_history=n_core - n_left,
        core_passes=cleaned.passes,
        users=len(cleaned.user_ids),
        items=len(cleaned.item_ids),
        train=written.train,
        validation=written.validation,
        test=written.test,
        items_without_row=catalogue.n_without_row,
        repeated_item_rows=catalogue.n_repeated,
        missing=missing,
        new_users=written.new_users,
        new_items=written.new_items,
        left_out=written.left_out,
        train_after_test=written.train_after_test,
    )


def _facts(recipe: Recipe, summary: DomainSummary, cleaned: Cleaned) -> dict[str, Any]:
    """Say what a reader of the folder must know of one domain: the fields of `DomainFacts`."""
    return dataclasses.asdict(
        DomainFacts(
            name=summary.name,
            n_users=summary.users,
            n_items=summary.items,
            n_train=summary.train,
            n_validation=summary.validation,
            n_test=summary.test,
            has_ratings=cleaned.has_ratings,
            has_times=cleaned.has_times,
            modalities=tuple(modality.name for modality in recipe.features),
        )
    )


def _split_facts(recipe: Recipe) -> dict[str, Any]:
    """Say how the set was split: the fields of `SplitFacts`."""
    split = recipe.split
    target = (split.target or recipe.domains[-1]) if split.kind == "cold_start" else None
    return dataclasses.asdict(SplitFacts(split.kind, target, split.positive_rating))


def _fingerprints(recipe: Recipe, interactions: Files, items: Files) -> dict[str, str]:
    names = [source.path for source in recipe.interactions] + [source.path for source in recipe.items]
    paths = [*interactions.paths, *items.paths]
    return {name: hash_source(path) for name, path in zip(names, paths, strict=True)}


def _standing(output: Path, replace: bool) -> Manifest | None:
    """Look at what stands at `output` before any work is done; None where nothing does, or what is to be replaced.

    Raises:
        ArtefactError: Something that may not be replaced, or that no preparation wrote and would be lost.
    """
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return None
    if not (output / artefacts.MANIFEST).is_file():
        what = "a folder that raymm did not write" if output.is_dir() else "a file"
        raise ArtefactError(what, "a new or empty folder, or an earlier prepared set", str(output), "choose another")
    try:
        return artefacts.read_manifest(output, layout.KIND, layout.SCHEMA)
    except ArtefactError as error:
        if replace and error.found.startswith(f"{layout.KIND}, schema"):
            return None
        raise


def _is_whole(output: Path, manifest: Manifest, replace: bool) -> bool:
    """Compare the files with the manifest; a damaged set is an error, unless it may be replaced."""
    try:
        artefacts.verify(output, manifest)
    except ArtefactError:
        if not replace:
            raise
        return False
    return True
