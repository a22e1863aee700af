"""The features of a data set's items: which encoder makes them, and one row an item in each domain's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from raymm.data import layout
from raymm.data.feature_file import FeatureFile
from raymm.data.features import TextEncoder, encode_texts, fit_text_encoder
from raymm.data.images import find_images
from raymm.data.modality import TFIDF_DIMENSION, Modality
from raymm.data.recipe import Recipe
from raymm.data.rows import modality_column
from raymm.data.summary import FeatureSummary
from raymm.data.vectors import find_rows, read_vectors
from raymm.errors import DataError
from raymm.launch.catalogue import Catalogue
from raymm.launch.encode import cut_shards, encode_shards, whole_shard
from raymm.launch.feature_sources import FeatureSources
from raymm.launch.sources import Progress, collect

BATCH_ITEMS = 4_096  # items whose texts a worker encodes, or whose vectors are copied, at a time


@dataclass(frozen=True)
class _Made:
    """One modality of one domain: what to say of it, and (domain, modality, id, reason) of each item that lacks it."""

    summary: FeatureSummary
    missing: list[tuple[str, str, str, str]]


def write_features(
    folder: Path, recipe: Recipe, catalogues: Sequence[Catalogue], sources: FeatureSources, progress: Progress
) -> list[FeatureSummary]:
    """Make and write every modality of every domain.

    One encoder serves the items of all domains, so that vectors of two domains can be compared.

    Args:
        folder: The prepared folder.
        recipe: The recipe.
        catalogues: The items of each domain.
        sources: What features are made from beside the item files.
        progress: Told how far it is.

    Returns:
        What was made, by modality and domain.

    Raises:
        DataError: Too many items lack a modality, the texts are too poor for its dimension, a file of vectors does
            not fit, or a vector is not finite.
    """
    made: dict[str, list[_Made]] = {}
    numbers = [number for number, modality in enumerate(recipe.features) if modality.encoder == "tfidf_svd"]
    if numbers:
        made.update(_write_tfidf(folder, recipe, numbers, catalogues, progress))
    for modality in recipe.features:
        if modality.encoder == "vectors":
            made[modality.name] = [
                _copy_vectors(folder, modality, catalogue, sources, progress) for catalogue in catalogues
            ]
        elif modality.uses_model:
            made[modality.name] = _run_model(folder, modality, catalogues, sources, progress)
    features = [feature for modality in recipe.features for feature in made[modality.name]]
    _write_missing(folder, features)
    return [feature.summary for feature in features]


def fit_modality(texts: pa.Table, recipe: Recipe, number: int) -> TextEncoder:
    """Fit the encoder of one modality; runs on a worker."""
    modality = recipe.features[number]
    column = texts[modality_column(modality.name)].to_pylist()
    dimension = modality.dimension or TFIDF_DIMENSION
    return fit_text_encoder(column, dimension, modality.seed, f"features[{number}] ({modality.name!r})")


def encode_batch(
    batch: pa.Table, modalities: Sequence[str], encoders: Sequence[ray.ObjectRef[TextEncoder]]
) -> dict[str, np.ndarray]:
    """Encode the texts of some items in every modality; runs on a worker."""
    encoded = {"place": batch["place"].to_numpy()}
    for modality, encoder in zip(modalities, ray.get(list(encoders)), strict=True):
        values, present = encode_texts(encoder, batch[modality_column(modality)].to_pylist())
        encoded[_values(modality)], encoded[_present(modality)] = values, present
    return encoded


def _write_tfidf(
    folder: Path, recipe: Recipe, numbers: Sequence[int], catalogues: Sequence[Catalogue], progress: Progress
) -> dict[str, list[_Made]]:
    """Fit one encoder a modality on the texts of all domains, and encode them in batches by Ray Data."""
    modalities = [recipe.features[number] for number in numbers]
    texts = pa.concat_tables([catalogue.rows for catalogue in catalogues]).select(
        [modality_column(modality.name) for modality in modalities]
    )
    texts = pa.table([column.fill_null("") for column in texts.columns], names=texts.column_names)
    fit = ray.remote(fit_modality)
    shared_texts = ray.put(texts)
    encoders = [fit.remote(shared_texts, recipe, number) for number in numbers]
    collect(encoders, "fit encoders", progress)
    files = {
        modality.name: [
            FeatureFile(folder, catalogue.domain, modality, catalogue.item_ids, modality.dimension or TFIDF_DIMENSION)
            for catalogue in catalogues
        ]
        for modality in modalities
    }
    starts = np.cumsum([0, *(len(catalogue.item_ids) for catalogue in catalogues)])
    done = 0
    for batch in _encoded(texts, list(files), encoders):
        places = batch["place"]
        for domain, start in enumerate(starts[:-1]):
            inside = (places >= start) & (places < starts[domain + 1])
            for name, targets in files.items():
                targets[domain].put(places[inside] - start, batch[_values(name)][inside], batch[_present(name)][inside])
        done += len(places)
        progress("encode items", done, len(texts))
    return {
        modality.name: [
            _finished(file, modality, catalogue, "no word that the encoder knows")
            for catalogue, file in zip(catalogues, files[modality.name], strict=True)
        ]
        for modality in modalities
    }


def _encoded(
    texts: pa.Table, modalities: Sequence[str], encoders: Sequence[ray.ObjectRef[TextEncoder]]
) -> Iterable[dict[str, np.ndarray]]:
    texts = texts.append_column("place", pa.array(np.arange(len(texts))))
    blocks = [texts.slice(start, BATCH_ITEMS) for start in range(0, len(texts), BATCH_ITEMS)]
    encode: Callable[..., Any] = encode_batch
    dataset = ray.data.from_arrow(blocks).map_batches(
        encode,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={"modalities": list(modalities), "encoders": list(encoders)},
    )
    batches: Iterable[dict[str, np.ndarray]] = dataset.iter_batches(batch_size=None, batch_format="numpy")
    return batches


def _copy_vectors(
    folder: Path, modality: Modality, catalogue: Catalogue, sources: FeatureSources, progress: Progress
) -> _Made:
    """Copy the vectors of one domain's items from the file that holds them, a stretch at a time."""
    file = read_vectors(sources.vectors[modality.name, catalogue.domain], modality.id_column, modality.vector_column)
    others = {
        path for (name, domain), path in sources.vectors.items() if name == modality.name and domain != catalogue.domain
    }
    if file.ids is None and file.path in others:
        raise DataError(
            "one file of vectors without ids for two domains, so that a row would mean another item in each",
            "a file a domain, or ids",
            f"{file.path}, modality {modality.name!r}",
            "put {domain} into `path`, or write ids into the file",
        )
    rows, unused = find_rows(file, catalogue.item_ids)
    target = FeatureFile(folder, catalogue.domain, modality, catalogue.item_ids, file.values.shape[1])
    stage = f"copy {modality.name} of {catalogue.domain}"
    progress(stage, 0, len(rows))
    for start in range(0, len(rows), BATCH_ITEMS):
        some = rows[start : start + BATCH_ITEMS]
        target.put(np.arange(start, start + len(some)), file.values[some], some >= 0)
        progress(stage, start + len(some), len(rows))
    return _finished(target, modality, catalogue, "no vector in the file", unused=unused)


