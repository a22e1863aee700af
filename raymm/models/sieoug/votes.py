"""Votes of histories in both domains: the user's own, his known counterpart's, and those of the plan's partners."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse

from raymm.contracts import TrainData
from raymm.graph.votes import VotesConfig
from raymm.models.sieoug.plan import Plan
from raymm.models.sieoug.structure import ACROSS, VOTES
from raymm.models.spec import Structure
from raymm.scorers import DotScorer, VotedScorer


class Votes:
    """Puts the votes of histories beside the score of embeddings.

    A user's own items vote by `graph.votes.item_votes`; items of the other domain by `cross_votes`, with the history of
    the known counterpart, or with the histories of the plan's partners, by their weights, where there is a plan.

    Source: SIEOUG (arXiv 2502.16068) names neither; the votes are ours. They carry what its two modules find to where
    sparse histories need it: the fused item graph is their prior, and matched users lend each other their histories.

    Args:
        config: Settings.
        data: Two domains and their known pairs.
        within: The structure of each domain, with the votes of its own items.
        between: The structure between them, with the votes across.
    """

    def __init__(self, config: VotesConfig, data: TrainData, within: Sequence[Structure], between: Structure) -> None:
        self._config = config
        self._histories = [sparse.csr_array(domain.interactions, dtype=np.float32) for domain in data.domains]
        self._pairs = data.shared
        self._weights = [self._stacked(side, structure, between) for side, structure in enumerate(within)]

    def beside(self, scorer: DotScorer, side: int, plan: Plan | None) -> VotedScorer:
        """Return the scorer of the domain `side` (0 or 1) with votes; `plan` is between users of 0 and of 1."""
        voting = self._histories[side]
        if self._config.cross:
            lent = self._partners(side, plan) @ self._histories[1 - side]
            voting = sparse.csr_array(sparse.hstack([voting, lent], format="csr"))
        return VotedScorer(scorer.users, scorer.items, *_parts(voting), *_parts(self._weights[side]))

    def _stacked(self, side: int, within: Structure, between: Structure) -> sparse.csr_array:
        """Return the votes of own items and, below them, of those of the other domain, at their weights."""
        config, blocks = self._config, [sparse.csr_array(within.matrices[VOTES])]
        if config.cross:
            blocks.append(sparse.csr_array(between.matrices[ACROSS[side]]) * np.float32(config.cross))
        return sparse.csr_array(sparse.vstack(blocks, format="csr") * np.float32(config.weight))

    def _partners(self, side: int, plan: Plan | None) -> sparse.csr_array:
        """Return whose history each user gets: (users of `side`, users of the other), rows sum to one or zero."""
        shape = (self._histories[0].shape[0], self._histories[1].shape[0])
        rows, columns = self._pairs[:, 0], self._pairs[:, 1]
        values = np.ones(len(rows))
        if plan is not None:
            listed = plan.targets.numpy()
            weights = plan.weights.double().numpy() * (plan.mass.numpy()[:, None] if side else 1.0)
            owners, places = np.nonzero((listed >= 0) & (weights > 0))
            rows, columns = np.r_[rows, owners], np.r_[columns, listed[owners, places]]
            values = np.r_[values, weights[owners, places]]
        matrix = sparse.csr_array((values, (rows, columns)), shape=shape)
        matrix = sparse.csr_array(matrix.T) if side else matrix
        return _rows_to_one(matrix)


def _rows_to_one(matrix: sparse.csr_array) -> sparse.csr_array:
    totals = np.asarray(matrix.sum(axis=1)).ravel()
    values = (matrix.data / np.repeat(totals, np.diff(matrix.indptr))).astype(np.float32)
    return sparse.csr_array((values, matrix.indices, matrix.indptr), shape=matrix.shape)


def _parts(matrix: sparse.csr_array) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    matrix.sum_duplicates()
    return (
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(np.array(matrix.data, dtype=np.float32)),  # a copy: interactions are read-only
    )
