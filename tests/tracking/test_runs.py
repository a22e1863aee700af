from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import Run as StoredRun

from raymm.errors import TrackingError
from raymm.tracking.candidate import Candidate
from raymm.tracking.identity import SPOOL, STATE, read_identity, write_identity
from raymm.tracking.pulled import pull
from raymm.tracking.registry import find, register
from raymm.tracking.runs import Run, open_run, start_or_resume_run
from raymm.tracking.served import read_served
from raymm.tracking.store import Tracking, TrackingConfig, open_tracking
from tests.tracking.test_store import free_port
from tests.tracking.toys import write_prepared, write_run

SETTINGS = {"model": {"name": "sieoug", "layers": 2}, "train": {"epochs": 10, "note": "n" * 900}}


def stored(tracking: Tracking, run_id: str) -> StoredRun:
    return tracking.reach("looking", lambda client: client.get_run(run_id))


def history(tracking: Tracking, run_id: str, name: str) -> list[tuple[int, float]]:
    metrics = tracking.reach("looking", lambda client: client.get_metric_history(run_id, name))
    return sorted((metric.step, metric.value) for metric in metrics)


def count_runs(tracking: Tracking, name: str) -> int:
    def search(client: object) -> int:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        return len(client.search_runs(experiments, f"attributes.run_name = '{name}'"))

    return tracking.reach("looking", search)


def unreachable(folder: Path) -> Tracking:
    return open_tracking(f"http://127.0.0.1:{free_port()}", folder)


def log_all(run: Run, report: Path) -> None:
    run.log_params(SETTINGS)
    run.log_epoch({"epoch": 0, "losses": {"bpr": 0.7}, "validation": {"arts": {"ndcg@10": 0.1}}}, step=0)
    run.log_epoch({"epoch": 1, "losses": {"bpr": math.nan}, "validation": {"arts": {"ndcg@10": 0.2}}}, step=1)
    run.log_artefact(report, into="report")
    run.finish()


