import pytest
import torch

from raymm.transport.cells import joint_cells
from raymm.transport.support import choose, feasible, keep_by_mass, share_of_pairs, shared_out, tasks_of, whole_tasks
from raymm.transport.sweep import Task
from tests.transport.people import domains


def test_every_cell_keeps_its_budget_with_the_fewest_blocks() -> None:
    mass = torch.rand(12, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 6
    kept = keep_by_mass(mass, 0.1)
    assert 0.1 < float(kept.double().mean()) < 0.9
    for table, chosen in ((mass, kept), (mass.T, kept.T)):
        for row, own in zip(table, chosen, strict=True):
            assert float(row[own].sum()) >= 0.9 * float(row.sum())
    # No block is kept that neither its row nor its column needs: dropping it, with all smaller ones, breaks a budget.
    for row, column in torch.nonzero(kept).tolist():
        own = mass[row, column]
        of_row, of_column = mass[row], mass[:, column]
        short_row = float(of_row[of_row > own].sum()) < 0.9 * float(of_row.sum())
        short_column = float(of_column[of_column > own].sum()) < 0.9 * float(of_column.sum())
        assert short_row or short_column


def test_cells_without_any_known_mass_keep_a_block() -> None:
    mass = torch.zeros(4, 3, dtype=torch.float64)
    mass[0, 0] = 1.0
    kept = keep_by_mass(mass, 0.03)
    assert kept.any(dim=1).all()
    assert kept.any(dim=0).all()
    assert keep_by_mass(torch.ones(3, 3, dtype=torch.float64), 0.0).all()


def test_infeasible_supports_are_noticed_and_widened() -> None:
    mass = torch.tensor([[0.5, 1e-4], [1e-3, 0.5]], dtype=torch.float64)
    diagonal = torch.eye(2, dtype=torch.bool)
    even = torch.tensor([0.5, 0.5], dtype=torch.float64)
    uneven = torch.tensor([0.7, 0.3], dtype=torch.float64)
    assert feasible(diagonal, mass, even, even)
    assert not feasible(diagonal, mass, uneven, even)  # the first row cell must send 0.2 to the second column cell
    kept, missed = choose(mass, 0.03, uneven, even, balanced=True)
    assert kept[0, 1]
    assert missed < 0.03
    kept, missed = choose(mass, 0.03, uneven, even, balanced=False)
    assert torch.equal(kept, diagonal)
    assert missed == 0.03


def test_tasks_cover_exactly_the_kept_pairs() -> None:
    x, y = domains(200, 120, 40, torch.float32)
    rows, columns = joint_cells(x, y, 8, torch.Generator().manual_seed(0))
    kept = torch.rand(rows.count, columns.count, generator=torch.Generator().manual_seed(1)) < 0.4
    covered = torch.zeros(200, 120, dtype=torch.bool)
    for task in tasks_of(kept, rows, columns):
        covered[task.start : task.stop, task.of(torch.arange(120))] = True
    assert torch.equal(covered, kept[rows.of_position][:, columns.of_position])
    assert share_of_pairs(kept, rows, columns) == pytest.approx(float(covered.double().mean()))
    assert sum(task.stop - task.start for task in whole_tasks(rows)) == 200


@pytest.mark.parametrize("workers", [1, 2, 3, 50])
def test_tasks_are_shared_out_evenly_and_completely(workers: int) -> None:
    tasks = [Task(10 * i, 10 * i + 10, ((0, 5 + i % 7),)) for i in range(40)]
    runs = shared_out(tasks, 99, workers)
    assert [number for run in runs for number in run] == list(range(40))
    assert len(runs) <= workers
    if workers in (2, 3):
        loads = [sum(10 * (5 + i % 7) for i in run) for run in runs]
        assert len(loads) == workers
        assert max(loads) < 1.3 * min(loads)
