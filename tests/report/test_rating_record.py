"""Records of rating runs survive storage, and hold every yardstick."""

from __future__ import annotations

import pytest

from raymm.errors import ArtefactError, ConfigError
from raymm.report.rating_record import read_rating_record, write_rating_record
from tests.report.rating_toys import make_rating_record


def test_a_record_survives_storage_and_damage_is_noticed(tmp_path) -> None:
    record, path = make_rating_record(), tmp_path / "report.json"
    write_rating_record(record, path)
    assert read_rating_record(path) == record
    path.write_text(path.read_text().replace('"created"', '"made"'))
    with pytest.raises(ArtefactError, match="created"):
        read_rating_record(path)
    with pytest.raises(ArtefactError, match="unreadable"):
        read_rating_record(tmp_path / "none.json")


def test_a_record_without_a_yardstick_is_refused() -> None:
    whole = make_rating_record().errors
    with pytest.raises(ConfigError, match="floor"):
        make_rating_record(errors={name: values for name, values in whole.items() if name != "floor"})
