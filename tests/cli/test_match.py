"""`raymm match`, typed: what it shows, and how it refuses."""

import dataclasses

import pytest

from raymm.cli.main import FAILED, main
from tests.verbs.matching import request


def _typed(asked, *more):
    values = dataclasses.asdict(asked)
    paths = [part for name in ("source", "target", "anchors", "output") for part in (f"--{name}", str(values[name]))]
    return ["match", *paths, *more]


def test_what_was_matched_is_shown_and_the_same_again_is_read(tmp_path, capsys):
    typed = _typed(
        request(tmp_path), "--epsilon", "0.05", "--set", "omega=0", "--set", "marginals=relaxed", "--top-k", "5"
    )
    assert main(typed) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in ("300 users", "260 users", "deterministic", "30 hidden pairs", "partners/"):
        assert words in shown, shown
    assert main(typed) == 0
    assert "was there already" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--set", "epsilno=1"), ("epsilno", "did you mean 'epsilon'")),
        (("--epsilon", "-1"), ("epsilon", "greater than 0")),
        (("--no-choose", "--epsilon", "1e-9"), ("1e-09", "raise epsilon")),
        (("--top-k", "0"), ("top_k", "at least 1")),
        (("--target-gap", "nan"), ("target_gap", "finite")),
        (("--workers", "-1"), ("workers -1",)),
        (("--id-column", "user"), ("a column 'user'", "--id-column")),
        (("--source", "missing.parquet"), ("missing.parquet", "no such file")),
        (("--device", "cuda:99"), ("cuda:99", "a device of this machine")),
        (("--device", "meta", "--workers", "2"), ("2 workers", "one device")),
        (("--extend", "first"), ("--target, --anchors together with --extend", "nothing is solved again")),
    ],
)
def test_what_cannot_be_matched_is_named(tmp_path, capsys, more, words):
    assert main(_typed(request(tmp_path), *more)) == FAILED
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    for word in (*words, "found:"):
        assert word in shown, shown
    assert not (tmp_path / "out" / "first").exists()


def test_new_users_are_matched_by_an_earlier_matching(tmp_path, capsys):
    asked = request(tmp_path)
    assert main(_typed(asked, "--epsilon", "0.05", "--no-choose")) == 0
    typed = ["match", "--extend", str(asked.output), "--source", str(asked.source), "--output", str(tmp_path / "new")]
    assert main([*typed, "--top-k", "3"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "300 new users among 200 candidates" in shown
    assert len(list((tmp_path / "new" / "partners").glob("*.parquet"))) == 1
    assert main(["match", "--source", str(asked.source), "--output", str(tmp_path / "other")]) == FAILED
    assert "no --target" in capsys.readouterr().err
