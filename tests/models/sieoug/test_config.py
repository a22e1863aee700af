import pytest

from raymm.config import build, plain
from raymm.errors import ConfigError
from raymm.models.sieoug.config import DEFAULT, PAPER, SieougConfig, ViewsConfig


def test_the_presets_are_what_they_are_called():
    assert SieougConfig() == DEFAULT
    assert (DEFAULT.width, DEFAULT.item_input, DEFAULT.views.mix, DEFAULT.views.sides) == (128, "id", "sum", "items")
    assert DEFAULT.transfer.matching.marginals == "relaxed"
    assert DEFAULT.votes.weight > PAPER.votes.weight == 0
    assert (PAPER.width, PAPER.item_input, PAPER.views.mix, PAPER.views.sides) == (
        64,
        "multimodal",
        "attention",
        "both",
    )
    assert (PAPER.transfer.weight, PAPER.transfer.reduction, PAPER.hypergraph.clusters) == (0.6, "mean", 15)
    matching = PAPER.transfer.matching
    assert (matching.epsilon, matching.mask, matching.relation, matching.marginals) == (0.05, "soft", "js", "balanced")


def test_steps_match_for_themselves_unless_whole_populations_are_asked_for():
    assert DEFAULT.transfer.scope == PAPER.transfer.scope == "batch"
    asked = build(SieougConfig, {"transfer": {"scope": "population", "refresh_epochs": 3, "population": {"top_k": 8}}})
    assert (asked.transfer.scope, asked.transfer.refresh_epochs, asked.transfer.population.top_k) == (
        "population",
        3,
        8,
    )
    assert build(SieougConfig, plain(asked)) == asked
    for wrong in ({"refresh_epochs": 0}, {"population": {"top_k": 0}}, {"scope": "all"}):
        with pytest.raises(ConfigError, match=r"transfer\.(refresh_epochs|population\.top_k|scope): found"):
            build(SieougConfig, {"transfer": wrong})


def test_learned_weights_with_attention_have_no_effect_and_are_refused():
    with pytest.raises(ConfigError, match="views.learned"):
        SieougConfig(views=ViewsConfig(mix="attention", learned=True))


@pytest.mark.parametrize("name", ["pair_weight", "hyper_weight"])
@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_weights_of_a_sum_have_no_effect_with_attention_and_are_refused(name, weight):
    weights = {"pair_weight": 1.0, "hyper_weight": 1.0}
    with pytest.raises(ConfigError, match=rf"views\.{name}: found {weight:g} with views.mix 'attention'"):
        build(SieougConfig, {"views": {"mix": "attention", **weights, name: weight}})
    for views in ({"mix": "attention", **weights}, {"mix": "sum", **weights, name: weight}):
        assert build(SieougConfig, {"views": views}).views == ViewsConfig(**views)
