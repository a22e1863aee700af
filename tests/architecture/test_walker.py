"""The walker itself: it names a broken import, sees the ways to hide one, and refuses to pass over nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.architecture.banned import call_problems
from tests.architecture.rules import import_problems
from tests.architecture.source import ROOT, read_modules

# A small house in which every part exists; each case below adds one file to it.
HOUSE = {
    "raymm/__init__.py": "",
    "raymm/errors.py": "",
    "raymm/config.py": "import pydantic\nfrom raymm.errors import ConfigError\n",
    "raymm/data/__init__.py": "",
    "raymm/data/prepared.py": "import pyarrow.parquet as pq\n",
    "raymm/data/sealed.py": "from raymm.data.prepared import open_prepared\n",
    "raymm/graph/__init__.py": "",
    "raymm/graph/fusion.py": "import torch\n",
    "raymm/graph/partition.py": "def cut():\n    import dgl\n",
    "raymm/training/__init__.py": "",
    "raymm/training/deepspeed_engine.py": "import deepspeed\n",
    "raymm/models/__init__.py": "",
    "raymm/models/spec.py": "from raymm.config import setting\n",
    "raymm/models/sieoug.py": "from raymm.graph import fusion\nfrom raymm.models.spec import ModelSpec\n",
    "raymm/models/gume/__init__.py": "from raymm.models.gume.layers import Gate\n",
    "raymm/models/gume/layers.py": "import torch\n",
    "raymm/models/registry.py": "from raymm.models import gume, sieoug\n",
    "raymm/launch/__init__.py": "",
    "raymm/launch/train.py": "import ray.train\nfrom raymm.models import registry\n",
    "raymm/verbs/__init__.py": "",
    "raymm/verbs/evaluate.py": "from raymm.data import sealed\n",
    "raymm/cli.py": "from raymm.verbs import evaluate\n",
    "jobs/train_sieoug.py": "from raymm.cli import main\n",
    "tune_spaces/sieoug.py": "from ray import tune\n",
}

BROKEN = {
    "an import that points up": (
        "raymm/graph/bad.py",
        "import torch\n\nfrom raymm.models import sieoug\n",
        "raymm/graph/bad.py:3: raymm.graph.bad imports raymm.models.sieoug",
        "artefacts, products, scorers, parallel; raymm.models is layer 4",
    ),
    "inside a function": (
        "raymm/graph/bad.py",
        "def f():\n    import raymm.launch.train\n",
        "raymm/graph/bad.py:2: raymm.graph.bad imports raymm.launch.train",
        "raymm.launch is layer 7",
    ),
    "for type checking only": (
        "raymm/graph/bad.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from raymm.training.deepspeed_engine import Engine\n",
        "raymm/graph/bad.py:3: raymm.graph.bad imports raymm.training.deepspeed_engine",
        "raymm.training is layer 3: siblings do not know each other",
    ),
    "relative": (
        "raymm/graph/bad.py",
        "from ..data import prepared\n",
        "raymm/graph/bad.py:1: raymm.graph.bad imports raymm.data.prepared",
        "siblings do not know each other",
    ),
    "by a literal name": (
        "raymm/graph/bad.py",
        "from importlib import import_module as get\nget('raymm.data.prepared')\n",
        "raymm/graph/bad.py:2: raymm.graph.bad imports raymm.data.prepared",
        "siblings do not know each other",
    ),
    "a model that knows another": (
        "raymm/models/mimnet.py",
        "from raymm.models.gume.layers import Gate\n",
        "raymm/models/mimnet.py:1: raymm.models.mimnet imports raymm.models.gume.layers",
        "only raymm.models.registry may import raymm.models.gume",
    ),
    "a model that reads files": (
        "raymm/models/mimnet.py",
        "import raymm.data.prepared\n",
        "raymm/models/mimnet.py:1: raymm.models.mimnet imports raymm.data.prepared",
        "none of its business",
    ),
    "training that opens the test set": (
        "raymm/launch/bad.py",
        "from raymm.data.sealed import open_sealed\n",
        "raymm/launch/bad.py:1: raymm.launch.bad imports raymm.data.sealed",
        "only raymm.verbs.evaluate may open it",
    ),
    "a reader that hands on the test set": (
        "raymm/data/__init__.py",
        "from raymm.data import sealed\n",
        "raymm/data/__init__.py:1: raymm.data imports raymm.data.sealed",
        "only raymm.verbs.evaluate may open it",
    ),
    "Ray outside its home": (
        "raymm/verbs/bad.py",
        "def f():\n    import ray\n",
        "raymm/verbs/bad.py:2: raymm.verbs.bad imports ray",
        "ray is imported only in raymm.launch",
    ),
    "DeepSpeed beside its engine": (
        "raymm/training/bad.py",
        "from deepspeed import initialize\n",
        "raymm/training/bad.py:1: raymm.training.bad imports deepspeed.initialize",
        "deepspeed is imported only in raymm.training.deepspeed_engine",
    ),
    "a library that nobody may import": (
        "raymm/cli.py",
        "import requests\n",
        "raymm/cli.py:1: raymm.cli imports requests",
        "requests is imported nowhere",
    ),
    "a job that imports a job": (
        "jobs/bad.py",
        "import train_sieoug\n",
        "jobs/bad.py:1: jobs.bad imports train_sieoug",
        "nobody imports them",
    ),
    "a job that opens the test set": (
        "jobs/bad.py",
        "from raymm.data import sealed\n",
        "jobs/bad.py:1: jobs.bad imports raymm.data.sealed",
        "only raymm.verbs.evaluate may open it",
    ),
    "a search space that knows the model": (
        "tune_spaces/bad.py",
        "from raymm.models.sieoug import SieougConfig\n",
        "tune_spaces/bad.py:1: tune_spaces.bad imports raymm.models.sieoug",
        "it is data",
    ),
    "a search space that starts a cluster": (
        "tune_spaces/bad.py",
        "import ray\n",
        "tune_spaces/bad.py:1: tune_spaces.bad imports ray",
        "tune_spaces may import ray.tune",
    ),
    "a part without a layer": (
        "raymm/cli.py",
        "from raymm.plugins import load\n",
        "raymm/cli.py:1: raymm.cli imports raymm.plugins",
        "stands in no layer",
    ),
    "a package root that loads its parts": (
        "raymm/__init__.py",
        "from raymm.graph import fusion\n",
        "raymm/__init__.py:1: raymm imports raymm.graph.fusion",
        "raymm/__init__.py imports nothing",
    ),
}

BANNED = {
    "import os as o\no.environ['A']\n": "os.environ",
    "from os import environ\n": "os.environ",
    "from os import getenv as g\ng('A')\n": "os.getenv",
    "eval('1')\n": "eval",
    "exec('1')\n": "exec",
    "print(1)\n": "print",
    "import sys\nsys.argv\n": "sys.argv",
    "import pickle\n": "pickle",
    "def f():\n    from pickle import loads\n": "pickle",
    "import torch as t\nt.load('x')\n": "torch.load",
    "import numpy as np\nnp.load('x', allow_pickle=True)\n": "allow_pickle",
    "import importlib\nimportlib.import_module(name)\n": "importlib.import_module",
    "__import__('a' + 'b')\n": "__import__",
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Build the small house on disk."""
    for path, text in HOUSE.items():
        _write(tmp_path, path, text)
    return tmp_path


