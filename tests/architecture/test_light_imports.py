"""The numeric core runs on a machine without Ray, DeepSpeed, MLflow and DGL: importing it loads none of them."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.architecture.rules import EDGES
from tests.architecture.source import PACKAGE, ROOT, shipped

HEAVY = ("ray", "deepspeed", "mlflow", "dgl")
CORE = (
    "errors",
    "config",
    "contracts",
    "artefacts",
    "products",
    "scorers",
    "parallel",
    "graph",
    "transport",
    "nn",
    "evaluation",
    "training",
    "models",
)

# Imports each module of argv in turn and tells which heavy library came with it.
PROBE = """
import importlib, json, sys
heavy, names = sys.argv[1].split(","), sys.argv[2:]
blame = {}
for name in names:
    importlib.import_module(name)
    blame.update({library: name for library in heavy if library in sys.modules and library not in blame})
print(json.dumps({"imported": [name for name in names if name in sys.modules], "blame": blame}))
"""


def test_importing_raymm_is_light() -> None:
    assert _probe(PACKAGE) == {"imported": [PACKAGE], "blame": {}}


def test_importing_the_numeric_core_is_light() -> None:
    names = [module.name for module in shipped(PACKAGE) if _is_core(module.name)]
    assert {"raymm.errors", "raymm.config", "raymm.contracts"} <= set(names)

    assert _probe(*names) == {"imported": names, "blame": {}}


def test_the_probe_sees_a_heavy_import() -> None:
    assert _probe("raymm.errors", "wave", "raymm", heavy=("wave",))["blame"] == {"wave": "wave"}


def _is_core(name: str) -> bool:
    part = f"{name}.".split(".")[1]
    return (part in CORE or name == PACKAGE) and name not in EDGES


def _probe(*names: str, heavy: tuple[str, ...] = HEAVY) -> dict[str, object]:
    command = [sys.executable, "-c", PROBE, ",".join(heavy), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found
