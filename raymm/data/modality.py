"""One modality of the items as a recipe describes it."""

from __future__ import annotations

import dataclasses
from typing import Literal

from raymm.config import check, setting
from raymm.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Modality:
    """One modality of the items, computed from a text column of the item files."""

    name: str = setting(help="name of the modality")
    column: str = setting(help="text column of the item files")
    encoder: Literal["tfidf_svd"] = setting("tfidf_svd", "TF-IDF of words, then truncated SVD")
    dimension: int = setting(128, "columns of the feature", ge=1)
    max_missing: float = setting(0.2, "share of a domain's items that may lack this modality", ge=0, lt=1)
    seed: int = setting(0, "seed of the randomised SVD", ge=0)

    def __post_init__(self) -> None:
        """Check the limits, and that the name can name a file."""
        check(self)
        check_file_name("name", self.name)


def check_file_name(key: str, name: str) -> None:
    """Refuse a name that cannot be part of a file name.

    Raises:
        ConfigError: It holds something else than letters, digits, `_` and `-`, or nothing.
    """
    if not name or not all(letter.isalnum() or letter in "_-" for letter in name):
        raise ConfigError(f"{key}: found {name!r}, expected letters, digits, '_' and '-', as it names files")
