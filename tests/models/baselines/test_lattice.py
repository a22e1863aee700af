from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from raymm.graph.item_graphs import item_graphs
from raymm.models.baselines.lattice import SPEC, LatticeConfig, _support, _weighted
from tests.models.baselines.toy import USERS, dense_lightgcn, make, stored, toy_batch, toy_data

CONFIG = LatticeConfig(width=5, neighbours=4, frozen_share=0.3)


def _dense_learned(projected: torch.Tensor, present: np.ndarray, k: int) -> torch.Tensor:
    unit = torch.nn.functional.normalize(projected, dim=1)
    similarity = (unit @ unit.T).clamp_min(0)
    similarity[:, ~present] = 0
    similarity[~present] = 0
    similarity.fill_diagonal_(2)
    kept = torch.zeros_like(similarity).scatter(1, similarity.topk(k, dim=1).indices, 1.0)
    similarity.fill_diagonal_(1)
    similarity = similarity * kept
    similarity[~present] = 0
    degrees = similarity.sum(1).clamp_min(1e-12).sqrt()
    return similarity / (degrees[:, None] * degrees[None])


def test_items_add_their_spread_ids_of_unit_length() -> None:
    model, data = make(SPEC, CONFIG), toy_data()
    model.start_epoch(1)
    graphs = item_graphs(data.domains[0].features, 4)
    mixed = torch.zeros(15, 15).double()
    for projection, (name, feature) in zip(model.projections, data.domains[0].features.items(), strict=True):
        learned = _dense_learned(projection().detach().double(), feature.present, 4)
        mixed += (0.3 * torch.from_numpy(graphs[name].toarray()).double() + 0.7 * learned) / 2
    spread = mixed @ model.items().detach().double()
    expected = dense_lightgcn(model, data, 2)
    expected[USERS:] += torch.nn.functional.normalize(spread, dim=1)
    torch.testing.assert_close(stored(model), expected, rtol=1e-4, atol=1e-5)


def test_the_weighted_product_has_the_gradients_of_the_dense_one() -> None:
    generator = np.random.default_rng(0)
    matrix = sparse.random_array((9, 9), density=0.4, rng=generator, format="csr")
    matrix.sort_indices()
    support = _support(matrix, torch.device("cpu"))
    values = torch.from_numpy(matrix.data).requires_grad_()
    x = torch.from_numpy(generator.normal(size=(9, 3))).requires_grad_()
    torch.testing.assert_close(_weighted(values, support, x), torch.from_numpy(matrix.toarray()) @ x)
    assert torch.autograd.gradcheck(lambda v, t: _weighted(v, support, t), (values, x))


def test_only_a_learning_graph_trains_the_projections() -> None:
    frozen = make(SPEC, LatticeConfig(width=5, neighbours=4, frozen_share=1.0))
    sum(frozen(toy_batch()).values()).backward()
    assert all(p.grad is None for p in frozen.projections.parameters())


def test_neighbours_follow_the_projections_every_few_epochs() -> None:
    model = make(SPEC, LatticeConfig(width=5, neighbours=4, renew_every=2))
    model.start_epoch(1)
    first = model._supports
    with torch.no_grad():
        for projection in model.projections:
            projection.weight.weight.normal_(generator=torch.Generator().manual_seed(0))
    model.start_epoch(2)
    assert model._supports is first
    model.start_epoch(3)
    assert not torch.equal(model._supports[0].columns, first[0].columns)


def test_a_resume_within_an_epoch_keeps_the_neighbours_in_use() -> None:
    model, again = (make(SPEC, LatticeConfig(width=5, neighbours=4, renew_every=2)) for _ in range(2))
    assert model.extra_state() == {}
    model.start_epoch(3)
    state = model.extra_state()
    with torch.no_grad():  # later weights, which would find other neighbours
        for projection in (*model.projections, *again.projections):
            projection.weight.weight.normal_(generator=torch.Generator().manual_seed(0))
    again.load_extra_state(state)
    again.start_epoch(3)
    for ours, theirs in zip(again._supports, model._supports, strict=True):
        assert all(torch.equal(value, vars(theirs)[name]) for name, value in vars(ours).items())
    torch.testing.assert_close(stored(again), stored(model))
    again.start_epoch(5)
    assert not torch.equal(again._supports[0].columns, model._supports[0].columns)
