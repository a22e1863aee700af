"""Imports point down, and each outside library is imported in its place only."""

from __future__ import annotations

import pytest

from tests.architecture.rules import EDGES, LAYERS, OUTSIDE, import_problems, layer_of, part_of
from tests.architecture.source import PACKAGE, ROOT, imports, shipped


def test_every_import_points_down() -> None:
    problems = import_problems(ROOT)

    if problems:
        pytest.fail(f"{len(problems)} broken import(s)\n\n" + "\n".join(problems), pytrace=False)


def test_every_module_stands_in_a_layer() -> None:
    parts = {part_of(module.name) for module in shipped(PACKAGE)} - {""}

    assert {"errors", "config", "contracts"} <= parts
    assert {part for part in parts if layer_of(part) is None} == set()


def test_each_layer_says_what_it_may_import_from_outside() -> None:
    assert {part for parts in LAYERS for part in parts} <= set(OUTSIDE)


def test_the_walk_sees_what_the_package_is_known_to_import() -> None:
    modules = shipped(PACKAGE)
    known = frozenset(module.name for module in modules)
    found = {entry.target.split(".")[0] for module in modules for entry in imports(module, known)}

    assert {"raymm", "torch", "numpy", "pydantic"} <= found


def test_heavy_libraries_have_one_home_each() -> None:
    homes = {
        name: {part for part, names in OUTSIDE.items() if name in names}
        for name in ("ray", "mlflow", "deepspeed", "dgl")
    }

    assert homes == {"ray": {"launch"}, "mlflow": {"tracking"}, "deepspeed": set(), "dgl": set()}
    assert {name: set(names) for name, names in EDGES.items()} == {
        "raymm.data.storage": {"fsspec"},
        "raymm.training.deepspeed_engine": {"deepspeed"},
        "raymm.graph.partition": {"dgl"},
        "raymm.transport.fused": {"triton"},
        "raymm.launch.encoders": {"transformers", "sentence_transformers", "huggingface_hub", "PIL", "safetensors"},
    }
