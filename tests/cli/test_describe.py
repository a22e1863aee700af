from pathlib import Path

import pytest

from raymm.cli.main import FAILED, main


@pytest.mark.ray
def test_describe_prints_a_table_and_writes_a_page_where_it_is_told(
    prepared_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["describe", str(prepared_sample), "--output", str(tmp_path / "page")]) == 0
    shown = capsys.readouterr().out
    assert "training interactions" in shown
    assert "users in both domains" in shown
    assert (tmp_path / "page" / "description.html").is_file()


def test_a_folder_that_is_no_prepared_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", str(tmp_path)]) == FAILED
    assert "remedy:" in capsys.readouterr().err
