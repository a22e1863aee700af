"""Settings of SIEOUG and its two presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raymm.config import check, setting
from raymm.errors import ConfigError
from raymm.graph.fusion import FusionConfig
from raymm.graph.hypergraph import HypergraphConfig
from raymm.graph.votes import VotesConfig
from raymm.transport.guided import PAPER as PAPER_MATCHING
from raymm.transport.guided import MatchConfig
from raymm.transport.population import PopulationConfig


@dataclass(frozen=True)
class ViewsConfig:
    """Which views of users and items there are, and how they become one embedding."""

    mix: Literal["sum", "attention"] = setting("sum", "views added at fixed or learned weights, or by attention")
    sides: Literal["items", "both"] = setting("items", "who gets the graph views: items alone, or users too")
    pair_weight: float = setting(1.0, "weight of the item graph in a sum; 0 leaves the view out", ge=0)
    hyper_weight: float = setting(0.0, "weight of the hypergraph in a sum; 0 leaves the view out", ge=0)
    learned: bool = setting(False, "let training move the weights of a sum")
    interaction_layers: int = setting(2, "layers over the user-item graph", ge=0)
    pair_layers: int = setting(1, "layers over the item graph", ge=1)
    hyper_layers: int = setting(1, "layers over the hypergraph", ge=1)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class TransferConfig:
    """How users of the two domains are matched and drawn together."""

    weight: float = setting(0.1, "lambda, weight of the guidance loss; 0 trains the domains apart", ge=0)
    reduction: Literal["per_row", "mean"] = setting(
        "per_row", "guidance loss summed over its users and divided by the rows of the batch, or its plain mean"
    )
    users: int = setting(256, "users of each domain matched in a step", unit="users", ge=4)
    temperature: float = setting(0.2, "temperature of the guidance loss", gt=0)
    form: Literal["cross_entropy", "log_sum"] = setting("cross_entropy", "form of the guidance loss")
    warmup_epochs: int = setting(5, "epochs before matching starts, as first embeddings carry no signal", ge=0)
    scope: Literal["batch", "population"] = setting(
        "batch", "who is matched: the users of a step, anew in each; or all users, every few epochs beside the training"
    )
    refresh_epochs: int = setting(
        5, "epochs between plans of scope population; each is used as many epochs after it was asked for", ge=1
    )
    matching: MatchConfig = setting(MatchConfig, "the transport problem of scope batch")
    population: PopulationConfig = setting(PopulationConfig, "the transport problem of scope population")

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class SieougConfig:
    """Settings of SIEOUG; the defaults are the preset `default`."""

    width: int = setting(128, "columns of an embedding", ge=1)
    item_input: Literal["id", "multimodal"] = setting("id", "what enters for items: ids, or ids and projected features")
    loss: Literal["bpr", "bce", "softmax"] = setting(
        "bpr", "recommendation loss: against one item that was not chosen, in two forms, or against many at once"
    )
    drawn: int = setting(256, "items of each domain that all rows of a step are set against by softmax", ge=1)
    regularisation: float = setting(1e-3, "weight of the squared embeddings of a batch", ge=0)
    projection_rate: float = setting(0.1, "learning rate of feature projections, as a multiple of the others'", gt=0)
    views: ViewsConfig = setting(ViewsConfig, "views and their mix")
    fusion: FusionConfig = setting(FusionConfig, "item graph from several modalities")
    hypergraph: HypergraphConfig = setting(HypergraphConfig, "clusters of items")
    votes: VotesConfig = setting(VotesConfig, "votes of histories beside the embeddings")
    transfer: TransferConfig = setting(TransferConfig, "matching of users and the guidance loss")

    def __post_init__(self) -> None:
        """Check the limits, and settings that have no effect together."""
        check(self)
        if self.views.learned and self.views.mix == "attention":
            raise ConfigError("views.learned: found true with views.mix 'attention', expected it with 'sum' only")
        for name in ("pair_weight", "hyper_weight"):
            weight = getattr(self.views, name)
            if weight != 1 and self.views.mix == "attention":
                raise ConfigError(
                    f"views.{name}: found {weight:g} with views.mix 'attention', which has no effect: attention weighs "
                    "all three views; expected 1, or views.mix 'sum'"
                )


DEFAULT = SieougConfig()

PAPER = SieougConfig(
    width=64,
    item_input="multimodal",
    regularisation=1e-4,
    projection_rate=1.0,
    views=ViewsConfig(mix="attention", sides="both", hyper_weight=1.0),
    fusion=FusionConfig(doubt=0.0, scale="none", beta=0.1),
    votes=VotesConfig(weight=0.0),
    transfer=TransferConfig(weight=0.6, reduction="mean", matching=PAPER_MATCHING),
)
"""The derived form of arXiv 2502.16068 by the letter: three views by attention, users too, lambda 0.6 on means."""
