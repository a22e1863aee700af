"""`raymm pull`, typed: an address that leads nowhere is named."""

from __future__ import annotations

from raymm.cli.main import FAILED, main


def test_a_model_that_is_not_there_is_named(tmp_path, capsys):
    typed = ["pull", "models:/nobody@champion", "--store", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(typed) == FAILED
    assert "nobody has this alias" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*typed[:1], "nobody", *typed[2:]]) == FAILED
    assert "models:/<name>@<alias>" in capsys.readouterr().err
