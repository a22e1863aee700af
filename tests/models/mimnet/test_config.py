"""MIMNet's settings."""

from __future__ import annotations

import pytest

from raymm import config
from raymm.errors import ConfigError
from raymm.models.mimnet.config import COMPAT, DEFAULT, MimnetConfig


def test_presets_survive_plain_data_and_say_what_they_are() -> None:
    for preset in (DEFAULT, COMPAT):
        assert config.build(MimnetConfig, config.plain(preset)) == preset
    assert (COMPAT.base, COMPAT.network.interests, COMPAT.meta.epochs, COMPAT.width) == ("none", 7, 5, 10)
    with pytest.raises(ConfigError, match="network.interests"):
        config.build(MimnetConfig, {"network": {"interests": 0}})
