"""Names that the library does not use: hidden input, hidden output, code and data that run when they are read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import PACKAGE, Module, imports, imports_by_name, read_modules, used_names

BANNED = {
    "eval": "code out of text",
    "exec": "code out of text",
    "print": "say it through logging, or in the command line's console",
    "os.putenv": "settings are arguments",
    "sys.modules": "imports are written as imports",
    "torch.load": "it can run what it reads; weights are safetensors",
    "pandas.read_pickle": "it runs what it reads",
    "runpy.run_path": "imports are written as imports",
    "runpy.run_module": "imports are written as imports",
    "importlib.util.spec_from_file_location": "imports are written as imports",
}
BANNED_LIBRARIES = ("pickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
ONLY_AT_THE_DOOR = {
    "sys.argv": "a library does not read the command line",
    "os.environ": "settings are arguments",
    "os.environb": "settings are arguments",
    "os.getenv": "settings are arguments",
}
DOORS = ("raymm.cli", "raymm.__main__", "jobs")


def call_problems(root: Path) -> list[str]:
    """List every use of a banned name below `root`, by file and line.

    Raises:
        ValueError: There is no package to check.
    """
    modules = list(read_modules(root, PACKAGE))
    if any((root / "jobs").rglob("*.py")):
        modules += read_modules(root, "jobs")
    return [f"{module.path}:{line}: {what}" for module in modules for what, line in sorted(set(_problems(module)))]


def _problems(module: Module) -> Iterator[tuple[str, int]]:
    at_the_door = any(module.name == door or module.name.startswith(f"{door}.") for door in DOORS)
    banned = BANNED if at_the_door else BANNED | ONLY_AT_THE_DOOR
    for name, line in used_names(module):
        if name in banned:
            yield f"{name} ({banned[name]})", line
    for entry in imports(module, frozenset()):
        if entry.target.split(".")[0] in BANNED_LIBRARIES:
            yield f"{entry.target.split('.')[0]} (it runs what it reads)", entry.line
    for literal, argument, line in imports_by_name(module):
        if literal is None:
            yield f"importlib.import_module or __import__ of {argument} (a name that no reader can see)", line
    for node in ast.walk(module.tree):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and getattr(node.value, "value", True):
            yield "allow_pickle (it runs what it reads)", node.value.lineno
