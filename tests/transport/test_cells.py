import torch

from raymm.transport.cells import default_count, joint_cells
from tests.transport.people import domains


def test_cells_are_a_partition_of_each_side_without_empty_or_huge_cells() -> None:
    x, y = domains(900, 500, 100, torch.float32)
    rows, columns = joint_cells(x, y, 20, torch.Generator().manual_seed(0))
    for cells, points in ((rows, x), (columns, y)):
        assert sorted(cells.order.tolist()) == list(range(len(points)))
        sizes = cells.edges.diff()
        assert sizes.min() > 0
        assert sizes.max() <= 4 * len(points) // 20
        assert int(cells.edges[-1]) == len(points)
        counted = torch.bincount(cells.of_position, minlength=cells.count)
        assert torch.equal(counted, sizes)
    # Points of a cell are nearer to each other than points in general.
    ordered = x[rows.order]
    means = torch.stack([part.mean(0) for part in ordered.split(rows.edges.diff().tolist())])
    inside = (ordered - means[rows.of_position]).square().sum()
    assert inside < 0.6 * (x - x.mean(0)).square().sum()


def test_same_seed_same_cells() -> None:
    x, y = domains(300, 200, 50, torch.float32)
    first, second = (joint_cells(x, y, 8, torch.Generator().manual_seed(3))[0].order for _ in range(2))
    assert torch.equal(first, second)


def test_equal_points_and_more_cells_than_points_are_no_trouble() -> None:
    equal = torch.ones(50, 3)
    rows, columns = joint_cells(equal, equal[:2], 8, torch.Generator().manual_seed(0))
    assert rows.edges.diff().max() <= 4 * 50 // 8
    assert columns.order.sort().values.tolist() == [0, 1]
    few, _ = joint_cells(torch.eye(3), torch.eye(3), 64, torch.Generator().manual_seed(0))
    assert few.count <= 3


def test_count_grows_with_size() -> None:
    assert [default_count(n, 10) for n in (100, 50_000, 400_000, 2_000_000)] == [64, 250, 1024, 4096]
