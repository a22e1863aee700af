"""What features are made from beside the item files: files of vectors, found and hashed before any work is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raymm.artefacts import hash_file
from raymm.data.modality import Modality
from raymm.data.recipe import Recipe, source_path
from raymm.data.vectors import ids_beside


@dataclass(frozen=True)
class FeatureSources:
    """Where they lie.

    Attributes:
        vectors: Modality and domain to a file of ready-made vectors.
        marks: Name of each input, as the recipe has it, to its fingerprint.
    """

    vectors: Mapping[tuple[str, str], Path]
    marks: Mapping[str, str]


def find_feature_sources(recipe_path: Path, recipe: Recipe) -> FeatureSources:
    """Find and hash them.

    Raises:
        DataError: A file is missing or out of bounds.
    """
    vectors: dict[tuple[str, str], Path] = {}
    marks: dict[str, str] = {}
    for modality in recipe.features:
        if modality.encoder == "vectors":
            for domain, (name, path) in _vector_files(recipe_path, recipe, modality).items():
                vectors[modality.name, domain] = path
                marks[name] = hash_file(path)
                beside = ids_beside(path)
                if beside is not None:
                    marks[str(Path(name).with_name(beside.name))] = hash_file(beside)
    return FeatureSources(vectors, marks)


def _vector_files(recipe_path: Path, recipe: Recipe, modality: Modality) -> dict[str, tuple[str, Path]]:
    """Return for each domain the name and the path of its file."""
    names = {domain: modality.path.format(domain=domain) for domain in recipe.domains}
    return {domain: (name, source_path(recipe_path, name)) for domain, name in names.items()}
