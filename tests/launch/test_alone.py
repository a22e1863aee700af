"""Training without workers: an interrupted run goes on from its last checkpoint, here or with workers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from raymm import config
from raymm.data.prepared import open_prepared
from raymm.errors import ConfigError, DataError, TrainingError
from raymm.experiment import build_experiment
from raymm.launch.alone import last_checkpoint
from raymm.launch.board import AGAIN
from raymm.launch.train import Part, run_training

SMALL = ("settings.width=16", "settings.transfer.warmup_epochs=1", "train.loop.epochs=6", "scale.checkpoint_every=2")


def _experiment(*changes):
    return build_experiment(config.override({}, [*SMALL, "scale.workers=0", *changes]))


def _trained(prepared, storage, *changes, follow=None, until=None):
    records: list[dict] = []
    part = None if until is None else Part(until)
    outcome = run_training(_experiment(*changes), prepared, storage, follow or records.append, part=part)
    return outcome, [record for record in records if not record.get(AGAIN)]


def _numbers(records):
    return [(record["epoch"], record["losses"], record["validation"]) for record in records]


def _scores(outcome):
    return {name: scorer.scores(torch.arange(scorer.n_users)).numpy() for name, scorer in outcome.scorers.items()}


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_goes_on_from_it_and_ends_as_it_does(prepared_sample, tmp_path):
    prepared = open_prepared(prepared_sample)
    here, records = _trained(prepared, tmp_path / "here")
    assert [record["epoch"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert "guidance" in records[-1]["losses"]
    _trained(prepared, tmp_path / "moved", until=4)
    moved, later = _trained(prepared, tmp_path / "moved", "scale.workers=1")
    assert [record["epoch"] for record in later] == [5, 6]
    for (_, losses, values), (_, own_losses, own_values) in zip(_numbers(records)[4:], _numbers(later), strict=True):
        assert own_losses == pytest.approx(losses, rel=1e-4)
        assert own_values == pytest.approx(values, abs=2e-3)
    for domain, scores in _scores(moved).items():
        np.testing.assert_allclose(scores, _scores(here)[domain], atol=2e-3)
    with pytest.raises(ConfigError, match="checkpoints of Ray Train workers"):
        _trained(prepared, tmp_path / "moved")


def test_what_workers_left_is_for_workers(prepared_sample, tmp_path):
    (tmp_path / "checkpoints" / "checkpoint_000001").mkdir(parents=True)
    with pytest.raises(ConfigError, match="checkpoints of Ray Train workers") as caught:
        _trained(open_prepared(prepared_sample), tmp_path)
    assert "--workers 1 or more" in caught.value.remedy


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_finds_nothing_left_to_do(prepared_sample, tmp_path):
    prepared = open_prepared(prepared_sample)
    here, _ = _trained(prepared, tmp_path / "run")
    again, none = _trained(prepared, tmp_path / "run", "scale.workers=1")
    assert (none, again.checkpoint) == ([], here.checkpoint)
    for domain, scores in _scores(again).items():
        np.testing.assert_array_equal(scores, _scores(here)[domain])


@pytest.mark.parametrize("within", ["scale.checkpoint_steps=0", "scale.checkpoint_steps=2"])
def test_an_interrupted_run_ends_as_one_that_was_not(prepared_sample, tmp_path, within):
    class Stop(Exception):
        pass

    def stop(record):
        told.append(record)
        if record["epoch"] == 5:
            raise Stop

    prepared = open_prepared(prepared_sample)
    whole, records = _trained(prepared, tmp_path / "whole", within)
    told: list[dict] = []
    with pytest.raises(Stop):
        _trained(prepared, tmp_path / "cut", within, follow=stop)
    begun = tmp_path / "cut" / "alone" / "begun"  # as if killed while the next checkpoint was written
    begun.mkdir()
    (begun / "loop.json").write_text('{"epoch": 99')
    (tmp_path / "cut" / "alone" / "epoch-2-0" / "engine").mkdir(parents=True)  # and while the last but one was deleted
    kept = last_checkpoint(tmp_path / "cut")
    assert kept is not None
    assert kept.name.startswith("epoch-4")
    again: list[dict] = []
    resumed, _ = _trained(prepared, tmp_path / "cut", within, follow=again.append)
    later = [record for record in again if not record.get(AGAIN)]
    before = [record for record in again if record.pop(AGAIN, False)]
    assert before == told[: len(before)]  # for a driver that was killed before it had noted them
    assert len(before) == 4
    assert len(list((tmp_path / "cut" / "alone").glob("epoch-*"))) == 1
    assert _numbers(told[:4] + later) == _numbers(records)
    for domain, scores in _scores(resumed).items():
        np.testing.assert_array_equal(scores, _scores(whole)[domain])


def test_a_part_ends_where_it_is_told_and_is_not_done_again(prepared_sample, tmp_path):
    prepared = open_prepared(prepared_sample)
    first, records = _trained(prepared, tmp_path / "run", until=2)
    assert [record["epoch"] for record in records] == [1, 2]
    assert first.checkpoint.is_dir()
    again, none = _trained(prepared, tmp_path / "run", until=2)
    assert (none, again.checkpoint) == ([], first.checkpoint)
    for domain, scores in _scores(again).items():
        np.testing.assert_array_equal(scores, _scores(first)[domain])


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (("train.optimizer.learning_rate=1e30",), TrainingError, "finite losses"),
        (("settings.views.hyper_weight=0.5", "settings.hypergraph.clusters=9999"), DataError, "9999 clusters"),
    ],
)
def test_errors_come_as_they_are(changes, kind, words, prepared_sample, tmp_path):
    with pytest.raises(kind, match=words) as caught:
        _trained(open_prepared(prepared_sample), tmp_path / "run", *changes)
    assert caught.value.remedy


def test_a_share_of_the_batch_needs_workers():
    with pytest.raises(ConfigError, match="data_parallel"):
        _experiment("scale.data_parallel=2")


def test_no_cluster_is_started(prepared_sample, tmp_path):
    folder = Path(__file__).parents[2]
    code = (
        "import sys, ray\nfrom raymm.cli.main import main\n"
        f"code = main(['train', 'sieoug', '--data', {str(prepared_sample)!r}, '--name', 'one', '--workers', '0',\n"
        f"    '--runs', {str(tmp_path / 'runs')!r}, '--no-tracking', '--set', 'train.loop.epochs=1',\n"
        "    '--set', 'settings.width=8'])\n"
        "assert not ray.is_initialized()\nsys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "one" / "manifest.json").is_file()
