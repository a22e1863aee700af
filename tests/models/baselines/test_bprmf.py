from __future__ import annotations

import torch

from raymm.models.baselines.bprmf import SPEC, BprMfConfig
from tests.models.baselines.toy import make, stored


def test_scores_are_inner_products_of_the_tables() -> None:
    model = make(SPEC, BprMfConfig(width=5))
    torch.testing.assert_close(stored(model), torch.cat([model.users(), model.items()]).detach().double())
