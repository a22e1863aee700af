"""Jobs submitted to a real Ray cluster that wants a token: one that works, one that fails with a reason."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    folder = tmp_path_factory.mktemp("head")
    token = folder / "token"
    token.write_text("a-token-of-this-test-alone-0123456789abcdef")
    token.chmod(0o600)
    dashboard = _free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "PATH": f"{RAY.parent}:{os.environ['PATH']}",
    }
    start = [str(RAY), "start", "--head", f"--port={_free_port()}", f"--dashboard-port={dashboard}", "--block"]
    start += ["--dashboard-host=127.0.0.1", "--num-cpus=4"]
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(start, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{dashboard}"
    for _ in range(60):
        try:
            urllib.request.urlopen(address, timeout=2)
            break
        except urllib.error.HTTPError:
            break  # it answers, and wants the token
        except OSError:
            time.sleep(1)
    yield address, environment
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)


def _submit(head, folder, *changes):
    address, environment = head
    command = [str(RAY), "job", "submit", "--address", address, "--working-dir", str(ROOT)]
    command += ["--runtime-env", str(ROOT / "cluster" / "runtime_env.yaml"), "--", "python", "jobs/train_sieoug.py"]
    command += ["--prepared", str(folder / "prepared"), "--runs", str(folder / "runs"), "--store", str(folder)]
    for change in ("train.loop.epochs=2", "settings.width=16", *changes):
        command += ["--set", change]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_a_submitted_job_trains_and_registers_and_a_failing_one_says_why(head, tmp_path):
    done = _submit(head, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "models:/raymm-sieoug@champion" in done.stdout
    assert list((tmp_path / "runs").glob("*/report/report.html"))
    failed = _submit(head, tmp_path, "train.optimizer.learning_rate=1e30", "scale.max_failures=0")
    assert failed.returncode != 0
    assert "finite losses" in failed.stdout
    assert "Traceback" not in failed.stdout


def test_a_wrong_token_is_refused(head, tmp_path):
    address, environment = head
    wrong = tmp_path / "token"
    wrong.write_text("another-token-0123456789abcdef0123456789abcdef")
    wrong.chmod(0o600)
    command = [str(RAY), "job", "submit", "--address", address, "--", "python", "-V"]
    shown = subprocess.run(
        command, env={**environment, "RAY_AUTH_TOKEN_PATH": str(wrong)}, capture_output=True, text=True
    )
    assert shown.returncode != 0
    assert "uthenticat" in shown.stdout + shown.stderr
