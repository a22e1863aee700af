"""What SIEOUG computes of a domain before training: the fused item graph and the hypergraph."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from raymm.config import plain
from raymm.contracts import Domain
from raymm.errors import DataError
from raymm.graph.crew import ALONE, Crew
from raymm.graph.fusion import fused_graph
from raymm.graph.hypergraph import item_hypergraph
from raymm.models.sieoug.config import SieougConfig
from raymm.models.spec import Structure

PAIR, HYPER = "pair", "hyper"


def needs_pair_graph(config: SieougConfig) -> bool:
    """Say whether any view uses the item graph."""
    return config.views.mix == "attention" or config.views.pair_weight > 0 or needs_hypergraph(config)


def needs_hypergraph(config: SieougConfig) -> bool:
    """Say whether any view uses the hypergraph."""
    return config.views.mix == "attention" or config.views.hyper_weight > 0


def structure_key(config: SieougConfig, seed: int) -> Any:
    """Return what a domain's structure hangs on beside its features; see `spec.ModelSpec`."""
    if not needs_pair_graph(config):
        return {}
    clusters = {"hypergraph": plain(config.hypergraph), "seed": seed} if needs_hypergraph(config) else {}
    return {"fusion": plain(config.fusion), **clusters}


def build_structure(config: SieougConfig, domain: Domain, seed: int, crew: Crew = ALONE) -> Structure:
    """Fuse the modalities of a domain's items into one graph, and cluster it where the hypergraph is used.

    Source: SIEOUG (arXiv 2502.16068), robust similarity-graph fusion and sparse hypergraph; derived forms.

    Args:
        config: Settings.
        domain: Training data of one domain.
        seed: Seed of the clusters' start.
        crew: Who works.

    Raises:
        DataError: A graph is wanted and the items have no features.
    """
    if not needs_pair_graph(config):
        return Structure({})
    if not domain.features:
        raise DataError(
            "items without any modality",
            "at least one feature",
            f"domain {domain.name!r}",
            "add features to the recipe, or set model.views.pair_weight and hyper_weight to 0",
        )
    fused = fused_graph(domain.features, config.fusion, crew)
    matrices, facts = {PAIR: fused.graph}, fused.diagnostics()
    if needs_hypergraph(config):
        generator = np.random.default_rng([seed, zlib.crc32(domain.name.encode())])
        clusters = item_hypergraph(fused.graph, domain.features, config.hypergraph, generator, crew)
        matrices[HYPER] = clusters.gamma
        facts.update(clusters.diagnostics())
    return Structure(matrices, facts)
