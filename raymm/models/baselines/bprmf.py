"""BPR-MF: matrix factorisation by pairwise ranking."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from raymm.config import check, setting
from raymm.contracts import Batch, ParameterGroup, TrainData
from raymm.models.baselines.parts import dot_scorer, no_structure, one_group, ranking
from raymm.models.spec import ModelSpec, Place, Structure
from raymm.parallel.columns import ColumnTable
from raymm.scorers import DotScorer


@dataclass(frozen=True)
class BprMfConfig:
    """Settings of BPR-MF."""

    width: int = setting(64, "columns of an embedding", ge=1)
    regularisation: float = setting(1e-4, "weight of the squared embeddings of a batch", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


class BprMf(nn.Module):
    """Score a pair by the inner product of two embeddings.

    Source: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009, BPR-MF.

    Args:
        config: Settings.
        data: One domain.
        structures: Nothing of them is used.
        place: Grid, device and seed.
    """

    def __init__(
        self,
        config: BprMfConfig,
        data: TrainData,
        structures: tuple[Structure, ...],  # noqa: ARG002 - the form all models share
        place: Place,
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(place.seed)
        self._config, self._grid, domain = config, place.grid, data.domains[0]
        self.users = ColumnTable(domain.n_users, config.width, place.grid, generator)
        self.items = ColumnTable(domain.n_items, config.width, place.grid, generator)

    def start_epoch(self, epoch: int) -> dict[str, float]:  # noqa: ARG002 - nothing is renewed
        """Do nothing; see `contracts.RecModel`."""
        return {}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the ranking loss and the regulariser."""
        tables = (self.users(), self.items())
        return ranking(tables, batch.domains[0], [tables], self._config.regularisation, self._grid)

    def diagnostics(self) -> dict[str, float]:
        """Return nothing; see `contracts.RecModel`."""
        return {}

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return all parameters as one group."""
        return one_group(self)

    def scorer(self, domain: str) -> DotScorer:  # noqa: ARG002 - there is one
        """Return the present model; collective over the column group."""
        return dot_scorer(self.users(), self.items(), self._config.width, self._grid)


SPEC = ModelSpec(
    name="bprmf",
    summary="baseline: matrix factorisation by pairwise ranking",
    config=BprMfConfig,
    presets={"default": BprMfConfig()},
    n_domains=1,
    structure=no_structure,
    build=BprMf,
)
