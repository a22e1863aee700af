"""Settings of MIMNet and its presets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from raymm.config import check, setting
from raymm.errors import ConfigError
from raymm.ratings.cold_ranking import ColdRankingConfig
from raymm.ratings.content import ContentConfig
from raymm.ratings.pretraining import PretrainConfig
from raymm.ratings.transfer import FactorConfig


@dataclass(frozen=True)
class NetworkConfig:
    """The network between two domains."""

    interests: int = setting(3, "K, interests of a user; 1 is a single bridge", ge=1)
    iterations: int = setting(3, "rounds of dynamic routing", ge=1)
    history: int = setting(20, "L, last highly rated source items that interests are made of", ge=1)
    least_rating: float = setting(4.0, "rating from which a source item counts as highly rated")
    hidden: int = setting(50, "columns of the hidden layer that makes bridges", ge=1)
    prototypes: int = setting(100, "C, clusters of target items; at most a third of the items are used", ge=1)
    granularity: Literal["both", "fine", "coarse", "mean"] = setting(
        "both", "attention by the item, by its prototype, by both fused, or by both in equal parts"
    )
    meta: bool = setting(True, "make bridges from interests; false learns one bridge for everybody")
    routing: Literal["fixed", "random"] = setting(
        "fixed", "first logits drawn once, or at every step and every prediction as the published code does"
    )
    compat_padding: bool = setting(False, "let missing items of a history count 1 / K, as the published code does")
    compat_prototypes: bool = setting(
        False, "cluster the rows of source items and of the pad, too, as the published code does"
    )
    empty_history: Literal["zero", "random"] = setting(
        "zero", "what users without a highly rated item have: nothing, or one untrained random item as published"
    )
    identity: bool = setting(True, "start at bridges and value maps that change nothing")

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class MetaConfig:
    """Task-oriented training of the network on the target ratings of shared users."""

    epochs: int = setting(10, "most epochs", ge=1)
    patience: int = setting(3, "epochs without improvement after which training stops", ge=1)
    batch_size: int = setting(256, "ratings a step", ge=1)
    learning_rate: float = setting(0.001, "learning rate of Adam", gt=0)
    gate: float = setting(
        2.0, "standard errors by which a part must help users it has not seen, or it is left out", ge=0
    )
    keep_epochs: bool = setting(
        False, "keep every epoch, so that an evaluation can say what the best on the test set is; with base = none"
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class MimnetConfig:
    """Settings of MIMNet; the defaults are the preset `default`."""

    base: Literal["style", "none"] = setting(
        "style", "predict what biases and response style leave, or whole ratings as published"
    )
    network: NetworkConfig = setting(NetworkConfig, "interests, bridges, attention")
    factors: FactorConfig = setting(FactorConfig, "tables of what the base leaves; with base = style")
    content: ContentConfig = setting(ContentConfig, "taste for what items are about; with base = style")
    pretrain: PretrainConfig = setting(PretrainConfig, "tables of whole ratings; with base = none")
    meta: MetaConfig = setting(MetaConfig, "training of the network")
    ranks: bool = setting(True, "learn to rank, too: a ridge regression from source histories to highly rated items")
    ranking: ColdRankingConfig = setting(ColdRankingConfig(most_users=2_000), "that regression; with ranks = true")

    def __post_init__(self) -> None:
        """Check the limits, and that epochs are kept where they can be."""
        check(self)
        if self.meta.keep_epochs and self.base != "none":
            raise ConfigError(
                "meta.keep_epochs: found true with base 'style', expected base 'none': the share that the network "
                "gets is fitted when its last epoch is done"
            )

    @property
    def width(self) -> int:
        """Columns of the tables."""
        return self.factors.width if self.base == "style" else self.pretrain.width


DEFAULT = MimnetConfig()

COMPAT = MimnetConfig(
    base="none",
    network=replace(DEFAULT.network, interests=7, routing="random", empty_history="random", identity=False),
    meta=MetaConfig(epochs=5, patience=5, batch_size=128, learning_rate=0.01, gate=0.0, keep_epochs=True),
    ranks=False,
)
"""The published recipe (arXiv 2408.00038) with its defects repaired; the switches `compat_*` bring them back."""
