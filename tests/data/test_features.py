from __future__ import annotations

import numpy as np
import pytest

from raymm.data.features import encode_texts, fit_text_encoder
from raymm.data.filling import fill_missing
from raymm.errors import DataError

COLOURS, ANIMALS = ["red", "green", "blue", "grey", "pink"], ["cat", "dog", "cow", "hen", "owl"]


def catalogue() -> list[str]:
    generator = np.random.default_rng(0)
    return [
        " ".join(generator.choice(words, size=3)) + f" a{number}"
        for words in (COLOURS, ANIMALS)
        for number in range(40)
    ]


def test_texts_of_one_topic_lie_together() -> None:
    encoder = fit_text_encoder(catalogue(), 2, 0, "toy")
    values, present = encode_texts(encoder, ["red blue", "green pink pink", "cat cow", "owl dog hen"])
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    similarity = values @ values.T
    assert present.all()
    assert similarity[0, 1] > 0.9
    assert similarity[2, 3] > 0.9
    assert abs(similarity[:2, 2:]).max() < 0.2


def test_full_rank_keeps_every_angle_between_texts() -> None:
    texts = [text.rsplit(" ", 1)[0] for text in catalogue()]
    encoder = fit_text_encoder(texts, 9, 0, "toy")
    values, _ = encode_texts(encoder, texts)
    exact = encoder.vectorizer.transform(texts).toarray()
    spectrum = np.linalg.svd(exact, compute_uv=False)
    # Eckart and Young: what a projection on the nine leading directions loses is the tenth singular value.
    assert np.linalg.norm(exact) ** 2 - np.linalg.norm(values) ** 2 == pytest.approx(spectrum[9] ** 2, rel=1e-4)


def test_rows_do_not_depend_on_their_company() -> None:
    texts = catalogue()
    encoder = fit_text_encoder(texts, 5, 0, "toy")
    whole, _ = encode_texts(encoder, texts)
    for start in (0, 1, 33):
        np.testing.assert_array_equal(encode_texts(encoder, texts[start : start + 7])[0], whole[start : start + 7])


def test_same_seed_same_numbers() -> None:
    first, second = (encode_texts(fit_text_encoder(catalogue(), 5, 3, "toy"), catalogue())[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_text_without_a_known_word_is_missing_and_gets_the_mean() -> None:
    encoder = fit_text_encoder(["", "  ", *catalogue()], 5, 0, "toy")
    values, present = encode_texts(encoder, ["red cat", "", "!!", "unheard", "dog"])
    assert present.tolist() == [True, False, False, False, True]
    fill_missing(values, present)
    np.testing.assert_allclose(values[1], (values[0] + values[4]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(values[1], values[3])


@pytest.mark.parametrize("texts", [[], ["", ""], ["one two three"], catalogue()[:4]])
def test_too_poor_texts_are_an_error(texts: list[str]) -> None:
    with pytest.raises(DataError, match=r"(?s)features\[0\].*more than 8.*dimension"):
        fit_text_encoder(texts, 8, 0, "features[0]")
