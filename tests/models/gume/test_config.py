from __future__ import annotations

import pytest

from raymm.config import build, plain
from raymm.errors import ConfigError
from raymm.models.gume.config import DEFAULT, PAPER, PAPER_CLOTHING, PAPER_ELECTRONICS, PAPER_SPORTS, GumeConfig

# Rows of the published settings: layers of the item graphs, temperature and weights.
PUBLISHED = {
    "baby": (PAPER, 2, 0.4, 0.01, 0.1, 0.1),
    "sports": (PAPER_SPORTS, 1, 0.2, 0.01, 0.1, 0.01),
    "clothing": (PAPER_CLOTHING, 1, 0.2, 0.1, 0.2, 0.001),
    "electronics": (PAPER_ELECTRONICS, 1, 0.2, 0.1, 0.2, 0.1),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_presets_hold_the_published_settings(name: str) -> None:
    config, layers, bm_temperature, um_weight, um_temperature, vt_weight = PUBLISHED[name]
    alignment, users = config.alignment, config.user_modality
    assert (config.graph.item_layers, alignment.external_temperature) == (layers, bm_temperature)
    assert (users.weight, users.temperature, alignment.internal_weight) == (um_weight, um_temperature, vt_weight)
    assert (config.width, config.graph.neighbours, config.graph.interaction_layers) == (64, 10, 3)
    assert (alignment.external_weight, config.regularisation, users.regularisation) == (0.01, 1e-5, 0.1)
    assert (config.regulariser_rows, config.train_features, config.graph.symmetric_links) == (2048, True, False)
    assert alignment.internal == "scalar"


@pytest.mark.parametrize("config", [DEFAULT, PAPER, PAPER_CLOTHING])
def test_configs_survive_plain_data(config: GumeConfig) -> None:
    assert build(GumeConfig, plain(config)) == config


def test_bad_settings_are_named_together() -> None:
    bad = {"width": 0, "graph": {"neighbours": 0}, "alignment": {"internal": "vector"}, "user_modality": {"tau": 1}}
    with pytest.raises(ConfigError) as caught:
        build(GumeConfig, bad)
    for name in ("graph.neighbours", "alignment.internal", "user_modality.tau"):
        assert name in str(caught.value)
