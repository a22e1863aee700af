"""`raymm export`, typed."""

from raymm.cli.main import FAILED, main


def test_a_run_that_is_not_there_is_named(tmp_path, capsys):
    assert main(["export", str(tmp_path / "none"), "--output", str(tmp_path / "a.parquet")]) == FAILED
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert "none" in shown
    assert not (tmp_path / "a.parquet").exists()
