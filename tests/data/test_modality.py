import pytest

from raymm.data.modality import Modality, check_file_name
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
