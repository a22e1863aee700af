"""Partitions and samples by the real DGL, against planted communities and the whole graph."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from raymm.errors import DataError, SolverError
from raymm.graph.adjacency import bipartite
from raymm.graph.partition import NeighbourSampler, Partition, part_rows, partition

needs_dgl = pytest.mark.skipif(importlib.util.find_spec("dgl") is None, reason="dgl exists for Python 3.11 only")


def _communities(users: int = 400, items: int = 300, parts: int = 4) -> sparse.csr_array:
    """Users who choose nine in ten times within their own community."""
    rng = np.random.default_rng(0)
    sources = np.repeat(np.arange(users), 12)
    inside = rng.random(len(sources)) < 0.9
    wanted = np.where(inside, sources % parts, rng.integers(0, parts, len(sources)))
    targets = rng.integers(0, items // parts, len(sources)) * parts + wanted
    interactions = sparse.csr_array((np.ones(len(sources), np.float32), (sources, targets)), shape=(users, items))
    interactions.data[:] = 1
    return bipartite(interactions)


def _random_cut(graph: sparse.csr_array, parts: int) -> float:
    rows, columns = graph.tocoo().coords
    drawn = np.random.default_rng(1).integers(0, parts, graph.shape[0])
    return float((drawn[rows] != drawn[columns]).mean())


@needs_dgl
@pytest.mark.parametrize("balance_edges", [False, True])
def test_every_node_is_in_one_part_of_about_equal_size_and_few_edges_are_cut(
    balance_edges: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    graph = _communities()
    result = partition(graph, 4, balance_edges)
    nodes = np.concatenate([result.nodes(part) for part in range(4)])
    np.testing.assert_array_equal(np.sort(nodes), np.arange(700))
    sizes = np.bincount(result.parts)
    assert sizes.max() < 1.3 * 700 / 4
    rows, columns = graph.tocoo().coords
    assert result.cut == pytest.approx((result.parts[rows] != result.parts[columns]).mean())
    assert _random_cut(graph, 4) > 0.7
    assert result.cut < 0.3 * _random_cut(graph, 4)
    np.testing.assert_array_equal(partition(graph, 4, balance_edges).parts, result.parts)
    assert capfd.readouterr().out == ""


@needs_dgl
def test_parts_with_their_borders_propagate_like_the_whole() -> None:
    graph = _communities()
    result = partition(graph, 3)
    x = np.random.default_rng(2).standard_normal((700, 5)).astype(np.float32)
    whole = graph @ x
    for part in range(3):
        share = part_rows(graph, result, part)
        assert len(share.border) > 0
        assert not np.isin(share.border, share.nodes).any()
        np.testing.assert_allclose(
            share.matrix @ np.concatenate([x[share.nodes], x[share.border]]), whole[share.nodes], atol=1e-6
        )


def test_one_part_needs_no_partitioner() -> None:
    graph = _communities(40, 20)
    result = partition(graph, 1)
    assert result.cut == 0
    share = part_rows(graph, result, 0)
    assert len(share.border) == 0
    np.testing.assert_array_equal(share.matrix.toarray(), graph.toarray())


@needs_dgl
def test_all_neighbours_give_the_exact_propagation() -> None:
    graph = _communities()
    nodes = np.array([5, 650, 17, 0])
    near, far = NeighbourSampler(graph).sample(nodes, (-1, -1), np.random.default_rng(0))
    np.testing.assert_array_equal(near.sources[:4], nodes)
    np.testing.assert_array_equal(far.sources[: len(near.sources)], near.sources)
    x = np.random.default_rng(1).standard_normal((700, 3))
    np.testing.assert_allclose(near.matrix @ (far.matrix @ x[far.sources]), (graph @ (graph @ x))[nodes], atol=1e-5)


@needs_dgl
def test_sampled_neighbours_are_real_edges_within_the_fan_out_and_right_on_average() -> None:
    graph = _communities()
    sampler, rng = NeighbourSampler(graph), np.random.default_rng(0)
    nodes = np.array([3, 90, 420, 699])
    dense, mean = graph.toarray(), np.zeros((4, 700))
    draws = 600
    for _ in range(draws):
        (layer,) = sampler.sample(nodes, (4,), rng)
        rows, columns = layer.matrix.tocoo().coords
        assert (dense[nodes[rows], layer.sources[columns]] > 0).all()
        np.testing.assert_array_equal(np.diff(layer.matrix.indptr), np.minimum(4, (dense[nodes] > 0).sum(1)))
        assert len(np.unique(layer.sources)) == len(layer.sources)
        mean[:, layer.sources] += layer.matrix.toarray() / draws
    assert (mean > 0).sum() > 20
    np.testing.assert_allclose(mean.sum(1), dense[nodes].sum(1), rtol=0.05)
    np.testing.assert_allclose(mean, dense[nodes], atol=6 * dense[nodes].max() / np.sqrt(draws))


@needs_dgl
def test_the_seed_decides_the_sample_and_weights_need_not_be_symmetric() -> None:
    rng = np.random.default_rng(0)
    graph = sparse.csr_array(rng.random((50, 50)) * (rng.random((50, 50)) < 0.4))
    sampler = NeighbourSampler(graph)
    first, again, other = (sampler.sample(np.arange(10), (3, 3), np.random.default_rng(seed))[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.matrix.toarray(), again.matrix.toarray())
    assert not np.array_equal(first.sources, other.sources)
    (whole,) = sampler.sample(np.arange(50), (-1,), rng)
    np.testing.assert_allclose(whole.matrix.toarray()[:, np.argsort(whole.sources)], graph.toarray(), atol=1e-6)


def test_dgl_is_imported_on_use_only() -> None:
    code = "import sys, raymm.graph.partition; sys.exit('dgl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_missing_dgl_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dgl", None)
    graph = _communities(40, 20)
    with pytest.raises(SolverError, match=r"Python 3\.11"):
        partition(graph, 2)
    with pytest.raises(SolverError, match="no DGL"):
        NeighbourSampler(graph)


def test_parts_that_do_not_fit_are_refused() -> None:
    graph = _communities(40, 20)
    for parts in (0, 61):
        with pytest.raises(DataError, match="number of nodes"):
            partition(graph, parts)
    with pytest.raises(DataError, match="square"):
        partition(sparse.csr_array((2, 3)), 1)
    with pytest.raises(DataError, match="60 nodes"):
        part_rows(graph, Partition(np.zeros(3, np.int64), 1, 0.0), 0)
    with pytest.raises(DataError, match="part 1 of 1"):
        part_rows(graph, partition(graph, 1), 1)


@needs_dgl
def test_nodes_and_fan_outs_that_do_not_fit_are_refused() -> None:
    sampler, rng = NeighbourSampler(_communities(40, 20)), np.random.default_rng(0)
    for nodes in ([], [-1], [60], [3, 3]):
        with pytest.raises(DataError, match="each once"):
            sampler.sample(np.array(nodes, np.int64), (2,), rng)
    for fanouts in ((), (0,), (2, -3)):
        with pytest.raises(DataError, match="fan-outs"):
            sampler.sample(np.array([1]), fanouts, rng)
