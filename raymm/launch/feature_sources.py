"""What features are made from beside the item files: vectors, images and models, found before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raymm.artefacts import hash_file
from raymm.data.images import hash_images
from raymm.data.modality import Modality
from raymm.data.recipe import Recipe, source_path
from raymm.data.storage import fetch, is_there, is_url
from raymm.data.vectors import IDS, ids_beside
from raymm.launch.encode import Model
from raymm.launch.encoders import check_encoder, fingerprint_model, locate_model


@dataclass(frozen=True)
class FeatureSources:
    """Where they lie.

    Attributes:
        recipe_path: The recipe, in whose folder relative paths begin.
        work: Folder of shards that an interrupted preparation keeps.
        vectors: Modality and domain to a file of ready-made vectors.
        models: Modality to the model that encodes it.
        marks: Name of each input, as the recipe has it, to its fingerprint.
    """

    recipe_path: Path
    work: Path
    vectors: Mapping[tuple[str, str], Path]
    models: Mapping[str, Model]
    marks: Mapping[str, str]


def find_feature_sources(recipe_path: Path, recipe: Recipe, output: Path) -> FeatureSources:
    """Find and hash them; a model that is not on this machine is downloaded.

    Args:
        recipe_path: The recipe.
        recipe: What it says.
        output: The folder that will be prepared; shards are kept beside it.

    Raises:
        DataError: A file or folder is missing or out of bounds, a model cannot be had, or a library is not installed.
    """
    work = output.with_name(f".{output.name}.features")
    vectors: dict[tuple[str, str], Path] = {}
    models: dict[str, Model] = {}
    marks: dict[str, str] = {}
    for modality in recipe.features:
        if modality.encoder == "vectors":
            for domain, (name, path) in _vector_files(recipe_path, recipe, modality, work / "fetched").items():
                vectors[modality.name, domain] = path
                marks[name] = hash_file(path)
                beside = ids_beside(path)
                if beside is not None:
                    marks[name.removesuffix(".npy") + IDS] = hash_file(beside)
        if modality.images:
            marks[modality.images] = hash_images(recipe_path, modality.images)
        if modality.uses_model:
            models[modality.name] = model = _find_model(recipe_path, modality)
            marks[f"model {modality.model}"] = model.mark
    return FeatureSources(recipe_path, work, vectors, models, marks)


def _find_model(recipe_path: Path, modality: Modality) -> Model:
    folder = locate_model(recipe_path, modality.model)
    check_encoder(modality.encoder, folder)
    mark = fingerprint_model(folder)
    return Model(modality.encoder, modality.model, recipe_path, folder, mark, modality.batch)


def _vector_files(recipe_path: Path, recipe: Recipe, modality: Modality, work: Path) -> dict[str, tuple[str, Path]]:
    """Return for each domain the name and the path of its file; what lies in a store is copied to `work` first."""
    names = {domain: modality.path.format(domain=domain) for domain in recipe.domains}
    return {
        domain: (name, _fetched(name, work) if is_url(name) else source_path(recipe_path, name))
        for domain, name in names.items()
    }


def _fetched(url: str, work: Path) -> Path:
    """Copy a file of vectors, and the ids that stand beside a `.npy` file, from a store."""
    copy = fetch(url, work)
    if copy.suffix == ".npy":
        beside, ids = copy.with_suffix(IDS), url.removesuffix(".npy") + IDS
        beside.unlink(missing_ok=True)  # an interrupted preparation may have left what is gone from the store since
        if is_there(ids):
            fetch(ids, work).replace(beside)
    return copy
