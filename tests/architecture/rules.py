"""The layers of the house and what each may import, as data; and the check of a tree against them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tests.architecture.source import PACKAGE, Import, Module, imports, read_modules

# From the ground up. A module imports only from layers below its own, and its own package.
LAYERS = (
    ("errors",),
    ("config", "contracts", "artefacts", "products"),
    ("scorers", "parallel"),
    ("data", "graph", "transport", "nn", "ratings", "evaluation", "training"),
    ("models",),
    ("experiment", "report"),
    ("tracking",),
    ("launch",),
    ("verbs",),
    ("cli",),
    ("__main__",),
)
# Below its layer, but none of its business.
BARRED = {"models": ("data", "evaluation", "training")}
# In `models`, these are known to all (spec) or know all (registry); every other module is a model by itself.
MODEL_TYPES, MODEL_INDEX = "spec", "registry"
SEALED, UNSEALED_BY = "raymm.data.sealed", "raymm.verbs.evaluate"

NUMERIC = frozenset({"numpy", "scipy", "torch", "jaxtyping"})
TABLES = frozenset({"numpy", "pandas", "pyarrow", "torch"})
# What a part of the package may import beside the standard library.
OUTSIDE = {
    "": frozenset(),
    "errors": frozenset(),
    "config": frozenset({"pydantic"}),
    "contracts": NUMERIC,
    "artefacts": frozenset(),
    "products": NUMERIC,
    "scorers": NUMERIC | {"safetensors"},
    "parallel": NUMERIC,
    "data": NUMERIC | TABLES | {"sklearn", "threadpoolctl"},
    "graph": NUMERIC,
    "transport": NUMERIC,
    "nn": NUMERIC,
    "ratings": NUMERIC,
    "evaluation": NUMERIC,
    "training": NUMERIC | {"safetensors"},
    "models": NUMERIC,
    "experiment": frozenset(),
    "report": frozenset({"numpy", "matplotlib", "jinja2", "rich"}),
    "tracking": NUMERIC | TABLES | {"mlflow", "sqlalchemy"},
    "launch": TABLES | {"ray"},
    "verbs": TABLES | {"rich"},
    "cli": frozenset({"rich"}),
    "__main__": frozenset(),
    "jobs": NUMERIC | TABLES | {"matplotlib", "ot", "geomloss", "psutil"},
    "tune_spaces": frozenset({"ray.tune"}),
}
# The one place of a library that its package does not share.
EDGES = {
    "raymm.data.storage": frozenset({"fsspec"}),
    "raymm.training.deepspeed_engine": frozenset({"deepspeed"}),
    "raymm.graph.partition": frozenset({"dgl"}),
    # Comes with torch's wheel for CUDA, and is not looked for where there is no GPU.
    "raymm.transport.fused": frozenset({"triton"}),
    # An extra of the package: most data sets are prepared without a pretrained model.
    "raymm.launch.encoders": frozenset(
        {"transformers", "sentence_transformers", "huggingface_hub", "PIL", "safetensors"}
    ),
}


def import_problems(root: Path) -> list[str]:
    """Check every import of the tree below `root` against the layers; one readable entry for each that is wrong.

    Raises:
        ValueError: There is no package to check.
    """
    modules = (*read_modules(root, PACKAGE), *_optional(root, "jobs", "tune_spaces"))
    known = frozenset(module.name for module in modules)
    found = [entry for module in modules for entry in imports(module, known)]
    reasons = ((entry, _reason(entry, known)) for entry in found)
    return [
        f"{entry.path}:{entry.line}: {entry.importer} imports {entry.target}\n    {why}"
        for entry, why in reasons
        if why
    ]


def part_of(module: str) -> str:
    """Name the part of the house that a module belongs to: `raymm.graph.fusion` is of `graph`, a job of `jobs`."""
    first, *rest = module.split(".")
    return (rest[0] if rest else "") if first == PACKAGE else first


def layer_of(part: str) -> int | None:
    """Number the layer of a part of the package, from 0 on the ground; None when it has none."""
    return next((number for number, parts in enumerate(LAYERS) if part in parts), None)


def _optional(root: Path, *folders: str) -> tuple[Module, ...]:
    present = [folder for folder in folders if any((root / folder).rglob("*.py"))]
    return read_modules(root, *present) if present else ()


def _reason(entry: Import, known: frozenset[str]) -> str | None:
    first = entry.target.split(".")[0]
    jobs = {name.split(".")[1] for name in known if name.startswith("jobs.")}
    if first == PACKAGE:
        return _reason_inside(entry)
    if first in {"jobs", "tune_spaces"} | jobs:
        return "a job and a search space are started by name, nobody imports them"
    return _reason_outside(entry)


def _reason_inside(entry: Import) -> str | None:
    here, there = part_of(entry.importer), part_of(entry.target)
    if here == "tune_spaces":
        return "a search space imports nothing of raymm: it is data"
    if _within(entry.target, SEALED) and entry.importer != SEALED and not _within(entry.importer, UNSEALED_BY):
        return f"{SEALED} is the test set: only {UNSEALED_BY} may open it"
    if there == "":
        return None
    if layer_of(there) is None:
        return f"raymm.{there} stands in no layer: give it one in tests/architecture/rules.py"
    if here == there:
        return _reason_between_models(entry) if here == "models" else None
    return _reason_between_layers(here, there)


def _reason_between_layers(here: str, there: str) -> str | None:
    mine, to = layer_of(here), _layer(there)
    if here == "":
        return "raymm/__init__.py imports nothing: whoever imports a part must not pay for the rest"
    if here == "jobs":
        return None
    if mine is None:
        return f"raymm.{here} stands in no layer: give it one in tests/architecture/rules.py"
    if to < mine:
        barred = there in BARRED.get(here, ())
        return f"raymm.{here} (layer {mine}) composes; raymm.{there} is none of its business" if barred else None
    below = ", ".join(part for parts in LAYERS[:mine] for part in parts if part not in BARRED.get(here, ()))
    why = "imports point down" if to > mine else "siblings do not know each other"
    return f"raymm.{here} (layer {mine}) may import {below or 'nothing'}; raymm.{there} is layer {to}: {why}"


def _reason_between_models(entry: Import) -> str | None:
    here, there = (f"{name}..".split(".")[2] for name in (entry.importer, entry.target))
    if here in (there, MODEL_INDEX) or there in (MODEL_TYPES, ""):
        return None
    return f"models do not know each other: only raymm.models.{MODEL_INDEX} may import raymm.models.{there}"


def _reason_outside(entry: Import) -> str | None:
    part = part_of(entry.importer)
    allowed = OUTSIDE.get(part, frozenset()) | EDGES.get(entry.importer, frozenset())
    if entry.target.split(".")[0] in sys.stdlib_module_names or any(_within(entry.target, name) for name in allowed):
        return None
    library = entry.target.split(".")[0]
    homes = [home for home, names in EDGES.items() if library in names]
    homes += [
        f"raymm.{home}" for home, names in OUTSIDE.items() if library in names and home not in ("jobs", "tune_spaces")
    ]
    where = f"only in {_listed(homes)}" if homes else "nowhere"
    owner = part if part in ("jobs", "tune_spaces") else f"raymm.{part}"
    return f"{library} is imported {where}; {owner} may import {_listed(allowed) or 'the standard library alone'}"


def _layer(part: str) -> int:
    number = layer_of(part)
    assert number is not None
    return number


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
