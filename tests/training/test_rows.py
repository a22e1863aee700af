"""Steps over rows, and the engine that goes over them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from raymm.errors import ArtefactError, TrainingError
from raymm.ratings.stage import ROWS, RowModel
from raymm.training.rows import RowEngine, RowSource, read_tables, write_tables


def test_each_epoch_sees_every_row_once_in_another_order() -> None:
    source = RowSource(10, 4, seed=3)
    epochs = [[batch.rows for batch in source.epoch(epoch)] for epoch in (1, 2)]
    assert source.steps_per_epoch == 3 == len(epochs[0])
    assert [len(rows) for rows in epochs[0]] == [4, 4, 2]
    orders = [torch.cat(rows).tolist() for rows in epochs]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] != orders[1]
    later = [batch.rows.tolist() for batch in source.epoch(1, start_step=2)]
    assert later == [epochs[0][2].tolist()]
    with pytest.raises(TrainingError, match="0 rows"):
        RowSource(0, 4, 0)


class _Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.ones(6, 2))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return functional.embedding(rows, self.rows, sparse=True).square().mean()


def test_sparse_steps_move_the_rows_they_touch_as_adam_would() -> None:
    table, dense = _Table(), nn.Parameter(torch.ones(6, 2))
    engine = RowEngine(RowModel(table, table, sparse=True), 0.1, ROWS)
    adam = torch.optim.Adam([dense], lr=0.1)
    for batch in RowSource(6, 6, 0).epoch(1):  # every row in the step: nothing rests
        loss = engine.step(batch)["loss"]
        dense[batch.rows].square().mean().backward()
        adam.step()
    assert loss == 1
    assert torch.allclose(table.rows, dense, atol=1e-6)
    before = table.rows.detach().clone()
    (last,) = list(RowSource(2, 2, 0).epoch(1))
    engine.step(last)
    assert torch.equal(table.rows[2:], before[2:])
    assert not torch.equal(table.rows[:2], before[:2])


def test_tables_come_back(tmp_path) -> None:
    table = _Table()
    engine = RowEngine(RowModel(table, table, sparse=True), 0.1, ROWS)
    engine.save(tmp_path)
    start = table.rows.detach().clone()
    engine.step(next(RowSource(6, 6, 0).epoch(1)))
    engine.load(tmp_path)
    assert torch.equal(table.rows, start)
    write_tables(tmp_path, {"a": torch.arange(3.0)})
    assert read_tables(tmp_path)["a"].tolist() == [0, 1, 2]
    with pytest.raises(ArtefactError, match="no readable tables"):
        read_tables(tmp_path / "nowhere")
