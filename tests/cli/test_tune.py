import io
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from rich.console import Console

from raymm.cli.arguments import make_parser
from raymm.cli.display import Display
from raymm.cli.tune import SweepDisplay, _request, on_domain, start_values
from raymm.errors import ConfigError
from raymm.experiment import build_experiment
from raymm.report.sweep_record import TrialRecord
from raymm.verbs.ledger import Ledger, Start


def test_what_is_typed_is_taken():
    typed = ["tune", "sieoug", "ease", "--data", "d", "--name", "n", "--trials", "3", "--search", "grid"]
    chosen = make_parser().parse_args([*typed, "--scheduler", "fifo", "--concurrent", "2", "--tracking-uri", "u"])
    assert chosen.models == ["sieoug", "ease"]
    assert (chosen.trials, chosen.search, chosen.scheduler, chosen.concurrent) == (3, "grid", "fifo", "2")


def test_a_setting_goes_to_the_models_that_have_it():
    found = start_values(["lightgcn", "ease"], {}, ["train.loop.epochs=3", "settings.ridge=5.0", "train.seed=4"])
    assert build_experiment(found["lightgcn"]).train.loop.epochs == 3
    assert build_experiment(found["ease"]).settings.ridge == 5.0
    assert [build_experiment(values).train.seed for values in found.values()] == [4, 4]
    with pytest.raises(ConfigError, match="nothing"):
        start_values(["lightgcn", "ease"], {}, ["settings.nothing=1"])
    with pytest.raises(ConfigError, match="at least 1"):
        start_values(["lightgcn"], {}, ["settings.width=0"])


def test_models_of_one_domain_and_of_two_have_the_same_measure():
    one, two = (build_experiment(on_domain({"model": model}, "arts")) for model in ("lightgcn", "sieoug"))
    assert one.train.loop.selection == two.train.loop.selection == "arts.ndcg@10"
    assert (one.train.domain, two.train.domain) == ("arts", "")
    assert on_domain(one.plain(), "arts") == one.plain()  # what a sweep on it found


def test_workers_are_those_of_the_command_line_else_of_the_file_else_one(tmp_path):
    path = tmp_path / "start.toml"
    path.write_text("[scale]\nworkers = 4\n")
    typed = ["tune", "bprmf", "--data", "d", "--name", "n"]
    for more, workers in (
        ([], 1),
        (["--config", str(path)], 4),
        (["--config", str(path), "--workers", "2"], 2),
        (["--config", str(path), "--set", "scale.workers=3"], 3),
        (["--workers", "0"], 0),
    ):
        request = _request(make_parser().parse_args([*typed, *more]), "local")
        assert build_experiment(request.values["bprmf"]).scale.workers == workers


@pytest.mark.parametrize("terminal", [False, True])
def test_every_trial_that_ends_is_shown(tmp_path, terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    board, ledger = SweepDisplay(Display(console), 2), Ledger(tmp_path / "l")
    board.step("Searching m")
    ledger.started("m-000", {"settings.width": 8}, Start("m", 0))
    board.trial(ledger.trial("m-000"), ledger)
    ledger.ended("m-000", "failed", "DataError: [red]none[/]")
    board.trial(ledger.trial("m-000"), ledger)
    if terminal:
        time.sleep(0.4)
    board.close()
    shown = console.file.getvalue()
    assert "m-000" in shown
    assert "DataError: [red]none[/]" in shown
    assert isinstance(ledger.trial("m-000"), TrialRecord)


def test_a_trial_that_starts_again_is_shown_once_each_time(tmp_path):
    console = Console(file=io.StringIO(), width=100)
    ledger, board = Ledger(tmp_path / "trials.jsonl"), SweepDisplay(Display(console), 3)
    start = Start("bprmf", 0)
    for _ in range(2):
        ledger.started("m-000", {"a": 1}, start)
        board.trial(ledger.trial("m-000"), ledger)
        ledger.reported("m-000", 0.5, 5, 5)
        board.trial(ledger.trial("m-000"), ledger)
    shown = console.file.getvalue()
    assert shown.count("started") == 2
    assert "m-000 started again, from its last checkpoint (start 2)" in shown


def _kill(process):
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGKILL)
    for child in children:
        if child.is_running():
            child.kill()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_sweep_whose_driver_is_killed_goes_on(prepared_sample, tmp_path):
    command = [sys.executable, "-m", "raymm.cli.main", "tune", "bprmf", "item_knn", "--domain", "arts"]
    command += ["--data", str(prepared_sample), "--name", "killed", "--sweeps", str(tmp_path), "--store", str(tmp_path)]
    command += ["--trials", "3", "--finalists", "1", "--seeds", "2", "--address", "local", "--scheduler", "fifo"]
    command += ["--set", "train.loop.epochs=30", "--set", "scale.checkpoint_every=2", "--set", "scale.engine=torch"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    ledger = tmp_path / "killed" / "trials.jsonl"

    def running():
        trials = Ledger(ledger).of("bprmf") if ledger.is_file() else ()
        return len(trials) == 2 and trials[1].state == "running" and trials[1].epochs >= 5

    while process.poll() is None and not running():
        time.sleep(0.1)
    assert process.poll() is None, "the driver was to be killed in the middle of the second trial"
    _kill(process)
    before = Ledger(ledger).trials
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    trials = {trial.name: trial for trial in Ledger(ledger).trials}
    assert [trials[trial.name].attempts for trial in before] == [1, 2]
    assert {trial.state for trial in trials.values()} == {"finished"}
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    second = max(place for place, entry in enumerate(entries) if entry["event"] == "session")
    first = next(entry for entry in entries[second:] if entry["event"] == "reported")
    assert (first["trial"], first["epoch"] > 2) == ("bprmf-001", True)  # from a checkpoint, not from the start
    assert "bprmf-001 started again" in done.stdout
    history = (tmp_path / "killed" / "trials" / "bprmf-001" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == list(range(1, len(history) + 1))
    from raymm.tracking.store import open_tracking

    def look(client):
        return client.search_runs([client.get_experiment_by_name("raymm").experiment_id])

    runs = open_tracking(None, tmp_path).reach("looking", look)
    assert sorted(run.info.run_name for run in runs) == sorted([*trials, "killed"])
    assert len(trials) == 7  # three of each search, and one run with another seed


def test_a_population_is_drawn_by_random_unless_asked_otherwise():
    typed = ["tune", "bprmf", "--data", "d", "--name", "n", "--set", "settings.width=16"]
    asked = make_parser().parse_args([*typed, "--scheduler", "pbt", "--interval", "5", "--trials", "8"])
    request = _request(asked, "local")
    assert (request.sweep.search, request.sweep.schedule.scheduler) == ("random", "pbt")
    assert (request.sweep.schedule.interval, request.sweep.trials) == (5, 8)
    assert "settings.width" not in request.spaces["bprmf"]
    assert _request(make_parser().parse_args(typed), "local").sweep.search == "optuna"
    for more, words in ((["--search", "optuna"], "random or grid"), (["--trials", "3"], "at least 4")):
        with pytest.raises(ConfigError, match=words):
            _request(make_parser().parse_args([*typed, "--scheduler", "pbt", *more]), "local")
