"""Features of items from their texts, by an encoder that needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from threadpoolctl import threadpool_limits

from raymm.errors import DataError


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """TF-IDF of words, projected on the leading directions of the catalogue it was fitted on.

    Attributes:
        vectorizer: Texts to a sparse (n, W) matrix over W words, rows of unit length.
        components: (F, W) leading right singular vectors.
    """

    vectorizer: TfidfVectorizer
    components: np.ndarray


def fit_text_encoder(texts: Sequence[str], dimension: int, seed: int, where: str) -> TextEncoder:
    """Fit an encoder on the texts of a catalogue.

    Latent semantic analysis (Deerwester et al., 1990) of 1 + log(tf) times smoothed idf, scikit-learn's forms. It
    runs on one thread, so that the same texts in the same order give the same numbers on any machine of a kind.

    Args:
        texts: One text an item, empty where there is none.
        dimension: Columns F of the feature.
        seed: Seed of the randomised SVD.
        where: Which modality this is, for messages.

    Raises:
        DataError: The texts have not enough words, or there are too few of them, for so many columns.
    """
    # Words of one letter count ("a3", "5 in"): sizes and numbers tell products apart.
    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, dtype=np.float64)
    spoken = [text for text in texts if any(letter.isalnum() for letter in text)]
    matrix = vectorizer.fit_transform(spoken) if spoken else np.empty((0, 0))
    if min(matrix.shape) <= dimension:
        raise DataError(
            f"{matrix.shape[0]} items with a text, {matrix.shape[1]} different words",
            f"more than {dimension} of both, for as many columns",
            where,
            "lower the `dimension` of this modality, or check its `column`",
        )
    with threadpool_limits(1):
        svd = TruncatedSVD(dimension, algorithm="randomized", n_iter=7, random_state=seed).fit(matrix)
    return TextEncoder(vectorizer, np.ascontiguousarray(svd.components_))


def encode_texts(encoder: TextEncoder, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Encode texts; each row depends on its own text only.

    Args:
        encoder: A fitted encoder.
        texts: n texts.

    Returns:
        (n, F) float32, and (n,) bool: False, and a row of zeros, where the text has no word the encoder knows.
    """
    matrix = encoder.vectorizer.transform(texts)
    present = np.diff(matrix.indptr) > 0
    # Sparse rows times a dense matrix: each row is summed by itself, in the order of its words.
    return np.asarray(matrix @ encoder.components.T, dtype=np.float32), present
