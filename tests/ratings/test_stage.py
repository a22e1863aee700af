"""A stage's model is one the loop can train."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from raymm.contracts import Batch, RecModel
from raymm.errors import TrainingError
from raymm.ratings.stage import ROWS, RowModel


def test_a_row_model_passes_rows_on_and_is_no_finished_model() -> None:
    network = nn.Linear(1, 1)
    model = RowModel(network, lambda rows: rows.double().mean(), sparse=True)
    assert isinstance(model, RecModel)
    assert model(Batch((), 0, torch.tensor([1, 2, 6])))["loss"] == 3
    (group,) = model.parameter_groups()
    assert group.name == ROWS
    assert [id(one) for one in group.parameters] == [id(one) for one in network.parameters()]
    with pytest.raises(TrainingError, match="batch of triples"):
        model(Batch((), 0))
    with pytest.raises(TrainingError, match="one stage"):
        model.scorer("target")
