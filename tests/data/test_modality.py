import pytest

from raymm.data.modality import Modality, check_file_name, names_in
from raymm.errors import ConfigError


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", "a.b"])
def test_a_name_that_cannot_name_a_file_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        check_file_name("name", name)
    with pytest.raises(ConfigError, match="letters, digits"):
        Modality(name=name, column="text")


@pytest.mark.parametrize("name", ["title", "image_v2", "clip-b32"])
def test_a_plain_name_is_taken(name: str) -> None:
    check_file_name("name", name)
    assert Modality(name=name, column="text").name == name


def test_a_dimension_without_columns_is_refused() -> None:
    with pytest.raises(ConfigError, match="dimension"):
        Modality(name="title", column="title", dimension=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "column: found nothing, but encoder 'tfidf_svd' needs it"),
        ({"column": "text", "model": "m"}, "model: found 'm', but encoder 'tfidf_svd' has no use for it"),
        ({"encoder": "vectors"}, "path: found nothing, but encoder 'vectors' needs it"),
        ({"encoder": "vectors", "path": "x.npy", "column": "text"}, "column: found 'text'"),
        ({"encoder": "vectors", "path": "{item}.npy"}, r"path: found \{item\}"),
        ({"encoder": "clip_text", "column": "text"}, "model: found nothing"),
        ({"encoder": "clip_image", "model": "m"}, "images: found nothing"),
        ({"encoder": "clip_image", "model": "m", "images": "a/b.jpg"}, r"expected \{item\} or \{column\}"),
        ({"encoder": "clip_image", "model": "m", "images": "{item}.jpg"}, "a folder before the first brace"),
        ({"encoder": "clip_image", "model": "m", "images": "/{item}.jpg"}, "a folder before the first brace"),
        ({"encoder": "clip_image", "model": "m", "images": "a/{column}"}, "exactly where `images` has"),
        ({"encoder": "clip_image", "model": "m", "images": "a/{item}", "column": "c"}, "exactly where `images` has"),
        ({"encoder": "clip_image", "model": "m", "images": "a/{item"}, "names in braces"),
        ({"encoder": "clip_image", "model": "m", "images": "a/{item.__class__}"}, r"\{item.__class__\}"),
        ({"encoder": "clip_image", "model": "m", "images": "a/{item!r:>99999}"}, "plain names in braces"),
    ],
)
def test_an_encoder_gets_what_it_needs_and_nothing_else(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Modality(name="m", **settings)


def test_names_in_braces_are_found() -> None:
    assert names_in("images", "p/{domain}/{item}-{item}.jpg") == {"domain", "item"}
    assert names_in("images", "p/x.jpg") == set()
