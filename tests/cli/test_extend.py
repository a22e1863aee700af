"""`raymm match --extend`, typed: what does not go together with it."""

import pytest

from raymm.cli.main import FAILED, main


@pytest.mark.parametrize("more", [("--workers", "2"), ("--epsilon", "0.1"), ("--set", "omega=0"), ("--no-choose",)])
def test_what_belongs_to_a_solve_is_refused(tmp_path, capsys, more):
    typed = ["match", "--extend", str(tmp_path), "--source", "a.parquet", "--output", str(tmp_path / "new"), *more]
    assert main(typed) == FAILED
    assert f"{more[0].replace('no-', '')} together with --extend" in capsys.readouterr().err