def test_everything_that_is_logged_is_there(tracking: Tracking, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.json").write_text("{}")
    run = start_or_resume_run(tracking, tmp_path / "run", "whole", {"raymm.model": "sieoug"})
    assert stored(tracking, run.run_id).info.status == "RUNNING"
    log_all(run, report)
    (tmp_path / "manifest.json").write_text("{}")
    run.log_artefact(tmp_path / "manifest.json")

    assert run.problem is None
    assert run.waiting == 0
    assert run.conflicts == ()
    assert not (tmp_path / "run" / SPOOL).exists()
    found = stored(tracking, run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params["model.layers"] == "2"
    assert "900 characters" in found.data.params["train.note"]
    assert found.data.tags["raymm.model"] == "sieoug"
    assert history(tracking, run.run_id, "validation.arts.ndcg_at_10") == [(0, 0.1), (1, 0.2)]
    assert [step for step, _ in history(tracking, run.run_id, "losses.bpr")] == [0, 1]
    files = tracking.reach("", lambda client: [item.path for item in client.list_artifacts(run.run_id)])
    assert sorted(files) == ["manifest.json", "report"]
    inside = tracking.reach("", lambda client: [item.path for item in client.list_artifacts(run.run_id, "report")])
    assert inside == ["report/report.json"]


def test_a_restart_goes_on_with_the_same_run_and_repeats_no_step(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "restarted")
    run.log_params(SETTINGS)
    for epoch in range(3):
        run.log_epoch({"loss": 1.0 / (1 + epoch), "odd": math.inf}, step=epoch)

    again = start_or_resume_run(tracking, tmp_path, "restarted")
    assert again.run_id == run.run_id
    again.log_params(SETTINGS)
    for epoch in range(1, 5):  # the checkpoint was older than the crash
        again.log_epoch({"loss": 1.0 / (1 + epoch), "odd": math.inf}, step=epoch)
    again.finish()

    assert again.conflicts == ()
    assert history(tracking, run.run_id, "loss") == [(epoch, 1.0 / (1 + epoch)) for epoch in range(5)]
    assert [step for step, _ in history(tracking, run.run_id, "odd")] == [0, 1, 2, 3, 4]
    assert count_runs(tracking, "restarted") == 1


def test_what_changed_between_restarts_is_listed_and_the_first_value_stays(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "changed")
    run.log_params({"epochs": 10, "seed": 1})
    run.log_epoch({"loss": 0.5}, step=0)
    again = start_or_resume_run(tracking, tmp_path, "changed")
    again.log_params({"epochs": 20, "seed": 1, "new": 3})
    again.log_epoch({"loss": 0.4}, step=0)

    assert again.problem is None
    assert [(conflict.name, conflict.stored, conflict.offered) for conflict in again.conflicts] == [
        ("epochs", "10", "20"),
        ("loss, step 0", "0.5", "0.4"),
    ]
    found = stored(tracking, run.run_id)
    assert found.data.params == {"epochs": "10", "seed": "1", "new": "3"}
    assert found.data.tags["raymm.changed.epochs"] == "20"
    assert history(tracking, run.run_id, "loss") == [(0, 0.5)]


def test_a_crash_before_the_id_was_written_leaves_one_run(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "crashed")
    identity = read_identity(tmp_path)
    assert identity is not None
    write_identity(tmp_path, replace(identity, run_id=""))  # as it stands between asking the store and its answer
    again = start_or_resume_run(tracking, tmp_path, "crashed")
    assert again.run_id == run.run_id
    assert count_runs(tracking, "crashed") == 1


def test_a_crash_between_sending_and_noting_it_repeats_nothing(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "twice")
    run._spool.append({"op": "metrics", "values": {"loss": "0.5"}, "step": 3, "time_ms": 5})
    lines = (tmp_path / SPOOL).read_text()
    run.flush()
    (tmp_path / SPOOL).write_text(lines)
    again = open_run(tracking, tmp_path)
    assert again.waiting == 1
    again.flush()
    assert history(tracking, run.run_id, "loss") == [(3, 0.5)]


def test_after_a_failure_the_store_is_asked_what_had_arrived(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "half arrived")
    run.log_epoch({"loss": 1.0}, step=0)
    tracking.reach("", lambda client: client.log_metric(run.run_id, "loss", 0.5, step=1))  # its answer was lost
    run._spool.append({"op": "artefact", "path": str(tmp_path / "gone"), "into": ""})
    run.log_epoch({"loss": 0.5}, step=1)
    assert run.waiting == 1
    assert history(tracking, run.run_id, "loss") == [(0, 1.0), (1, 0.5)]


def test_training_goes_on_without_a_server_and_what_it_missed_is_sent_later(tracking: Tracking, tmp_path: Path) -> None:
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.json").write_text("{}")
    folder = tmp_path / "run"
    run = start_or_resume_run(unreachable(tmp_path), folder, "offline", {"raymm.model": "gume"})
    log_all(run, report)
    assert run.run_id == ""
    assert run.waiting == 7  # status, tags, parameters, two epochs, report, end
    assert isinstance(run.problem, TrackingError)
    assert SPOOL in str(run.problem)
    with pytest.raises(TrackingError, match="failed"):
        run.flush()
    operations = [json.loads(line)["op"] for line in (folder / SPOOL).read_text().splitlines()]
    assert operations == ["status", "tags", "params", "metrics", "metrics", "artefact", "status"]

    # The store of this session takes the place of the server that came back.
    later = start_or_resume_run(tracking, folder, "offline")
    assert later.problem is None
    assert not (folder / SPOOL).exists()
    later.finish()
    found = stored(tracking, later.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["raymm.model"] == "gume"
    assert found.data.params["train.epochs"] == "10"
    assert history(tracking, later.run_id, "validation.arts.ndcg_at_10") == [(0, 0.1), (1, 0.2)]
    assert count_runs(tracking, "offline") == 1


def test_what_is_refused_stays_and_does_not_hold_up_the_rest(tracking: Tracking, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("")
    run = start_or_resume_run(tracking, tmp_path / "run", "refused")
    run._spool.append({"op": "artefact", "path": str(tmp_path / "gone.html"), "into": ""})
    run.log_epoch({"loss": 0.5}, step=0)
    assert run.waiting == 1
    assert "gone.html" in str(run.problem)
    assert history(tracking, run.run_id, "loss") == [(0, 0.5)]
    (tmp_path / "gone.html").write_text("")
    run.flush()
    assert run.waiting == 0


def test_a_deleted_run_is_named_with_its_way_back(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "deleted")
    tracking.reach("", lambda client: client.delete_run(run.run_id))
    again = start_or_resume_run(tracking, tmp_path, "deleted")
    assert "was deleted" in str(again.problem)
    tracking.reach("", lambda client: client.restore_run(run.run_id))
    again.flush()
    assert again.waiting == 0


def test_a_run_can_be_adopted_and_a_folder_belongs_to_one(tracking: Tracking, tmp_path: Path) -> None:
    parent = start_or_resume_run(tracking, tmp_path / "parent", "parent")
    child = start_or_resume_run(tracking, tmp_path / "child", "child", {"mlflow.parentRunId": parent.run_id})
    assert stored(tracking, child.run_id).data.tags["mlflow.parentRunId"] == parent.run_id
    adopted = start_or_resume_run(tracking, tmp_path / "adopted", "adopted", run_id=child.run_id)
    assert adopted.run_id == child.run_id
    assert adopted.problem is None
    with pytest.raises(TrackingError, match="choose another folder"):
        start_or_resume_run(tracking, tmp_path / "adopted", "adopted", run_id=parent.run_id)


def test_results_are_added_to_a_finished_run(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "evaluated")
    run.finish()
    later = open_run(tracking, tmp_path)
    later.log_epoch({"test": {"arts": {"hr@10": 0.3}}}, step=7)
    found = stored(tracking, run.run_id)
    assert found.data.metrics["test.arts.hr_at_10"] == 0.3
    assert found.info.status == "FINISHED"
    with pytest.raises(TrackingError, match="no tracked run"):
        open_run(tracking, tmp_path / "other")


def test_an_opened_run_is_not_created_in_a_strange_store(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "at home")
    identity = read_identity(tmp_path)
    assert identity is not None
    write_identity(tmp_path, replace(identity, store="sqlite:////elsewhere/mlflow.db"))
    moved = open_run(tracking, tmp_path)  # found again by its key
    moved.log_epoch({"loss": 1.0}, step=0)
    assert moved.run_id == run.run_id
    write_identity(tmp_path, replace(identity, store="sqlite:////elsewhere/mlflow.db", key="unknown"))
    strange = open_run(tracking, tmp_path)
    strange.log_epoch({"loss": 1.0}, step=1)
    assert "give the address" in str(strange.problem)
    assert count_runs(tracking, "at home") == 1


def test_wrong_use_is_refused_before_anything_is_kept(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "wrong")
    with pytest.raises(TrackingError, match="a number"):
        run.log_epoch({"loss": "low"}, step=0)
    with pytest.raises(TrackingError, match="no such file"):
        run.log_artefact(tmp_path / "nothing")
    with pytest.raises(TrackingError, match="plain data"):
        run.log_params({"a": {1, 2}})
    assert run.waiting == 0
    (tmp_path / STATE).write_text("{")
    with pytest.raises(TrackingError, match="damaged"):
        start_or_resume_run(tracking, tmp_path, "wrong")


def test_many_parameters_and_metrics_go_in_batches(tracking: Tracking, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "many", {f"tag{number}": "x" for number in range(150)})
    run.log_params({f"p{number}": number for number in range(250)})
    run.log_epoch({f"m{number}": number for number in range(250)}, step=0)
    found = stored(tracking, run.run_id)
    assert run.problem is None
    assert len(found.data.params) == 250
    assert len(found.data.metrics) == 250


def test_another_experiment_has_a_run_of_its_own(tracking: Tracking, store_folder: Path, tmp_path: Path) -> None:
    run = start_or_resume_run(tracking, tmp_path, "moved on")
    other = open_tracking(None, store_folder, TrackingConfig(experiment="second"))
    again = start_or_resume_run(other, tmp_path, "moved on")
    assert again.run_id != run.run_id
    assert again.problem is None


@pytest.mark.slow
def test_a_moved_store_is_the_same_store(tmp_path: Path) -> None:
    first = open_tracking(None, tmp_path / "here")
    run = start_or_resume_run(first, tmp_path / "here" / "run", "moved")
    shutil.move(tmp_path / "here", tmp_path / "there")
    again = start_or_resume_run(open_tracking(None, tmp_path / "there"), tmp_path / "there" / "run", "moved")
    assert again.run_id == run.run_id
    assert again.problem is None


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    """Run a real MLflow server whose data stay in `folder`."""
    folder.mkdir(exist_ok=True)
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")),
    ]
    with (folder / "log").open("a") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        for _ in range(600):
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                break
            time.sleep(0.2)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


@pytest.mark.slow
def test_a_server_may_come_late_go_and_come_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    address = f"http://anna:s3cret@127.0.0.1:{port}"  # this server asks for no password; ours must not be shown
    tracking = open_tracking(address, tmp_path, TrackingConfig(retry_after_s=0.0))
    run = start_or_resume_run(tracking, tmp_path / "run", "patient")
    run.log_epoch({"loss": 1.0}, step=0)
    assert run.waiting == 2
    with mlflow_server(tmp_path / "server", port):
        run.log_epoch({"loss": 0.5}, step=1)
        assert (run.problem, run.waiting) == (None, 0)
        assert history(tracking, run.run_id, "loss") == [(0, 1.0), (1, 0.5)]
    run.log_epoch({"loss": 0.25}, step=2)
    assert run.waiting == 1
    with mlflow_server(tmp_path / "server", port):
        again = start_or_resume_run(tracking, tmp_path / "run", "patient")
        again.finish()
        assert (again.problem, again.waiting) == (None, 0)
        assert again.run_id == run.run_id
        assert history(tracking, run.run_id, "loss") == [(0, 1.0), (1, 0.5), (2, 0.25)]
        assert count_runs(tracking, "patient") == 1

        prepared = write_prepared(tmp_path / "prepared")
        folder = write_run(tmp_path / "finished", prepared)
        made = Candidate(run.run_id, folder, prepared.folder, {"hr@10": 0.5})
        model = register(tracking, made, "raymm-http", "champion")
        assert find(tracking, "raymm-http", "champion") == model
        assert [domain.name for domain in read_served(pull(tracking, model, tmp_path / "pulled"))] == ["arts", "office"]
    printed = capfd.readouterr()
    assert "s3cret" not in printed.out + printed.err


@pytest.mark.slow
def test_processes_that_start_together_share_one_new_store(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from raymm.tracking.store import open_tracking;"
        "from raymm.tracking.runs import start_or_resume_run;"
        "folder = Path(sys.argv[1]); run = start_or_resume_run(open_tracking(None, folder), folder / sys.argv[2], 'a');"
        "sys.exit(str(run.problem) if run.problem else 0)"
    )
    commands = [[sys.executable, "-c", code, str(tmp_path / "runs"), str(number)] for number in range(3)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert count_runs(open_tracking(None, tmp_path / "runs"), "a") == 3
