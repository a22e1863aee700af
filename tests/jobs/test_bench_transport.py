import json
from pathlib import Path

import pytest
import torch

from jobs.bench_transport import METHODS, main, planted_users


@pytest.mark.slow
def test_every_solver_reaches_the_same_value_and_failures_are_reported(tmp_path: Path) -> None:
    options = ["--output", str(tmp_path), "--threads", "1", "--dimension", "16", "--tolerance", "1e-5"]
    assert main([*options, "--sizes", "150", "300", "--timeout-s", "120"]) == 0
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert {(row["method"], row["n"]) for row in rows} == {(name, n) for name in METHODS for n in (150, 300)}
    for n in (150, 300):
        values = {row["method"]: row["value"] for row in rows if row["n"] == n and "value" in row}
        assert len(values) == 5
        assert max(values.values()) - min(values.values()) < 0.01 * min(values.values())
        exact = [row for row in rows if row["n"] == n and row["method"] != "pot_low_rank"]
        assert all(row["error"] < 1e-2 for row in exact)
    assert (tmp_path / "transport.png").stat().st_size > 1000
    main([*options, "--sizes", "150", "--methods", "pot_sinkhorn", "--timeout-s", "0.1"])
    failed = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert "more than 0.1 s" in failed[0]["failure"]


def test_planted_users_share_a_third() -> None:
    x, y = planted_users(600, 32)
    assert x.shape == y.shape == (600, 32)
    own = (x[:200] * y[:200]).sum(dim=1).mean()
    other = (x[:200] * y[200:400]).sum(dim=1).mean()
    assert own > other + 0.3
    torch.testing.assert_close(torch.linalg.vector_norm(x, dim=1), torch.ones(600))
