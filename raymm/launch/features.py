"""The features of a data set's items: which encoder makes them, and one row an item in each domain's files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from raymm.data.feature_file import FeatureFile
from raymm.data.features import TextEncoder, encode_texts, fit_text_encoder
from raymm.data.modality import TFIDF_DIMENSION, Modality
from raymm.data.recipe import Recipe
from raymm.data.rows import modality_column
from raymm.data.summary import FeatureSummary
from raymm.data.vectors import find_rows, read_vectors
from raymm.errors import DataError
from raymm.launch.catalogue import Catalogue
from raymm.launch.feature_sources import FeatureSources
from raymm.launch.sources import Progress, collect

BATCH_ITEMS = 4_096  # items whose texts a worker encodes, or whose vectors are copied, at a time


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
    made: dict[str, list[FeatureSummary]] = {}
    numbers = [number for number, modality in enumerate(recipe.features) if modality.encoder == "tfidf_svd"]
    if numbers:
        made.update(_write_tfidf(folder, recipe, numbers, catalogues, progress))
    for modality in recipe.features:
        if modality.encoder == "vectors":
            made[modality.name] = [
                _copy_vectors(folder, modality, catalogue, sources, progress) for catalogue in catalogues
            ]
    return [summary for modality in recipe.features for summary in made[modality.name]]


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
) -> dict[str, list[FeatureSummary]]:
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
            FeatureSummary(catalogue.domain, modality.name, modality.encoder, file.width, file.finish())
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
) -> FeatureSummary:
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
    width = file.values.shape[1]
    return FeatureSummary(catalogue.domain, modality.name, modality.encoder, width, target.finish(), unused=unused)


def _values(modality: str) -> str:
    return f"values of {modality}"


def _present(modality: str) -> str:
    return f"presence of {modality}"
