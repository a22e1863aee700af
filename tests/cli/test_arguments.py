import pytest

from raymm.cli.arguments import make_parser, settings_table


@pytest.mark.parametrize("verb", ["prepare", "train", "evaluate", "register", "pipeline", "match", "settings"])
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as left:
        make_parser().parse_args([verb, "--help"])
    assert left.value.code == 0
    assert "--debug" in capsys.readouterr().out


def test_a_wrong_flag_is_refused_and_no_flag_is_guessed(capsys):
    for arguments in (["train", "sieoug", "--data", "x", "--epoch", "3"], ["prepare", "r", "--out", "x"]):
        with pytest.raises(SystemExit) as left:
            make_parser().parse_args(arguments)
        assert left.value.code == 2


def test_the_settings_table_has_every_setting_with_its_meaning():
    rows = {name: (default, words) for name, default, words in settings_table("sieoug")}
    assert rows["train.batch_size"][0] == "4096"
    assert "settings.transfer.matching.epsilon" in rows
    assert [name for name, (_, words) in rows.items() if not words] == []


def test_the_settings_of_a_matching_are_listed_too():
    rows = {name: words for name, _, words in settings_table("match")}
    assert "partition.target_gap" in rows
    assert all(rows.values())


@pytest.mark.parametrize(
    "words", [["train", "ease", "--data", "d", "--name", "a/b"], ["tune", "ease", "--data", "d", "--name", "../x"]]
)
def test_a_name_of_a_run_is_no_path(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        make_parser().parse_args(words)
    assert "names no folder" in capsys.readouterr().err
