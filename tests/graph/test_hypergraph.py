"""Hypergraphs against planted clusters, POT's Gromov-Wasserstein loss and the problem's own symmetries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import ot
import pytest
from scipy import sparse

from raymm.config import build, plain
from raymm.contracts import Feature
from raymm.errors import ConfigError, DataError, SolverError
from raymm.graph.adjacency import symmetrically_normalised
from raymm.graph.fusion import FusionConfig, fused_graph
from raymm.graph.hypergraph import (
    Hypergraph,
    HypergraphConfig,
    item_hypergraph,
    started_plan,
    transport_plan,
)
from tests.graph.threads import Threads

CLUSTERS = 6


def _planted(items: int = 480, noise: float = 1.2) -> tuple[sparse.csr_array, dict[str, Feature], np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.arange(items) % CLUSTERS)
    centres = rng.standard_normal((CLUSTERS, 16))
    features = {}
    for name in ("text", "image"):
        values = (centres[truth] + noise * rng.standard_normal((items, 16))).astype(np.float32)
        features[name] = Feature(values, np.ones(items, bool))
    return fused_graph(features, FusionConfig()).graph, features, truth


def _purity(result: Hypergraph, truth: np.ndarray) -> float:
    labels = result.gamma.toarray().argmax(1)
    return sum(np.bincount(truth[labels == k]).max() for k in np.unique(labels)) / len(truth)


def _start(graph: sparse.csr_array, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal((graph.shape[0], 4)).astype(np.float32)
    return started_plan(points, CLUSTERS, np.random.default_rng(seed))


def _config(**changes: object) -> HypergraphConfig:
    return HypergraphConfig(clusters=CLUSTERS, **changes)


@pytest.mark.parametrize(
    ("regulariser", "structure", "epsilon"),
    [
        ("l2", "identity", 0.1),
        ("l2", "identity", 0.5),
        ("l2", "learned", 0.1),
        ("entropy", "identity", 0.1),
        ("entropy", "identity", 0.5),
        ("entropy", "learned", 0.1),
    ],
)
def test_planted_clusters_are_recovered_with_the_right_sums(regulariser: str, structure: str, epsilon: float) -> None:
    graph, features, truth = _planted()
    config = _config(regulariser=regulariser, structure=structure, epsilon=epsilon)
    result = item_hypergraph(graph, features, config, np.random.default_rng(0))
    assert result.converged
    assert _purity(result, truth) > 0.95
    assert result.gamma.dtype == np.float32
    gamma = result.gamma.toarray().astype(np.float64)
    assert gamma.min() >= 0
    np.testing.assert_allclose(gamma.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(gamma.sum(0), len(truth) / CLUSTERS, rtol=1e-4)
    assert result.column_error <= 1e-5
    assert len(result.objective) > 2
    assert np.diff(result.objective).max() <= 1e-9 * abs(result.objective[0])
    assert CLUSTERS * 0.8 < result.effective_clusters <= CLUSTERS + 1e-9
    if regulariser == "l2":
        assert result.gamma.nnz / len(truth) < 3


def test_the_objective_is_the_gromov_wasserstein_loss_up_to_what_the_marginals_fix() -> None:
    graph, _, truth = _planted()
    A, items = graph.toarray().astype(np.float64), len(truth)
    rng = np.random.default_rng(1)
    plans = [np.eye(CLUSTERS)[truth], np.eye(CLUSTERS)[rng.permutation(truth)]]
    plans.append((plans[0] + plans[1]) / 2)
    ours, reference = [], []
    for plan in plans:
        constant = ot.gromov.init_matrix(
            A, np.eye(CLUSTERS), np.full(items, 1 / items), np.full(CLUSTERS, 1 / CLUSTERS)
        )
        reference.append(items**2 / 2 * ot.gromov.gwloss(*constant, plan / items))
        config = _config(epsilon=1e-6, max_iterations=1, accept=1e9)
        ours.append(transport_plan(graph, plan, config).objective[0])
    np.testing.assert_allclose(np.diff(ours), np.diff(reference), rtol=1e-4)
    assert ours[0] < ours[2] < ours[1]


def test_the_learned_structure_is_the_best_for_the_plan_and_its_objective_is_the_whole_loss() -> None:
    graph, features, truth = _planted()
    result = item_hypergraph(graph, features, _config(structure="learned", epsilon=0.2), np.random.default_rng(0))
    gamma, A, scale = result.gamma.toarray().astype(np.float64), graph.toarray(), len(truth) / CLUSTERS
    columns = gamma.sum(0)

    def whole(B: np.ndarray) -> float:
        fixed = columns @ (B * B) @ columns / (2 * scale)
        return -np.sum(gamma * (A @ gamma @ B)) + fixed + 0.1 * np.sum(gamma**2)

    assert result.objective[-1] == pytest.approx(whole(result.structure), rel=1e-4)
    rng = np.random.default_rng(0)
    assert all(
        whole(result.structure) < whole(result.structure + 0.05 * rng.standard_normal((CLUSTERS, CLUSTERS)))
        for _ in range(20)
    )
    assert np.diag(result.structure).min() > 0.5


def test_a_graph_of_separate_cliques_is_split_into_them() -> None:
    cliques = np.kron(np.eye(CLUSTERS), np.ones((10, 10)) - np.eye(10))
    graph = symmetrically_normalised(sparse.csr_array(cliques))
    truth = np.repeat(np.arange(CLUSTERS), 10)
    start = 0.3 * np.eye(CLUSTERS)[truth] + 0.7 * np.random.default_rng(0).dirichlet(np.ones(CLUSTERS), 60)
    result = transport_plan(graph, start, _config())
    np.testing.assert_allclose(result.gamma.toarray(), np.eye(CLUSTERS)[truth], atol=1e-4)
    # The whole weight lies within the cliques: F = -I + epsilon I / 2.
    assert result.objective[-1] == pytest.approx(-60 + 0.25 * 60, rel=1e-4)
    assert result.effective_clusters == pytest.approx(CLUSTERS, rel=1e-3)


@pytest.mark.parametrize("regulariser", ["l2", "entropy"])
def test_the_uniform_plan_is_never_left(regulariser: str) -> None:
    graph, _, truth = _planted()
    uniform = np.full((len(truth), CLUSTERS), 1 / CLUSTERS)
    result = transport_plan(graph, uniform, _config(regulariser=regulariser))
    np.testing.assert_allclose(result.gamma.toarray(), 1 / CLUSTERS, atol=1e-6)
    assert result.effective_clusters == pytest.approx(1)


def test_too_large_a_penalty_draws_the_plan_to_the_uniform_one_step_by_step() -> None:
    graph, _, _ = _planted()
    start = _start(graph)
    distances = []
    for iterations in (1, 3, 6, 12):
        result = transport_plan(graph, start, _config(epsilon=2.5, max_iterations=iterations, accept=1e9))
        distances.append(np.abs(result.gamma.toarray() - 1 / CLUSTERS).max())
    assert np.diff(distances).max() < 0
    assert distances[-1] < 0.05
    assert result.effective_clusters < 1.01


def test_without_inner_iterations_the_columns_are_wrong_and_the_plan_is_refused() -> None:
    graph, _, truth = _planted()
    start = 0.8 * np.eye(CLUSTERS)[np.where(truth < 3, truth, 0)] + 0.2 / CLUSTERS
    with pytest.raises(SolverError, match="column error"):
        transport_plan(graph, start, _config(max_evaluations=0))
    result = transport_plan(graph, start, _config(max_evaluations=0, accept=1e9))
    assert result.column_error > 0.5
    assert not result.converged
    assert transport_plan(graph, start, _config()).column_error < 1e-4


def test_free_columns_may_grow_unequal() -> None:
    graph, _, truth = _planted()
    start = 0.8 * np.eye(CLUSTERS)[np.where(truth < 3, truth, 0)] + 0.2 / CLUSTERS
    result = transport_plan(graph, start, _config(marginal="free"))
    sizes = np.asarray(result.gamma.sum(axis=0)).ravel()
    assert sizes.max() > 2 * len(truth) / CLUSTERS
    assert result.effective_clusters < 0.75 * CLUSTERS
    assert np.diff(result.objective).max() <= 0


def test_permuting_clusters_permutes_columns_and_permuting_items_permutes_rows() -> None:
    graph, _, _ = _planted()
    start = _start(graph)
    plain = transport_plan(graph, start, _config()).gamma.toarray()
    rng = np.random.default_rng(1)
    columns, rows = rng.permutation(CLUSTERS), rng.permutation(len(start))
    np.testing.assert_allclose(
        transport_plan(graph, start[:, columns], _config()).gamma.toarray(), plain[:, columns], atol=1e-3
    )
    moved = transport_plan(graph[rows][:, rows], start[rows], _config()).gamma.toarray()
    np.testing.assert_allclose(moved, plain[rows], atol=1e-3)


@pytest.mark.parametrize("changes", [{}, {"regulariser": "entropy"}, {"structure": "learned", "epsilon": 0.2}])
def test_shards_of_rows_give_the_same_plan_as_one_holder(changes: dict[str, object]) -> None:
    graph, features, _ = _planted()
    start = _start(graph)
    config = _config(**changes)
    whole = transport_plan(graph, start, config)
    bounds = [0, 7, 300, len(start)]
    threads = Threads(3)

    def solve(rank: int) -> Hypergraph:
        rows = slice(bounds[rank], bounds[rank + 1])
        return transport_plan(graph[rows], start[rows], config, threads.holder(rank))

    with ThreadPoolExecutor(3) as pool:
        shards = list(pool.map(solve, range(3)))
    assert [shard.gamma.shape[0] for shard in shards] == [7, 293, len(start) - 300]
    stacked = np.concatenate([shard.gamma.toarray() for shard in shards])
    np.testing.assert_allclose(stacked, whole.gamma.toarray(), atol=1e-5)
    for shard in shards:
        assert shard.iterations == whole.iterations
        np.testing.assert_allclose(shard.objective, whole.objective, rtol=1e-8)
        assert shard.effective_clusters == pytest.approx(whole.effective_clusters, rel=1e-5)
        assert shard.column_error <= config.column_tolerance


def test_k_means_puts_each_item_in_one_hyperedge() -> None:
    graph, features, truth = _planted(noise=0.3)
    result = item_hypergraph(graph, features, _config(method="kmeans"), np.random.default_rng(0))
    np.testing.assert_array_equal(np.diff(result.gamma.indptr), 1)
    np.testing.assert_array_equal(result.gamma.data, 1)
    assert result.converged
    assert _purity(result, truth) > 0.8
    sizes = np.asarray(result.gamma.sum(axis=0)).ravel() / len(truth)
    assert result.effective_clusters == pytest.approx(np.exp(-(sizes * np.log(sizes)).sum()))


def test_the_seed_decides_and_diagnostics_are_plain_numbers() -> None:
    graph, features, _ = _planted()
    first, again = (item_hypergraph(graph, features, _config(), np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first.gamma.toarray(), again.gamma.toarray())
    figures = first.diagnostics()
    assert figures["hypergraph.converged"] == 1
    assert 1 <= figures["hypergraph.memberships_per_item"] < 3
    assert all(type(value) is float for value in figures.values())


def test_one_cluster_and_items_without_links_are_handled() -> None:
    graph, features, _ = _planted()
    single = item_hypergraph(graph, features, HypergraphConfig(clusters=1), np.random.default_rng(0))
    np.testing.assert_array_equal(single.gamma.toarray(), 1)
    lonely = sparse.csr_array((60, 60), dtype=np.float32)
    result = transport_plan(lonely, _start(lonely), _config())
    np.testing.assert_allclose(np.asarray(result.gamma.sum(axis=0)).ravel(), 10, rtol=1e-4)


def test_what_cannot_be_solved_is_refused() -> None:
    graph, features, _ = _planted()
    start = _start(graph)
    with pytest.raises(DataError, match="at most as many clusters"):
        transport_plan(graph[:4][:, :4], start[:4], _config())
    with pytest.raises(DataError, match="start"):
        transport_plan(graph, start[:, :3], _config())
    with pytest.raises(DataError, match="start"):
        transport_plan(graph[:100], start[:100], _config())
    with pytest.raises(DataError, match="sum to one"):
        transport_plan(graph, start * 2, _config())
    with pytest.raises(DataError, match="not negative"):
        transport_plan(graph * -1, start, _config())
    with pytest.raises(DataError, match="not symmetric"):
        transport_plan(sparse.csr_array(sparse.triu(graph)), start, _config())
    with pytest.raises(DataError, match="as many of each"):
        item_hypergraph(graph[:60][:, :60], features, _config(), np.random.default_rng(0))
    with pytest.raises(SolverError, match="gap"):
        transport_plan(graph, start, _config(max_iterations=1, accept=1e-6))
    with pytest.raises(ConfigError, match="learned"):
        _config(structure="learned", marginal="free")
    with pytest.raises(ConfigError, match="epsilon"):
        _config(epsilon=0.0)


def test_the_settings_survive_a_round_trip() -> None:
    config = HypergraphConfig(clusters=7, regulariser="entropy", structure="learned")
    assert build(HypergraphConfig, plain(config)) == config
