import pytest

from raymm.errors import ClusterError
from raymm.parallel.grid import Grid, make_grid, share, single
from tests.processes import run_ranks


@pytest.mark.parametrize(("total", "parts"), [(10, 1), (10, 3), (3, 5), (0, 2), (7, 7)])
def test_shares_cover_everything_once_and_are_even(total, parts):
    runs = [share(total, part, parts) for part in range(parts)]
    assert [row for run in runs for row in run] == list(range(total))
    assert max(map(len, runs)) - min(map(len, runs)) <= 1


def test_single_rank_holds_everything():
    grid = make_grid(1, 1)
    assert (grid.columns(8), grid.rows(5), grid.batch_rows(5)) == (range(8), range(5), range(5))
    assert grid.world_size == single().world_size == 1


def test_more_ranks_than_columns_is_an_error():
    with pytest.raises(ClusterError, match="2 columns for 3 column-parallel ranks"):
        Grid(column_parallel=3).columns(2)


def test_wrong_number_of_ranks_is_an_error():
    with pytest.raises(ClusterError, match="1 ranks"):
        make_grid(2, 1)


def _place(rank):
    grid = make_grid(2, 2)
    return rank == grid.rank, grid.column_rank, grid.data_rank, list(grid.columns(5)), list(grid.batch_rows(4))


def test_ranks_of_a_column_group_are_neighbours():
    assert run_ranks(_place, 4) == [
        (True, 0, 0, [0, 1], [0, 1]),
        (True, 1, 0, [2, 3, 4], [0, 1]),
        (True, 0, 1, [0, 1], [2, 3]),
        (True, 1, 1, [2, 3, 4], [2, 3]),
    ]
