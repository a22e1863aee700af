"""What SIEOUG computes before training: the fused item graph, the hypergraph and the votes of items, also across."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from raymm.config import plain
from raymm.contracts import Domain, TrainData
from raymm.errors import DataError
from raymm.graph.crew import ALONE, Crew
from raymm.graph.fusion import fused_graph
from raymm.graph.hypergraph import item_hypergraph
from raymm.graph.votes import cross_votes, item_votes
from raymm.models.sieoug.config import SieougConfig
from raymm.models.spec import Structure

PAIR, HYPER, VOTES = "pair", "hyper", "votes"
ACROSS = ("across_to_first", "across_to_second")  # votes of the other domain's items for those of the domain so placed

_OF_VOTES = ("ridge", "graph", "neighbours", "support_shrinkage")  # settings that votes within a domain hang on
_OF_CROSS_VOTES = ("neighbours", "cross_ridge", "cross_shrinkage")  # and those that votes across domains hang on


def needs_pair_graph(config: SieougConfig) -> bool:
    """Say whether any view uses the item graph, or the votes of histories do."""
    views, votes = config.views, config.votes
    return (
        views.mix == "attention" or views.pair_weight > 0 or needs_hypergraph(config) or votes.weight * votes.graph > 0
    )


def needs_hypergraph(config: SieougConfig) -> bool:
    """Say whether any view uses the hypergraph."""
    return config.views.mix == "attention" or config.views.hyper_weight > 0


def structure_key(config: SieougConfig, seed: int) -> Any:
    """Return what a domain's structure hangs on beside its features; see `spec.ModelSpec`."""
    key: dict[str, Any] = {}
    if needs_pair_graph(config):
        key["fusion"] = plain(config.fusion)
    if needs_hypergraph(config):
        key |= {"hypergraph": plain(config.hypergraph), "seed": seed}
    if config.votes.weight:
        key["votes"] = {name: getattr(config.votes, name) for name in _OF_VOTES}
    return key


def build_structure(config: SieougConfig, domain: Domain, seed: int, crew: Crew = ALONE) -> Structure:
    """Fuse the modalities of a domain's items into one graph, cluster it, and regress votes, where each is used.

    Source: SIEOUG (arXiv 2502.16068), robust similarity-graph fusion and sparse hypergraph; derived forms.

    Args:
        config: Settings.
        domain: Training data of one domain.
        seed: Seed of the clusters' start.
        crew: Who works.

    Raises:
        DataError: A graph is wanted and the items have no features.
    """
    matrices: dict[str, Any] = {}
    facts: dict[str, float] = {}
    if needs_pair_graph(config):
        _require_features(domain)
        fused = fused_graph(domain.features, config.fusion, crew, domain.interactions)
        matrices[PAIR] = fused.graph
        facts |= fused.diagnostics()
        facts |= {f"fusion.trust.{name}": trust for name, trust in zip(domain.features, fused.trust, strict=True)}
    if needs_hypergraph(config):
        generator = np.random.default_rng([seed, zlib.crc32(domain.name.encode())])
        clusters = item_hypergraph(matrices[PAIR], domain.features, config.hypergraph, generator, crew)
        matrices[HYPER] = clusters.gamma
        facts |= clusters.diagnostics()
    if config.votes.weight:
        graph = matrices[PAIR] if config.votes.graph else None
        matrices[VOTES] = item_votes(domain.interactions, graph, config.votes, crew)
        facts["votes.entries"] = float(matrices[VOTES].nnz)
    return Structure(matrices, facts)


def between_key(config: SieougConfig) -> Any:
    """Return what the votes across domains hang on beside interactions and known pairs; see `spec.Between`."""
    return {name: getattr(config.votes, name) for name in _OF_CROSS_VOTES} if _votes_cross(config) else {}


def build_between(config: SieougConfig, data: TrainData, crew: Crew = ALONE) -> Structure:
    """Regress what items of either domain say for items of the other, by the known pairs, where histories vote so.

    Args:
        config: Settings.
        data: Two domains and their known pairs.
        crew: Who works.
    """
    matrices: dict[str, Any] = {}
    facts: dict[str, float] = {}
    if _votes_cross(config):
        histories = [domain.interactions for domain in data.domains]
        for side, name in enumerate(ACROSS):
            pairs = data.shared[:, [1 - side, side]]
            matrices[name] = cross_votes(histories[1 - side], histories[side], pairs, config.votes, crew)
        facts["votes.entries"] = float(sum(matrix.nnz for matrix in matrices.values()))
    return Structure(matrices, facts)


def _votes_cross(config: SieougConfig) -> bool:
    return config.votes.weight * config.votes.cross > 0


def _require_features(domain: Domain) -> None:
    if not domain.features:
        raise DataError(
            "items without any modality",
            "at least one feature",
            f"domain {domain.name!r}",
            "add features to the recipe, or set settings.views.pair_weight, hyper_weight and settings.votes.graph to 0",
        )
