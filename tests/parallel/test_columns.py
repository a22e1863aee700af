import torch
from torch import nn

from raymm.parallel.columns import ColumnShare, ColumnTable, column_shares
from raymm.parallel.grid import Grid, single


def _table(grid):
    return ColumnTable(9, 5, grid, torch.Generator().manual_seed(1))


def test_the_start_does_not_depend_on_the_number_of_ranks():
    whole = _table(single()).weight
    parts = [_table(Grid(column_parallel=3, column_rank=rank)).weight for rank in range(3)]
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert whole.abs().max() <= (6 / (9 + 5)) ** 0.5
    assert whole.std() > 0.1


def test_shares_are_named_by_parameter():
    grid = Grid(column_parallel=2, column_rank=1)
    model = nn.ModuleDict({"table": _table(grid), "head": nn.Linear(2, 2)})
    assert column_shares(model) == {"table.weight": ColumnShare(2, 5, 5)}
    assert set(column_shares(model)) < {name for name, _ in model.named_parameters()}
