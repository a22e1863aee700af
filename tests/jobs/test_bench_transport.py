import json
from pathlib import Path

import pytest
import torch

from jobs.bench_transport import METHODS, judged, main, planted_users, summary, with_gaps
from raymm.transport import sinkhorn
from raymm.transport.sinkhorn import SolverConfig

EXACT = ["raymm_exact", "raymm_partitioned", "pot_sinkhorn", "pot_sinkhorn_log", "pot_lazy", "geomloss_tensorized"]


@pytest.mark.slow
def test_every_exact_solver_reaches_the_same_value(tmp_path: Path) -> None:
    options = ["--output", str(tmp_path), "--threads", "1", "--dimension", "16", "--tolerance", "1e-5"]
    assert set(EXACT) < set(METHODS)
    assert main([*options, "--sizes", "150", "--methods", *EXACT]) == 0
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row["method"] for row in rows] == EXACT
    values = [row["value"] for row in rows]
    assert max(values) - min(values) < 0.01 * min(values)
    assert all(row["error"] < 1e-2 for row in rows)
    assert all(row["gap"] < 1e-3 for row in rows if row["method"] != "raymm_partitioned")
    assert (tmp_path / "transport.png").stat().st_size > 1000
    again = tmp_path / "again" / "figure.png"
    assert main(["--output", str(tmp_path), "--plot", str(again)]) == 0
    assert again.stat().st_size > 1000


def test_a_solver_that_takes_too_long_is_dropped_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--output", str(tmp_path), "--sizes", "9000", "18000", "--methods", "raymm_exact", "--threads", "1"]
    assert main([*options, "--limit-cpu-s", "0.1"]) == 0
    failed = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert failed == [{"method": "raymm_exact", "n": 9000, "failure": "more than 0.1 cpu-s"}]
    assert "| raymm_exact |  |  |  |  |  |  | more than 0.1 cpu-s at 9,000 |" in capsys.readouterr().out


@pytest.mark.slow
def test_a_solver_that_needs_too_much_memory_is_dropped_and_said(tmp_path: Path) -> None:
    options = ["--output", str(tmp_path), "--sizes", "12000", "--methods", "pot_sinkhorn", "--threads", "1"]
    assert main([*options, "--memory-gib", "1"]) == 0
    failed = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row["failure"] for row in failed] == ["more than 1 GiB"]


def test_potentials_are_judged_by_what_they_are_worth() -> None:
    x, y = planted_users(200, 16)
    cost = 1.0 - x.double() @ y.double().T
    even = torch.full((200,), 1 / 200, dtype=torch.float64)
    solution = sinkhorn.solve(cost, even, even, 0.05, config=SolverConfig(tolerance=1e-9))
    plan = sinkhorn.plan(cost, even, even, solution.f, solution.g, 0.05)
    value = float((plan * cost).sum() + 0.05 * torch.special.xlogy(plan, plan * 200**2).sum())
    good, bad = judged((x, y), solution.g, 0.05), judged((x, y), torch.zeros(200), 0.05)
    assert good["lower"] <= value + 1e-6
    assert good["value"] >= value - 1e-6
    assert good["gap"] < 1e-5
    assert bad["lower"] < value < bad["value"]
    assert bad["gap"] > 0.01


def test_the_summary_says_what_stopped_each_method() -> None:
    row = {"method": "one", "n": 1250, "cpu_s": 2.0, "added_bytes": 3 * 2**20, "value": 0.5, "error": 1e-4, "gap": 2e-5}
    lines = summary([row, {"method": "one", "n": 2500, "failure": "more than 1 GiB"}]).splitlines()
    assert lines[2:] == ["| one | 1,250 | 2.0 | 3 | 0.50000 | 1.0e-04 | 2.00e-05 | more than 1 GiB at 2,500 |"]


def test_planted_users_share_a_third() -> None:
    x, y = planted_users(600, 32)
    assert x.shape == y.shape == (600, 32)
    own = (x[:200] * y[:200]).sum(dim=1).mean()
    other = (x[:200] * y[200:400]).sum(dim=1).mean()
    assert own > other + 0.3
    torch.testing.assert_close(torch.linalg.vector_norm(x, dim=1), torch.ones(600))


def test_a_value_without_a_bound_is_held_against_the_best_bound_of_its_size() -> None:
    rows = [
        {"n": 10, "lower": 0.4, "gap": 0.1},
        {"n": 10, "lower": 0.5},
        {"n": 10, "value": 0.6},
        {"n": 20, "value": 1},
    ]
    assert [row.get("gap") for row in with_gaps(rows)] == [0.1, None, pytest.approx(0.2), None]