def _run_model(
    folder: Path, modality: Modality, catalogues: Sequence[Catalogue], sources: FeatureSources, progress: Progress
) -> list[_Made]:
    """Encode the items of each domain by a pretrained model, shard by shard."""
    model = sources.models[modality.name]
    made = []
    for catalogue in catalogues:
        inputs, reasons = _inputs(modality, catalogue, sources)
        shards = cut_shards(sources.work / f"{catalogue.domain}-{modality.name}", model, inputs, modality.shard)
        reused = encode_shards(model, shards, f"encode {modality.name} of {catalogue.domain}", progress)
        # A shard of nothing but missing items does not know the width; where all are, nobody does, and finish refuses.
        width = next((width for shard in shards if (width := whole_shard(shard)[0].shape[1])), modality.dimension or 1)
        target = FeatureFile(folder, catalogue.domain, modality, catalogue.item_ids, width)
        for number, shard in enumerate(shards):
            values, why = whole_shard(shard)
            places = np.arange(len(values)) + number * modality.shard
            told = [reasons[place] or reason for place, reason in zip(places, why, strict=True)]
            present = np.array([not reason for reason in told])
            target.put(places, values if values.shape[1] else np.zeros((len(values), width)), present, told)
        made.append(_finished(target, modality, catalogue, shards=(len(shards), reused)))
    return made


def _inputs(modality: Modality, catalogue: Catalogue, sources: FeatureSources) -> tuple[list[str], list[str]]:
    """Return the text, or the path of the image, of each item; and why it has none, empty where it has one."""
    texts = catalogue.rows[modality_column(modality.name)].to_pylist()
    if modality.images:
        ids = catalogue.item_ids.to_pylist()
        return find_images(sources.recipe_path, modality.images, catalogue.domain, ids, texts)
    return [text or "" for text in texts], ["" if text and text.strip() else "no text" for text in texts]


def _finished(
    file: FeatureFile,
    modality: Modality,
    catalogue: Catalogue,
    reason: str = "",
    unused: int = 0,
    shards: tuple[int, int] = (0, 0),
) -> _Made:
    """Close a file and say what became of it; `shards` are how many there are, and how many were there already."""
    domain, missing = catalogue.domain, file.finish(reason)
    summary = FeatureSummary(domain, modality.name, modality.encoder, file.width, len(missing), unused, *shards)
    return _Made(summary, [(domain, modality.name, *row) for row in missing])


def _write_missing(folder: Path, features: Sequence[_Made]) -> None:
    """Write which item lacks which modality, and why; no file where none does."""
    rows = [row for feature in features for row in feature.missing]
    if rows:
        columns = dict(zip(layout.MISSING.names, zip(*rows, strict=True), strict=True))
        table = pa.table({name: list(values) for name, values in columns.items()}, layout.MISSING)
        layout.write_table(layout.missing_file(folder), table, layout.MISSING)


def _values(modality: str) -> str:
    return f"values of {modality}"


def _present(modality: str) -> str:
    return f"presence of {modality}"
