"""Similarity fusion against brute force, closed forms and planted artefacts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy import sparse

from raymm.config import build, plain
from raymm.contracts import Feature
from raymm.errors import ConfigError, DataError, SolverError
from raymm.graph.fusion import Fusion, FusionConfig, fuse, fused_graph
from raymm.graph.neighbours import cosine_neighbours, read_similarities, union_support

EXACT = FusionConfig(scale="none")


def _present(items: int, modalities: int = 2) -> list[np.ndarray]:
    return [np.ones(items, bool) for _ in range(modalities)]


def _similarities(items: int = 40, modalities: int = 2, seed: int = 0) -> list[sparse.csr_array]:
    """Random symmetric similarities in [0, 1) on one symmetric support, about a tenth of them zero."""
    rng = np.random.default_rng(seed)
    support = union_support([sparse.csr_array(rng.random((items, items)) < 0.15)])
    upper = sparse.triu(support).tocoo()
    result = []
    for _ in range(modalities):
        values = np.maximum(rng.random(upper.nnz) * 1.1 - 0.1, 0)
        dense = np.zeros((items, items))
        dense[upper.row, upper.col] = values
        dense += dense.T
        rows = np.repeat(np.arange(items), np.diff(support.indptr))
        entries = dense[rows, support.indices].astype(np.float32)
        result.append(sparse.csr_array((entries, support.indices, support.indptr), shape=support.shape))
    assert support.nnz > 100
    return result


def _entries(result: Fusion, support: sparse.csr_array) -> tuple[np.ndarray, list[np.ndarray]]:
    """A and E on the support, zeros included."""
    rows = np.repeat(np.arange(support.shape[0]), np.diff(support.indptr))
    read = lambda matrix: matrix.toarray()[rows, support.indices]  # noqa: E731
    return read(result.general), [read(noise) for noise in result.noise]


def _features(items: int = 60, seed: int = 0, shift: float = 0.5) -> Feature:
    values = np.random.default_rng(seed).standard_normal((items, 6)).astype(np.float32) + np.float32(shift)
    return Feature(values, np.ones(items, bool))


def _brute_force(values: np.ndarray, beta: float, ridge: float, trust: Sequence[float] = ()) -> float:
    """Minimise over a fine grid of A the objective with the best noise, which is a Huber loss."""
    grid = np.linspace(0, 1.2, 20_001)
    gaps = np.abs(values[:, None] - grid)
    huber = np.where(gaps <= beta / 2, gaps**2, beta * gaps - beta**2 / 4)
    weights = np.array(trust or [1] * len(values))
    return float(grid[np.argmin(weights @ huber + ridge * grid**2)])


def test_two_modalities_follow_the_closed_form() -> None:
    first, second = _similarities()
    result = fuse([first, second], _present(40), EXACT)
    A, E = _entries(result, first)
    low, high = np.minimum(first.data, second.data), np.maximum(first.data, second.data)
    gap = high - low
    np.testing.assert_allclose(A, low + np.minimum(gap, result.beta) / 2, atol=1e-6)
    larger = np.where(first.data > second.data, E[0], E[1])
    smaller = np.where(first.data > second.data, E[1], E[0])
    np.testing.assert_allclose(larger, np.maximum(gap - result.beta, 0), atol=1e-6)
    np.testing.assert_array_equal(smaller, 0)
    assert result.beta == pytest.approx(0.3 * np.median(np.concatenate([m.data[m.data > 0] for m in (first, second)])))
    assert 0.1 < result.noise_free_share < 0.9
    assert result.noise_free_share == pytest.approx((gap <= result.beta).mean())


@pytest.mark.parametrize("modalities", [1, 2, 3, 4, 5])
def test_the_direct_solution_is_the_brute_force_minimiser(modalities: int) -> None:
    similarities = _similarities(25, modalities, seed=modalities)
    result = fuse(similarities, _present(25, modalities), EXACT)
    A, _ = _entries(result, similarities[0])
    values = np.stack([matrix.data for matrix in similarities]).astype(np.float64)
    expected = [_brute_force(column, result.beta, 1e-7) for column in values.T[:80]]
    np.testing.assert_allclose(A[:80], expected, atol=1e-4)


@pytest.mark.parametrize("trust", [(1.0, 0.4), (0.7, 1.0), (0.2, 1.0, 0.6), (1.0, 0.0, 0.9, 0.5)])
def test_trusted_modalities_weigh_more_in_every_solver(trust: tuple[float, ...]) -> None:
    similarities = _similarities(25, len(trust), seed=3)
    values = np.stack([matrix.data for matrix in similarities]).astype(np.float64)[:, :80]
    for solver, ridge, atol in (("closed_form", 1e-7, 1e-4), ("bcd", 0.05, 1e-3)):
        config = FusionConfig(scale="none", solver=solver, ridge=0.05)
        result = fuse(similarities, _present(25, len(trust)), config, trust=np.array(trust))
        expected = [_brute_force(column, result.beta, ridge, trust) for column in values.T]
        np.testing.assert_allclose(_entries(result, similarities[0])[0][:80], expected, atol=atol)
        assert result.trust == trust
    mean = fuse(
        similarities, _present(25, len(trust)), FusionConfig(scale="none", solver="mean"), trust=np.array(trust)
    )
    np.testing.assert_allclose(
        _entries(mean, similarities[0])[0][:80], np.average(values, axis=0, weights=trust), atol=1e-6
    )


def test_a_noisy_modality_cannot_flatten_the_links_of_a_trusted_one() -> None:
    """Beyond beta equal trust leaves beta / 2 of every link of the first; trust keeps their differences."""
    rows, columns = np.triu_indices(12, 1)
    strong, none = np.zeros((12, 12), np.float32), np.zeros((12, 12), np.float32)
    strong[rows, columns] = strong[columns, rows] = np.linspace(0.5, 1, len(rows))
    support = union_support([sparse.csr_array(strong)])
    first, second = (read.copy() for read in (support, support))
    at = np.repeat(np.arange(12), np.diff(support.indptr)), support.indices
    first.data, second.data = strong[at], none[at]
    plain = _entries(fuse([first, second], _present(12), EXACT), first)[0]
    assert np.ptp(plain) < 1e-6
    trusted = fuse([first, second], _present(12), EXACT, trust=np.array([1.0, 0.25]))
    np.testing.assert_allclose(_entries(trusted, first)[0], first.data - trusted.beta / 2 / 4, atol=1e-6)


def test_who_chose_what_decides_whom_fused_graphs_trust() -> None:
    rng = np.random.default_rng(0)
    kinds = np.arange(60) % 4
    chosen = sparse.csr_array((rng.integers(0, 4, (90, 1)) == kinds).astype(np.float32))
    true = Feature((np.eye(4)[kinds] + 0.05 * rng.standard_normal((60, 4))).astype(np.float32), np.ones(60, bool))
    features = {"noise": _features(seed=1), "true": true}
    result = fused_graph(features, FusionConfig(neighbours=5), interactions=chosen)
    assert result.trust[1] == 1
    assert result.trust[0] < 0.2
    within = lambda graph: graph[kinds[:, None] == kinds].sum() / graph.sum()  # noqa: E731
    equal = fused_graph(features, FusionConfig(neighbours=5, doubt=0.0), interactions=chosen)
    assert equal.trust == (1, 1)
    assert within(result.graph.toarray()) > 0.99
    assert within(equal.graph.toarray()) < within(result.graph.toarray()) - 0.05


@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_block_coordinate_descent_meets_the_direct_solution_and_its_objective_only_falls(modalities: int) -> None:
    similarities = _similarities(modalities=modalities, seed=1)
    descended = fuse(similarities, _present(40, modalities), FusionConfig(scale="none", solver="bcd"))
    direct = fuse(similarities, _present(40, modalities), EXACT)
    assert descended.converged
    assert descended.iterations >= 20
    assert descended.error <= 1e-4
    assert len(descended.objective) > 3
    assert np.diff(descended.objective).max() <= 1e-9 * descended.objective[0]
    assert abs(descended.general - direct.general).max() < 2e-3


def test_block_coordinate_descent_is_the_brute_force_minimiser_within_its_error_for_a_strong_ridge() -> None:
    similarities = _similarities(25, 3)
    result = fuse(similarities, _present(25, 3), FusionConfig(scale="none", solver="bcd", ridge=0.5))
    A, _ = _entries(result, similarities[0])
    values = np.stack([matrix.data for matrix in similarities]).astype(np.float64)
    expected = [_brute_force(column, result.beta, 0.5) for column in values.T[:80]]
    np.testing.assert_allclose(A[:80], expected, atol=1e-4)


def test_too_few_sweeps_are_refused_and_reported_where_they_are_accepted() -> None:
    similarities = _similarities()
    config = FusionConfig(scale="none", solver="bcd", max_sweeps=7)
    with pytest.raises(SolverError, match="7 sweeps"):
        fuse(similarities, _present(40), config)
    result = fuse(similarities, _present(40), FusionConfig(scale="none", solver="bcd", max_sweeps=7, accept=1e9))
    assert not result.converged
    assert result.iterations == 7


@pytest.mark.parametrize("scale", ["none", "quantile"])
def test_equal_modalities_give_themselves_without_noise(scale: str) -> None:
    (only,) = _similarities(modalities=1)
    for similarities in ([only], [only, only], [only, only, only]):
        result = fuse(similarities, _present(40, len(similarities)), FusionConfig(scale=scale))
        np.testing.assert_allclose(result.general.toarray(), only.toarray(), atol=1e-6)
        assert [noise.nnz for noise in result.noise] == [0] * len(similarities)
        assert result.noise_free_share == 1


def test_a_large_beta_gives_the_mean_and_a_small_one_the_minimum() -> None:
    similarities = _similarities()
    mean = fuse(similarities, _present(40), FusionConfig(scale="none", solver="mean"))
    large = fuse(similarities, _present(40), FusionConfig(scale="none", beta=1e6))
    small = fuse(similarities, _present(40), FusionConfig(scale="none", beta=1e-7))
    expected = (similarities[0].toarray() + similarities[1].toarray()) / 2
    np.testing.assert_allclose(mean.general.toarray(), expected, atol=1e-6)
    np.testing.assert_allclose(large.general.toarray(), expected, atol=1e-6)
    np.testing.assert_allclose(
        small.general.toarray(), np.minimum(similarities[0].toarray(), similarities[1].toarray()), atol=1e-6
    )
    assert large.noise[0].nnz == large.noise[1].nnz == 0


@pytest.mark.parametrize("config", [EXACT, FusionConfig()], ids=["none", "quantile"])
def test_the_order_of_modalities_and_of_items_does_not_matter(config: FusionConfig) -> None:
    first, second = _similarities()
    plain = fuse([first, second], _present(40), config)
    swapped = fuse([second, first], _present(40), config)
    np.testing.assert_allclose(plain.general.toarray(), swapped.general.toarray(), atol=1e-6)
    np.testing.assert_allclose(plain.noise[0].toarray(), swapped.noise[1].toarray(), atol=1e-6)
    order = np.random.default_rng(0).permutation(40)
    moved = fuse([matrix[order][:, order] for matrix in (first, second)], _present(40), config)
    np.testing.assert_allclose(moved.general.toarray(), plain.general.toarray()[np.ix_(order, order)], atol=1e-6)


def test_an_artefact_of_one_modality_ranks_below_true_links_that_the_mean_puts_it_above() -> None:
    """Item 0 looks just like item 5 in one modality and not at all in the other; items 1 to 4 are alike in both."""
    links = np.zeros((6, 6), np.float32)
    links[0, 1:5] = links[1:5, 0] = [0.46, 0.45, 0.44, 0.43]
    artefact = links.copy()
    artefact[0, 5] = artefact[5, 0] = 1
    support = union_support([sparse.csr_array(artefact)])
    rows = np.repeat(np.arange(6), np.diff(support.indptr))
    first, second = (
        sparse.csr_array((dense[rows, support.indices], support.indices, support.indptr), shape=(6, 6))
        for dense in (artefact, links)
    )
    robust = fuse([first, second], _present(6), EXACT).general.toarray()
    mean = fuse([first, second], _present(6), FusionConfig(scale="none", solver="mean")).general.toarray()
    assert mean[0, 5] > mean[0, 1:5].max()
    assert robust[0, 5] < robust[0, 1:5].min()


def test_one_scale_stops_the_modality_of_smaller_similarities_from_ruling() -> None:
    """The second modality says the same as the first in a narrow band near one, as embeddings of images do."""
    (wide,) = _similarities(modalities=1)
    narrow = wide.copy()
    narrow.data = np.where(wide.data > 0, 0.9 + 0.1 * wide.data, 0).astype(np.float32)
    plain, scaled = fuse([wide, narrow], _present(40), EXACT), fuse([wide, narrow], _present(40), FusionConfig())
    assert plain.noise[1].nnz > 100
    assert scaled.noise[0].nnz == scaled.noise[1].nnz == 0
    kept = scaled.general.toarray()
    expected = (wide.toarray() + narrow.toarray()) / 2
    np.testing.assert_allclose(kept, expected, atol=1e-6)


def test_a_modality_abstains_on_pairs_that_touch_an_absent_item() -> None:
    first, second = _similarities()
    present = _present(40)
    present[1][[3, 7]] = False
    config = EXACT
    result = fuse([first, second], present, config)
    rows = np.repeat(np.arange(40), np.diff(first.indptr))
    touched = np.isin(rows, [3, 7]) | np.isin(first.indices, [3, 7])
    assert 5 < touched.sum() < len(touched)
    A, E = _entries(result, first)
    np.testing.assert_allclose(A[touched], first.data[touched], atol=1e-6)
    assert not E[0][touched].any()
    assert not E[1][touched].any()
    low, high = np.minimum(first.data, second.data), np.maximum(first.data, second.data)
    expected = low + np.minimum(high - low, result.beta) / 2
    np.testing.assert_allclose(A[~touched], expected[~touched], atol=1e-6)
    for solver in ("bcd", "mean"):
        other = fuse([first, second], present, FusionConfig(scale="none", solver=solver))
        np.testing.assert_allclose(_entries(other, first)[0][touched], first.data[touched], atol=2e-3)


def test_what_an_absent_modality_would_have_said_does_not_matter() -> None:
    first, second = _similarities()
    present = _present(40)
    present[1][3] = False
    loud = second.copy()
    rows = np.repeat(np.arange(40), np.diff(first.indptr))
    touched = (rows == 3) | (first.indices == 3)
    assert touched.any()
    loud.data[touched] = 0.99
    for config in (EXACT, FusionConfig()):
        plain, other = fuse([first, second], present, config), fuse([first, loud], present, config)
        np.testing.assert_array_equal(plain.general.toarray(), other.general.toarray())


def test_the_graph_keeps_k_links_of_each_item_or_those_of_its_partners_and_is_normalised() -> None:
    result = fuse(_similarities(), _present(40), FusionConfig(neighbours=2))
    graph, general = result.graph.toarray(), result.general.toarray()
    np.testing.assert_array_equal(graph, graph.T)
    assert graph.dtype == np.float32
    kept = np.zeros_like(general, dtype=bool)
    for i, row in enumerate(general):
        kept[i, np.argsort(-row, kind="stable")[:2]] = True
    kept &= general > 0
    kept |= kept.T
    np.testing.assert_array_equal(graph > 0, kept)
    weights = np.where(kept, general, 0)
    roots = np.sqrt(weights.sum(1))
    np.testing.assert_allclose(graph, weights / np.outer(roots, roots), atol=1e-6)


def test_features_become_a_graph_as_the_steps_say() -> None:
    features = {"text": _features(seed=1), "image": _features(seed=2)}
    result = fused_graph(features, FusionConfig(neighbours=5))
    values = [feature.values for feature in features.values()]
    support = union_support([cosine_neighbours(x, 5) for x in values])
    expected = fuse([read_similarities(x, support) for x in values], _present(60), FusionConfig(neighbours=5))
    np.testing.assert_array_equal(result.graph.toarray(), expected.graph.toarray())
    assert result.graph.nnz >= 60 * 5
    figures = result.diagnostics()
    assert figures["fusion.converged"] == 1
    assert figures["fusion.edges"] == result.graph.nnz


def test_missing_and_zero_rows_get_their_links_from_the_other_modality_or_none() -> None:
    text, image = _features(seed=1), _features(seed=2)
    values, mask = image.values.copy(), image.present.copy()
    values[4] = 0  # present, but says nothing
    mask[5] = False
    lost_values, lost_mask = text.values.copy(), text.present.copy()
    lost_mask[6] = mask[6] = False  # missing in both
    result = fused_graph({"text": Feature(lost_values, lost_mask), "image": Feature(values, mask)}, FusionConfig())
    graph = result.graph.toarray()
    assert graph[4].any()
    assert graph[5].any()
    assert not graph[6].any()
    assert not graph[:, 6].any()
    assert not result.noise[1].toarray()[[4, 5, 6]].any()
    assert np.isfinite(graph).all()


def test_a_single_modality_keeps_its_similarities() -> None:
    text = _features()
    result = fused_graph({"text": text}, FusionConfig(neighbours=5))
    support = union_support([cosine_neighbours(text.values, 5)])
    expected = read_similarities(text.values, support)
    np.testing.assert_allclose(result.general.toarray(), expected.toarray(), atol=1e-6)


def test_what_cannot_be_fused_is_refused() -> None:
    first, second = _similarities()
    with pytest.raises(DataError, match="at least one modality"):
        fused_graph({}, EXACT)
    with pytest.raises(DataError, match="as many in each modality"):
        fused_graph({"text": _features(5), "image": _features(6)}, EXACT)
    with pytest.raises(DataError, match="at least one pair"):
        fused_graph({"text": Feature(np.zeros((4, 0), np.float32), np.ones(4, bool))}, EXACT)
    with pytest.raises(DataError, match="supports that differ"):
        fuse([first, _similarities(seed=9)[0]], _present(40), EXACT)
    with pytest.raises(DataError, match="2 similarities, 1 masks"):
        fuse([first, second], _present(40, 1), EXACT)
    with pytest.raises(DataError, match="masks"):
        fuse([first, second], _present(39), EXACT)
    with pytest.raises(DataError, match="at least one pair"):
        fuse([first * 0, second * 0], _present(40), EXACT)
    with pytest.raises(DataError, match="at least one pair"):
        fused_graph({"text": Feature(np.zeros((4, 2), np.float32), np.ones(4, bool))}, EXACT)
    with pytest.raises(DataError, match="from 0 on"):
        fuse([first * -1, second], _present(40), EXACT)
    with pytest.raises(ConfigError, match="beta"):
        FusionConfig(beta=0)


def test_the_settings_survive_a_round_trip() -> None:
    config = FusionConfig(beta=0.1, scale="none", solver="bcd")
    assert build(FusionConfig, plain(config)) == config
