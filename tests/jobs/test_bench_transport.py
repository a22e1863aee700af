import json
from pathlib import Path

import pytest
import torch

from jobs.bench_transport import METHODS, main, planted_users

EXACT = ["raymm_exact", "raymm_partitioned", "pot_sinkhorn", "pot_lazy"]


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
    assert (tmp_path / "transport.png").stat().st_size > 1000


def test_a_solver_that_takes_too_long_is_dropped_and_said(tmp_path: Path) -> None:
    options = ["--output", str(tmp_path), "--sizes", "150", "300", "--methods", "pot_sinkhorn", "--timeout-s", "0.1"]
    assert main(options) == 0
    failed = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert len(failed) == 1
    assert "more than 0.1 s" in failed[0]["failure"]


def test_planted_users_share_a_third() -> None:
    x, y = planted_users(600, 32)
    assert x.shape == y.shape == (600, 32)
    own = (x[:200] * y[:200]).sum(dim=1).mean()
    other = (x[:200] * y[200:400]).sum(dim=1).mean()
    assert own > other + 0.3
    torch.testing.assert_close(torch.linalg.vector_norm(x, dim=1), torch.ones(600))
