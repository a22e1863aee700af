"""One modality of the items as a recipe describes it."""

from __future__ import annotations

import dataclasses
import string
from typing import Literal

from raymm.config import check, setting
from raymm.data.storage import check_url
from raymm.errors import ConfigError

MODEL_ENCODERS = ("sentence_transformers", "transformer", "clip_text", "clip_image")
TFIDF_DIMENSION = 128  # columns, where a recipe does not say

_PLACES = ("item", "domain", "column")  # what a pattern of image paths may name


@dataclasses.dataclass(frozen=True)
class Modality:
    """One modality of the items: computed from their texts or images, or read from a file of vectors."""

    name: str = setting(help="name of the modality")
    encoder: Literal["tfidf_svd", "sentence_transformers", "transformer", "clip_text", "clip_image", "vectors"] = (
        setting("tfidf_svd", "what makes the vectors; tfidf_svd needs no model, vectors are ready-made")
    )
    column: str = setting("", "column of the item files: texts, or what {column} of `images` stands for")
    images: str = setting(
        "", "clip_image: path or URL of an item's image, such as posters/{item}.jpg; may name {domain} too"
    )
    model: str = setting("", "id of a model, or a local folder relative to the recipe that begins with . or /")
    path: str = setting("", "vectors: .npy, .npz or .parquet, path or URL; a file for each domain if it names {domain}")
    id_column: str = setting("id", "vectors in Parquet: column of external item ids")
    vector_column: str = setting("", "vectors in Parquet: column of lists; empty: the only other column")
    dimension: int | None = setting(
        None, f"columns; left out: {TFIDF_DIMENSION} of tfidf_svd, else whatever the model or file has", ge=1
    )
    l2: bool = setting(False, "scale each vector to unit length; a zero vector stays zero")
    dtype: Literal["float32", "float16"] = setting("float32", "how the numbers are stored")
    fill: Literal["mean", "zero", "learned"] = setting(
        "mean", "vector of an item that lacks the modality; learned: zeros in the file, a row that a model may train"
    )
    max_missing: float = setting(0.2, "share of a domain's items that may lack this modality", ge=0, lt=1)
    batch: int = setting(32, "texts or images that go through a model at a time", ge=1)
    shard: int = setting(2_048, "items of a shard, which is what an interrupted preparation keeps", ge=1)
    noise: float = setting(
        0.0, "length of the random vector that is added to each, as a share of its own length; for experiments", ge=0
    )
    seed: int = setting(0, "seed of the randomised SVD, and of the noise", ge=0)

    def __post_init__(self) -> None:
        """Check the limits, that the name can name a file, and that the encoder has what it needs."""
        check(self)
        check_file_name("name", self.name)
        problems = _problems(self)
        if problems:
            raise ConfigError("\n".join(problems))

    @property
    def uses_model(self) -> bool:
        """Whether a pretrained model makes the vectors."""
        return self.encoder in MODEL_ENCODERS


def check_file_name(key: str, name: str) -> None:
    """Refuse a name that cannot be part of a file name.

    Raises:
        ConfigError: It holds something else than letters, digits, `_` and `-`, or nothing.
    """
    if not name or not all(letter.isalnum() or letter in "_-" for letter in name):
        raise ConfigError(f"{key}: found {name!r}, expected letters, digits, '_' and '-', as it names files")


def names_in(key: str, pattern: str) -> set[str]:
    """Return the names in braces of a pattern.

    Raises:
        ConfigError: Braces that do not match, or that hold more than a plain name.
    """
    try:
        parts = [(name, spec, how) for _, name, spec, how in string.Formatter().parse(pattern) if name is not None]
    except ValueError as error:
        raise ConfigError(f"{key}: found {pattern!r}, expected names in braces: {error}") from error
    if any(spec or how for _, spec, how in parts):
        raise ConfigError(f"{key}: found {pattern!r}, expected plain names in braces")
    return {name for name, _, _ in parts}


def _problems(modality: Modality) -> list[str]:
    encoder = modality.encoder
    needed = {"column"} if encoder not in ("clip_image", "vectors") else set()
    needed |= {"model"} if modality.uses_model else set()
    needed |= {"images"} if encoder == "clip_image" else set()
    needed |= {"path"} if encoder == "vectors" else set()
    allowed = needed | ({"column"} if encoder == "clip_image" else set())
    problems = [
        f"{key}: found nothing, but encoder {encoder!r} needs it"
        for key in sorted(needed)
        if not getattr(modality, key)
    ]
    problems += [
        f"{key}: found {getattr(modality, key)!r}, but encoder {encoder!r} has no use for it"
        for key in ("column", "images", "model", "path")
        if getattr(modality, key) and key not in allowed
    ]
    return problems + _pattern_problems(modality)


def _pattern_problems(modality: Modality) -> list[str]:
    problems = []
    for key, known in (("images", _PLACES), ("path", ("domain",))):
        pattern = getattr(modality, key)
        check_url(pattern)
        found = names_in(key, pattern)
        unknown = sorted(found - set(known))
        if unknown:
            places = ", ".join(f"{{{name}}}" for name in known)
            problems.append(f"{key}: found {{{unknown[0]}}} in {pattern!r}, expected {places}")
        if key == "images" and pattern:
            if not found & {"item", "column"}:
                problems.append(f"images: found {pattern!r}, expected {{item}} or {{column}} in it")
            if ("column" in found) != bool(modality.column):
                problems.append(
                    f"column: found {modality.column!r}, expected one exactly where `images` has {{column}}"
                )
            if "/" not in pattern.split("{")[0].lstrip("/"):
                problems.append(f"images: found {pattern!r}, expected a folder before the first brace")
    return problems
