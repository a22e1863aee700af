"""Known pairs and the other users of both domains, from which the users of a step are drawn."""

from __future__ import annotations

import numpy as np
import torch

from raymm.contracts import TrainData
from raymm.errors import DataError

_FEWEST_ANCHORS, _MOST_ANCHORS = 0.1, 0.5  # share of a matched batch that are known pairs


class Pools:
    """Draws the users that are matched in a step.

    Known pairs are drawn together, both ends; they are as many of a hundred as there are known among all users, but
    10 at least and 50 at most.

    Differs from the source: the share is of the smaller domain's users, not of all who are active in both domains:
    training does not know their number.

    Args:
        data: Two domains and their known pairs.
        users: Users of each side in a step.

    Raises:
        DataError: A domain has no user to draw.
    """

    def __init__(self, data: TrainData, users: int) -> None:
        source, target = data.domains
        self.shared = torch.from_numpy(np.array(data.shared))
        self.others = [
            torch.from_numpy(np.setdiff1d(np.arange(domain.n_users), data.shared[:, side]))
            for side, domain in enumerate((source, target))
        ]
        share = len(data.shared) / min(source.n_users, target.n_users)
        self._n_shared = min(len(data.shared), round(users * min(max(share, _FEWEST_ANCHORS), _MOST_ANCHORS)))
        self._n_others = [min(len(others), users - self._n_shared) for others in self.others]
        if not all(self._n_shared + others for others in self._n_others):
            raise DataError("a domain without users to match", "at least one user", "matching")

    @property
    def room(self) -> int:
        """Users of the target side in a step that are in no known pair."""
        return self._n_others[1]

    def draw(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Draw a batch: users of the source, users of the target, and how many of the first are known pairs."""
        pairs, source = self.draw_source(generator)
        target = self._some(1, generator)
        return torch.cat([pairs[:, 0], source]), torch.cat([pairs[:, 1], target]), self._n_shared

    def draw_source(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the source side alone: known pairs (q, 2), and other users of the source."""
        pairs = self.shared[torch.randperm(len(self.shared), generator=generator)[: self._n_shared]]
        return pairs, self._some(0, generator)

    def _some(self, side: int, generator: torch.Generator) -> torch.Tensor:
        others = self.others[side]
        return others[torch.randperm(len(others), generator=generator)[: self._n_others[side]]]
