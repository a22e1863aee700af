from __future__ import annotations

from dataclasses import replace

import torch

from raymm.models.gume.config import DEFAULT, GraphConfig, UserModalityConfig
from tests.models.gume.toy import ITEMS, USERS, toy_data, toy_model

CONFIG = replace(DEFAULT, width=6, graph=GraphConfig(neighbours=4, link_neighbours=4))


def test_the_mean_of_extended_modalities_is_the_mean_of_their_propagations() -> None:
    model = toy_model(CONFIG, toy_data(3)).modalities
    features = model()
    graph = model._enhanced.matrix.to_dense()
    average = torch.stack([torch.linalg.matrix_power(graph, power) for power in range(4)]).mean(0)
    each = [average @ torch.cat([model.extended(), items]) for items in features.explicit_items.split(6, dim=1)]
    assert len(each) == 3
    torch.testing.assert_close(features.nodes[:, 6:], torch.stack(each).mean(0), rtol=1e-5, atol=1e-6)


def test_extended_features_are_left_out_where_nothing_reads_them() -> None:
    config = replace(CONFIG, user_modality=UserModalityConfig(weight=0, regularisation=0))
    model = toy_model(config, toy_data()).modalities
    assert model.extended is None
    assert model().nodes.shape == (USERS + ITEMS, 6)


def test_extended_users_start_as_the_mean_of_one_draw_a_modality() -> None:
    spread = [toy_model(CONFIG, toy_data(count)).modalities.extended().std().item() for count in (1, 3)]
    assert 1.4 < spread[0] / spread[1] < 2.1  # square root of three, from few draws


def test_items_without_a_modality_have_zero_features_in_it() -> None:
    model = toy_model(CONFIG, toy_data(2, missing=True)).modalities
    features = model()
    text, image = features.explicit_items.split(6, dim=1)
    assert not text[[0, 1, 17]].any()
    assert image[[0, 1]].any()
    assert model.item_counts == (ITEMS - 3, ITEMS - 3)
    present = model.present(2, torch.tensor([0, 17, 5]))
    assert present.tolist() == [[1, 1], [1, 1], [0, 1], [0, 0], [1, 1]]
    assert toy_model(CONFIG, toy_data(2)).modalities.present(2, torch.tensor([0])) is None
