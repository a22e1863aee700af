from pathlib import Path

import pytest

from raymm.cli.main import FAILED, main
from raymm.experiment import build_experiment
from raymm.verbs.evaluate import evaluate
from raymm.verbs.train import TrainRequest, train


@pytest.mark.ray
def test_compare_prints_a_table_and_writes_a_page(
    prepared_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = []
    for model in ("popularity", "item_knn"):
        experiment = build_experiment({"model": model, "train": {"domain": "arts"}})
        run, _ = train(TrainRequest(experiment, prepared_sample, tmp_path / model), None, lambda _: None)
        evaluate(run.folder, None, None)
        folders.append(str(run.folder))
    capsys.readouterr()
    assert main(["compare", *folders, "--output", str(tmp_path / "page")]) == 0
    shown = capsys.readouterr().out
    assert "head" in shown
    assert "tail" in shown
    assert (tmp_path / "page" / "comparison.html").is_file()
    assert main(["compare", *folders, "--output", str(tmp_path / "page")]) == FAILED


def test_what_is_no_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path), str(tmp_path)]) == FAILED
    assert "expected: a run folder" in capsys.readouterr().err