def test_a_sound_house_passes(house: Path) -> None:
    assert import_problems(house) == []
    assert call_problems(house) == []


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_import_is_named(house: Path, case: str) -> None:
    path, text, where, why = BROKEN[case]
    _write(house, path, text)

    problems = import_problems(house)

    assert len(problems) == 1, problems
    assert where in problems[0]
    assert why in problems[0]


@pytest.mark.parametrize("text", BANNED)
def test_a_banned_name_is_named(house: Path, text: str) -> None:
    _write(house, "raymm/graph/bad.py", text)

    problems = call_problems(house)

    assert problems, "the banned name was not seen"
    assert all("raymm/graph/bad.py:" in problem for problem in problems)
    assert any(BANNED[text] in problem for problem in problems)


def test_methods_of_the_same_name_are_not_banned(house: Path) -> None:
    _write(house, "raymm/graph/good.py", "def f(model, console):\n    model.eval()\n    console.print('x')\n")

    assert call_problems(house) == []


def test_the_real_tree_with_one_broken_import_is_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "raymm", tmp_path / "raymm", ignore=shutil.ignore_patterns("__pycache__", "samples"))
    before = import_problems(tmp_path)
    target = tmp_path / "raymm" / "errors.py"
    line = len(target.read_text(encoding="utf-8").splitlines()) + 1
    with target.open("a", encoding="utf-8") as file:
        file.write("import raymm.contracts\n")

    new = [problem for problem in import_problems(tmp_path) if problem not in before]

    assert len(new) == 1, new
    assert f"raymm/errors.py:{line}: raymm.errors imports raymm.contracts" in new[0]
    assert "raymm.errors (layer 0) may import nothing; raymm.contracts is layer 1: imports point down" in new[0]


def test_an_empty_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no Python file in raymm"):
        import_problems(tmp_path)
    with pytest.raises(ValueError, match="found no Python file in raymm"):
        call_problems(tmp_path)
    with pytest.raises(ValueError, match="expected the source"):
        read_modules(tmp_path, "raymm", "jobs")


def _write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
