from pathlib import Path

import pytest

from raymm.cli.main import FAILED, main
from tests.verbs.families import CLOSED


@pytest.mark.ray
def test_a_family_prints_tables_and_a_failed_run_fails_the_command(
    prepared_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "closed.toml"
    path.write_text(CLOSED)
    command = ["experiment", str(path), "--data", str(prepared_sample), "--no-tracking", "--output"]
    assert main([*command, str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "item k-NN, seed 0: 1 epochs" in out
    assert "95 %" in out
    assert main([*command, str(tmp_path / "none"), "--domain", "nowhere"]) == FAILED
    shown = capsys.readouterr()
    assert "nowhere" in shown.err
    assert "start the same command again" in shown.err


def test_a_wrong_key_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(CLOSED.replace("reference", "referenc"))
    command = ["experiment", str(path), "--data", str(tmp_path), "--output", str(tmp_path / "out"), "--no-tracking"]
    assert main(command) == FAILED
    assert "did you mean 'reference'?" in capsys.readouterr().err
