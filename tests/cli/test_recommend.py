"""`raymm recommend`, typed: what it shows, and how it refuses."""

from __future__ import annotations

from raymm.cli.main import FAILED, main
from tests.tracking.served import write_model


def test_what_was_ranked_is_shown_and_the_same_again_is_read(tmp_path, capsys):
    write_model(tmp_path / "model")
    (tmp_path / "users.txt").write_text("user 1\nnobody\n")
    typed = ["recommend", str(tmp_path / "model"), "--users", str(tmp_path / "users.txt"), "--workers", "0"]
    typed += ["--output", str(tmp_path / "out"), "--domain", "dot"]
    assert main(typed) == 0
    shown = capsys.readouterr().out
    assert "dot: 2 users, 1 of them unknown (they got what is popular)" in shown
    assert "users/s" in shown
    assert main(typed) == 0
    assert "was there already" in capsys.readouterr().out
    for more, words in ((["--k", "0"], "k 0"), (["--domain", "toys"], "'toys'"), (["--k", "3"], "--force")):
        assert main([*typed, *more]) == FAILED
        assert words in capsys.readouterr().err
