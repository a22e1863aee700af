"""Every job that is shipped explains itself, and every experiment file builds."""

import subprocess
import sys
from pathlib import Path

import pytest

from raymm import config
from raymm.experiment import build_experiment
from raymm.verbs.family import arms_of, read_family

JOBS = Path(__file__).parents[2] / "jobs"
SCRIPTS = sorted(JOBS.glob("*.py"))
FILES = sorted((JOBS / "experiments").glob("*.toml"))
FAMILIES = [path for path in FILES if "variants" in config.read_toml(path)]
EXPERIMENTS = [path for path in FILES if path not in FAMILIES]
# In one process, as most of the time goes into importing torch.
ALL_HELP = """
import runpy, sys
for script in sys.argv[1:]:
    print(chr(12) + script)
    sys.argv = [script, "--help"]
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        assert not end.code, (script, end.code)
    else:
        raise AssertionError(script)
"""


def test_there_are_jobs():
    assert "train_sieoug.py" in {path.name for path in SCRIPTS}
    assert len(EXPERIMENTS) >= 3
    assert len(FAMILIES) >= 5


def test_every_job_explains_itself(tmp_path):
    command = [sys.executable, "-c", ALL_HELP, *map(str, SCRIPTS)]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    parts = shown.split("\f")[1:]
    assert [part.partition("\n")[0] for part in parts] == list(map(str, SCRIPTS))
    assert [part for part in parts if "usage:" not in part] == []


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_an_experiment_file_builds(path):
    build_experiment(config.read_toml(path), str(path))


@pytest.mark.parametrize("path", FAMILIES, ids=lambda path: path.name)
def test_a_family_file_builds_and_compares_every_variant_with_another(path):
    arms = arms_of(read_family(path), path)
    assert len(arms) > 1
    assert sum(not arm.against for arm in arms) == 1
