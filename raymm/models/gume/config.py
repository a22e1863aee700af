"""Settings of GUME and its presets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from raymm.config import check, setting

Nearness = Literal["cosine", "centred", "dot", "euclidean", "tanimoto"]


@dataclass(frozen=True)
class GraphConfig:
    """Which items are linked, and how far messages travel."""

    neighbours: int = setting(10, "items in a row of each modality's item graph, the item itself included", ge=1)
    link_neighbours: int = setting(
        10, "items are linked in the user-item graph if among so many in every modality; 0 leaves it as it is", ge=0
    )
    similarity: Nearness = setting(
        "cosine",
        "what makes two items near: cosine of their features, or of these less their mean over the items; inner "
        "product; distance; or share of what is common, which is the Jaccard index of zeros and ones",
    )
    symmetric_links: bool = setting(False, "link items both ways if either is near the other; false links one way")
    interaction_layers: int = setting(3, "layers over the user-item graph", ge=0)
    item_layers: int = setting(2, "layers over the item graphs", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class AlignmentConfig:
    """How modalities are drawn to each other, and to behaviour."""

    internal_weight: float = setting(0.1, "alpha, weight of the alignment between modalities", ge=0)
    internal: Literal["scalar", "per_column"] = setting(
        "per_column", "modalities compared by one mean and variance, or by those of each embedding column"
    )
    external_weight: float = setting(0.01, "beta, weight of the alignment of modalities with behaviour", ge=0)
    external_temperature: float = setting(0.4, "temperature of the alignment with behaviour", gt=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class UserModalityConfig:
    """How users' extended features are learned."""

    weight: float = setting(0.01, "gamma, weight of the user-modality enhancement", ge=0)
    temperature: float = setting(0.1, "temperature of the user-modality enhancement", gt=0)
    noise: float = setting(0.1, "length of the noise that makes two views of a user", ge=0)
    regularisation: float = setting(0.1, "weight of the squared extended features of chosen items", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class GumeConfig:
    """Settings of GUME; the defaults are the preset `default`."""

    width: int = setting(64, "columns of an embedding", ge=1)
    regularisation: float = setting(1e-5, "weight of the squared final embeddings of a batch", ge=0)
    regulariser_rows: int = setting(0, "what the regularisers are divided by; 0 for the rows of the step", ge=0)
    train_features: bool = setting(False, "let training change the raw features too")
    graph: GraphConfig = setting(GraphConfig, "graphs")
    alignment: AlignmentConfig = setting(AlignmentConfig, "internal and external alignment")
    user_modality: UserModalityConfig = setting(UserModalityConfig, "user-modality enhancement")

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)

    @property
    def extends(self) -> bool:
        """Say whether any loss reads the extended features; without one they are left out."""
        return self.user_modality.weight > 0 or self.user_modality.regularisation > 0


DEFAULT = GumeConfig()

PAPER = GumeConfig(
    regulariser_rows=2048,
    train_features=True,
    alignment=AlignmentConfig(internal="scalar"),
)
"""The published code of arXiv 2407.12338 with its settings for Amazon Baby; it trains with batches of 2048 rows."""

PAPER_SPORTS = replace(
    PAPER,
    graph=replace(PAPER.graph, item_layers=1),
    alignment=replace(PAPER.alignment, internal_weight=0.01, external_temperature=0.2),
)
"""Its settings for Amazon Sports."""

PAPER_CLOTHING = replace(
    PAPER,
    graph=replace(PAPER.graph, item_layers=1),
    alignment=replace(PAPER.alignment, internal_weight=0.001, external_temperature=0.2),
    user_modality=replace(PAPER.user_modality, weight=0.1, temperature=0.2),
)
"""Its settings for Amazon Clothing."""

PAPER_ELECTRONICS = replace(PAPER_CLOTHING, alignment=replace(PAPER_CLOTHING.alignment, internal_weight=0.1))
"""Its settings for Amazon Electronics."""
