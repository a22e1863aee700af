"""Crews: rows are cut into runs that cover them, and what a crew works out is what one works out alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse

from raymm.contracts import Feature
from raymm.graph import fusion, hypergraph, neighbours
from raymm.graph.crew import ALONE, pieces_for, rows_for
from raymm.graph.fusion import FusionConfig, fused_graph
from raymm.graph.hypergraph import HypergraphConfig, item_hypergraph
from tests.graph.threads import ThreadCrew


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_LEAST_ROWS", 40)
    monkeypatch.setattr(hypergraph, "_LEAST_ROWS", 40)
    monkeypatch.setattr(fusion, "_LEAST_ENTRIES", 300)


def _features(items: int = 330) -> dict[str, Feature]:
    rng = np.random.default_rng(3)
    kinds, present = np.arange(items) % 5, np.ones(items, bool)
    present[7::11] = False
    centres = rng.standard_normal((5, 12))
    rows = [(centres[kinds] + 0.8 * rng.standard_normal((items, 12))).astype(np.float32) for _ in range(2)]
    return {"text": Feature(rows[0], np.ones(items, bool)), "image": Feature(rows[1], present)}


def _same(left: sparse.csr_array, right: sparse.csr_array) -> bool:
    return left.shape == right.shape and left.nnz == right.nnz and (left != right).nnz == 0


@pytest.mark.parametrize(("rows", "least", "size"), [(1000, 64, 3), (10, 64, 3), (0, 8, 2), (129, 64, 1), (500, 1, 2)])
def test_runs_cover_the_rows_in_order(rows: int, least: int, size: int) -> None:
    for cut in (pieces_for, rows_for):
        runs = cut(ThreadCrew(size), rows, least)
        assert list(itertools.chain(*runs)) == list(range(rows))
        assert len(runs) <= (4 * size if cut is pieces_for else size)
        assert len(runs) == 1 or min(map(len, runs)) >= least


def test_alone_there_is_one_piece() -> None:
    assert len(pieces_for(ALONE, 10**6, 1)) == len(rows_for(ALONE, 10**6, 1)) == 1
    assert ALONE.map(lambda shared, piece: shared["a"] + piece, {"a": 1}, [1, 2]) == [2, 3]


@pytest.mark.parametrize("solver", ["closed_form", "bcd", "mean"])
def test_a_crew_fuses_the_graph_of_one(solver: str, small_pieces: None) -> None:
    features, config = _features(), FusionConfig(neighbours=4, solver=solver, ridge=0.05)
    crew = ThreadCrew(3)
    alone, shared = (fused_graph(features, config, who) for who in (ALONE, crew))
    assert min(crew.mapped) > 3, "nothing was shared out"
    assert len(crew.mapped) == 5  # a search and a reading of each modality, and the entries
    assert _same(shared.graph, alone.graph)
    assert _same(shared.general, alone.general)
    assert all(_same(mine, theirs) for mine, theirs in zip(shared.noise, alone.noise, strict=True))
    assert len({(found.iterations, found.beta, found.error, found.noise_free_share) for found in (alone, shared)}) == 1
    np.testing.assert_allclose(shared.objective, alone.objective, rtol=1e-12)


@pytest.mark.parametrize("method", ["transport", "kmeans"])
def test_a_crew_finds_the_hyperedges_of_one(method: str, small_pieces: None) -> None:
    features = _features()
    graph = fused_graph(features, FusionConfig()).graph
    config, crew = HypergraphConfig(clusters=5, method=method), ThreadCrew(3)
    alone, shared = (item_hypergraph(graph, features, config, np.random.default_rng(0), who) for who in (ALONE, crew))
    assert crew.met == ([3] if method == "transport" else [])
    assert shared.gamma.shape == (330, 5)
    np.testing.assert_allclose(shared.gamma.toarray(), alone.gamma.toarray(), atol=1e-6)
    assert shared.iterations == alone.iterations
    assert shared.effective_clusters == pytest.approx(alone.effective_clusters, rel=1e-6)
