"""Gates that let through of an item's embedding what its features speak for."""

from __future__ import annotations

import torch
from torch import nn

from raymm.contracts import Feature
from raymm.nn.features import FrozenFeatures, TrainedFeatures, presence
from raymm.parallel.collectives import use_on_rows
from raymm.parallel.grid import Grid


class Purifier(nn.Module):
    """Purifies embeddings by features: `X = V * sigmoid((F W1 + b1) W2 + b2)`, zero for items without the modality.

    Source: MGCN (arXiv 2308.03588), behavior-guided purifier; GUME (arXiv 2407.12338), explicit item features.

    There is nothing between the two layers, so F meets their product `W1 W2`, of which each rank needs its own columns:
    no row of an item travels. W1, b1, W2 and b2 are small, equal on all ranks, and learn as two layers.

    Args:
        feature: (I, F) features of one modality.
        width: D, columns of the embedding over all ranks.
        grid: The grid of ranks.
        device: Where the features shall live.
        generator: Source of the start values, uniform in +-1 / sqrt(inputs of the layer).
        trained: Let training change the features themselves, as the published code does.
    """

    def __init__(  # noqa: PLR0913 - the features' place and the weights' start are both the caller's
        self,
        feature: Feature,
        width: int,
        grid: Grid,
        device: torch.device,
        generator: torch.Generator,
        trained: bool,
    ) -> None:
        super().__init__()
        self._grid = grid
        self._own = grid.columns(width)
        self.features = TrainedFeatures(feature, grid) if trained else FrozenFeatures(feature, device)
        self._present = presence(feature, device)
        inputs = self.features.width

        def start(fan_in: int, *shape: int) -> nn.Parameter:
            bound = 1.0 / fan_in**0.5
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound, generator=generator))

        self.inner, self.inner_bias = start(inputs, inputs, width), start(inputs, width)
        self.outer, self.outer_bias = start(width, width, width), start(width, width)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Purify the embeddings of all items: (I, own columns) to the same shape."""
        inner, inner_bias, outer, outer_bias = (
            use_on_rows(weight, self._grid)  # whole on each rank, used for own columns: the gradients add up
            for weight in (self.inner, self.inner_bias, self.outer, self.outer_bias)
        )
        if isinstance(self.features, FrozenFeatures):
            outer = outer[:, self._own.start : self._own.stop]
            outer_bias = outer_bias[self._own.start : self._own.stop]
        gates = torch.sigmoid(self.features.project(inner @ outer, inner_bias @ outer + outer_bias))
        purified = embeddings * gates
        return purified if self._present is None else purified * self._present[:, None]
