"""Bad input from the outside: one screen, a path, what was found and expected, a remedy, and an exit code."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raymm.cli.main import FAILED, _console, main
from raymm.data.layout import SCHEMA
from raymm.verbs.pipeline import bundled_recipe

TRAIN = ["train", "sieoug", "--no-tracking", "--set", "settings.width=16", "--set", "train.loop.epochs=2"]


def _fails(arguments, capsys, *words):
    code = main(arguments)
    shown = capsys.readouterr().err
    assert code == FAILED
    assert "Traceback" not in shown
    assert len(shown.splitlines()) < 25
    for word in (*words, "found:", "remedy:"):
        assert word in shown, shown


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epocs=3", ("train.epocs", "unknown")),
        ("settings.widht=3", ("settings.widht", "did you mean 'width'")),
        ("train.batch_size=large", ("train.batch_size", "'large'", "a whole number")),
        ("settings.transfer.matching.epsilon=0", ("epsilon", "greater than 0")),
        ("settings.transfer.matching.epsilon=-1", ("epsilon", "found -1")),
        ("train.optimizer.learning_rate=inf", ("learning_rate", "finite")),
        ("scale.workers=3", ()),
        ("noequals", ("name.of.setting=value",)),
        ("preset=quick", ("'quick'", "default, paper")),
    ],
)
def test_a_wrong_setting_is_named(setting, words, capsys, tmp_path):
    if setting == "scale.workers=3":
        arguments = [*TRAIN, "--data", str(tmp_path), "--set", "scale.workers=3", "--set", "scale.data_parallel=2"]
        _fails(arguments, capsys, "data_parallel", "divisor")
    else:
        _fails([*TRAIN, "--data", str(tmp_path), "--set", setting], capsys, *words)


def test_workers_of_a_model_that_needs_none_are_noted(capsys, tmp_path):
    arguments = ["train", "ease", "--no-tracking", "--data", str(tmp_path), "--workers", "4"]
    _fails(arguments, capsys, "no manifest")
    main(arguments)
    shown = capsys.readouterr()
    assert "--workers 4 changes nothing" in " ".join((shown.out + shown.err).split())


def test_several_wrong_settings_are_listed_together(capsys, tmp_path):
    arguments = [*TRAIN, "--data", str(tmp_path), "--set", "train.seed=-1", "--set", "scale.wrkers=2"]
    _fails(arguments, capsys, "train.seed", "scale.wrkers")


def test_a_missing_config_file_and_one_that_is_no_toml(capsys, tmp_path):
    _fails([*TRAIN, "--data", "x", "--config", str(tmp_path / "none.toml")], capsys, "none.toml", "no such file")
    broken = tmp_path / "broken.toml"
    broken.write_text("train = [")
    _fails([*TRAIN, "--data", "x", "--config", str(broken)], capsys, "broken.toml", "TOML")


def test_a_folder_that_is_no_prepared_set(capsys, tmp_path):
    _fails([*TRAIN, "--data", str(tmp_path)], capsys, str(tmp_path), "no manifest", "prepared")


@pytest.mark.ray
def test_a_prepared_set_of_another_schema(prepared_sample, capsys, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(prepared_sample, other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "schema": 99}))
    _fails([*TRAIN, "--data", str(other)], capsys, str(other), "schema 99", f"schema {SCHEMA}")


@pytest.mark.ray
def test_a_cutoff_larger_than_the_number_of_items(prepared_sample, capsys, tmp_path):
    arguments = [*TRAIN, "--data", str(prepared_sample), "--runs", str(tmp_path), "--address", "local"]
    arguments += ["--set", "train.cutoffs=[10, 100000]", "--workers", "1"]
    _fails(arguments, capsys, "100000", "train.cutoffs", "arts has")


def _recipe(folder, change):
    """A copy of the bundled sample with the first 3,000 rows, changed."""
    source = bundled_recipe().parent
    for name in ("recipe.toml", "items.tsv"):
        shutil.copy(source / name, folder / name)
    rows = (source / "interactions.tsv").read_text().splitlines(keepends=True)
    (folder / "interactions.tsv").write_text("".join(rows[:1] + [row for row in rows[1:] if change(row)]))
    return folder / "recipe.toml"


@pytest.mark.ray
def test_an_empty_domain(ray_cluster, capsys, tmp_path):
    recipe = _recipe(tmp_path, lambda row: not row.startswith("office"))
    _fails(["prepare", str(recipe), "--output", str(tmp_path / "out")], capsys, "office")
    assert not (tmp_path / "out").exists()


@pytest.mark.ray
def test_a_missing_source(ray_cluster, capsys, tmp_path):
    recipe = _recipe(tmp_path, lambda row: True)
    (tmp_path / "items.tsv").unlink()
    _fails(["prepare", str(recipe), "--output", str(tmp_path / "out")], capsys, "items.tsv")


def test_a_missing_recipe(capsys, tmp_path):
    _fails(["prepare", str(tmp_path / "none.toml"), "--output", str(tmp_path / "out")], capsys, "none.toml")


def test_what_the_machine_refuses_is_no_fault_of_raymm(capsys, tmp_path):
    _fails(["describe", str(tmp_path / ("a" * 300))], capsys, "File name too long", "free space")


def test_a_traceback_comes_only_when_asked_for(capsys, tmp_path):
    assert main([*TRAIN, "--debug", "--data", str(tmp_path)]) == FAILED
    assert "Traceback" in capsys.readouterr().err


def test_help_needs_neither_ray_nor_mlflow():
    code = "import sys; from raymm.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('ray', 'mlflow', 'deepspeed', 'dgl') if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"
    assert "examples:" in output


def test_settings_are_listed(capsys):
    assert main(["settings", "sieoug"]) == 0
    assert "train.loop.patience" in capsys.readouterr().out


def test_the_installed_program_starts():
    program = Path(sys.executable).with_name("raymm")
    shown = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("raymm ")


@pytest.mark.parametrize(("columns", "width"), [(None, 140), ("90", 90)])
def test_a_log_is_wide_enough_for_tables_unless_columns_says_otherwise(columns, width, monkeypatch, tmp_path):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    with (tmp_path / "log").open("w") as log:
        monkeypatch.setattr(sys, "stdout", log)
        assert _console().width == width
