from __future__ import annotations

import torch

from raymm.models.baselines.vbpr import SPEC, VbprConfig
from tests.models.baselines.toy import make, toy_data


def test_scores_add_ids_and_features() -> None:
    model, data = make(SPEC, VbprConfig(width=5)), toy_data()
    expected = (model.users() @ model.items().T).detach()
    for projection, feature in zip(model.projections, data.domains[0].features.values(), strict=True):
        values = torch.from_numpy(feature.values * feature.present[:, None])
        expected = expected + (model.tastes() @ (values @ projection.weight()).T).detach()
    torch.testing.assert_close(model.scorer("toy").scores(torch.arange(20)), expected, rtol=1e-4, atol=1e-5)
