"""Crews of Ray tasks against one process: the same results, a death survived, errors as they were raised."""

import os

import numpy as np
import pytest

from raymm.contracts import Feature
from raymm.errors import DataError
from raymm.graph import fusion, hypergraph
from raymm.graph.crew import share
from raymm.graph.fusion import FusionConfig, fused_graph
from raymm.graph.hypergraph import HypergraphConfig, item_hypergraph
from raymm.launch.crew import RayCrew
from tests.launch import crew_work

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def test_pieces_are_done_elsewhere_and_come_back_in_order(ray_cluster):
    values = np.arange(100.0)
    crew = RayCrew(2)
    found = crew.map(crew_work.scaled, {"values": values}, [share(100, part, 5) for part in range(5)])
    np.testing.assert_array_equal(np.concatenate([part for _, part in found]), 2 * values)
    assert os.getpid() not in {pid for pid, _ in found}
    assert crew.map(crew_work.scaled, {"values": values}, [range(3)])[0][0] == os.getpid()  # not worth a journey
    assert RayCrew().size == 4  # what the cluster has
    with pytest.raises(DataError, match="nothing"):
        crew.map(crew_work.refused, {}, [0, 1])


def test_holders_meet_and_begin_again_when_one_dies(ray_cluster, tmp_path):
    values = np.random.default_rng(0).standard_normal((90, 3))
    pieces = [(rank, values[share(90, rank, 3).start : share(90, rank, 3).stop]) for rank in range(3)]
    died = tmp_path / "died"
    found = RayCrew(3).together(crew_work.centred, {"died": str(died)}, pieces)
    assert died.exists()
    np.testing.assert_allclose(np.concatenate([rows for rows, _ in found]), values - values.mean(axis=0), atol=1e-12)
    for _, gathered in found:
        np.testing.assert_array_equal(gathered, values)
    with pytest.raises(DataError, match="nothing"):  # and nobody waits for who was refused
        RayCrew(3).together(crew_work.refused_by_one, {}, [0, 1, 2])


@pytest.mark.slow
def test_item_graphs_and_hyperedges_of_tasks_are_those_of_one_process(ray_cluster, monkeypatch):
    rng, items = np.random.default_rng(1), 17_000
    centres = rng.standard_normal((6, 8)).astype(np.float32)
    kinds = rng.integers(0, 6, items)
    features = {
        name: Feature(centres[kinds] + rng.standard_normal((items, 8), dtype=np.float32), np.ones(items, bool))
        for name in ("text", "image")
    }
    crew = RayCrew(2)
    fusing, clustering = FusionConfig(neighbours=3), HypergraphConfig(clusters=6)
    shared = fused_graph(features, fusing, crew)
    clusters = item_hypergraph(shared.graph, features, clustering, np.random.default_rng(0), crew)
    for module in (fusion, hypergraph):  # fewer entries and rows than a piece: all in one
        monkeypatch.setattr(module, "_LEAST_ENTRIES" if module is fusion else "_LEAST_ROWS", 10**9)
    alone = fused_graph(features, fusing)
    assert (shared.graph != alone.graph).nnz == 0
    assert (shared.general != alone.general).nnz == 0
    expected = item_hypergraph(alone.graph, features, clustering, np.random.default_rng(0))
    assert clusters.iterations == expected.iterations
    np.testing.assert_allclose(clusters.gamma.toarray(), expected.gamma.toarray(), atol=1e-4)
