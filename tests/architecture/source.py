"""Read Python files as syntax trees: which modules there are, what they import, which names they use."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "raymm"
IMPORTERS_BY_NAME = ("importlib.import_module", "importlib.__import__", "__import__")


@dataclass(frozen=True)
class Module:
    """One Python file: its dotted name, its path below the root, its syntax tree and its lines."""

    name: str
    path: Path
    tree: ast.Module
    n_lines: int

    @property
    def is_package(self) -> bool:
        """Whether this is the `__init__` of a folder."""
        return self.path.name == "__init__.py"


@dataclass(frozen=True)
class Import:
    """One import: who imports what, and where that is written."""

    importer: str
    target: str
    path: Path
    line: int


def read_modules(root: Path, *folders: str) -> tuple[Module, ...]:
    """Read every Python file of `folders` below `root`; folders that do not exist are left out.

    Raises:
        ValueError: Nothing was found, so that a test over it would prove nothing.
    """
    files = sorted(file for folder in folders for file in (root / folder).rglob("*.py"))
    if not files:
        raise ValueError(f"found no Python file in {', '.join(folders)} below {root}, expected the source")
    return tuple(_read(root, file) for file in files)


@functools.cache
def shipped(*folders: str) -> tuple[Module, ...]:
    """Read the Python files of this clone, once; folders that do not exist are left out."""
    return read_modules(ROOT, *folders)


def imports(module: Module, known: frozenset[str]) -> list[Import]:
    """List every import of a module, whole names, those inside functions and of `TYPE_CHECKING` blocks included.

    `from a import b` is an import of `a.b` where that is a module (`known`) or where `a` is not ours, else of `a`.
    A call that imports by a literal name counts as well.
    """
    targets: list[tuple[str, int]] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            targets += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            whole = [f"{base}.{alias.name}".lstrip(".") for alias in node.names]
            targets += [(name if name in known or not _ours(base) else base, node.lineno) for name in whole]
    targets += [(name, line) for name, _, line in imports_by_name(module) if name is not None]
    return [Import(module.name, target, module.path, line) for target, line in sorted(set(targets), key=lambda t: t[1])]


def imports_by_name(module: Module) -> Iterator[tuple[str | None, str, int]]:
    """Find calls such as `importlib.import_module(name)`: the literal name or None, the argument's text, the line."""
    aliases = _aliases(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and _dotted(node.func, aliases) in IMPORTERS_BY_NAME:
            argument = node.args[0] if node.args else node
            literal = argument.value if isinstance(argument, ast.Constant) else None
            yield literal if isinstance(literal, str) else None, ast.unparse(argument), node.lineno


def used_names(module: Module) -> Iterator[tuple[str, int]]:
    """Find every name that a module reads or imports, in full: `np.load` is `numpy.load`, `e` may be `os.environ`."""
    aliases = _aliases(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            name = _dotted(node, aliases)
            if name is not None:
                yield name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{_base(module, node)}.{alias.name}", node.lineno) for alias in node.names)


def functions(module: Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, bool]]:
    """Find classes and functions: the name within the module, the node, and whether it is public.

    Public is what has no leading underscore anywhere in its name and is not nested in a function.
    """
    yield from _definitions(module.tree, "", public=True)


def _definitions(
    parent: ast.AST, prefix: str, *, public: bool
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, bool]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{node.name}"
            open_to_all = public and not node.name.startswith("_")
            yield name, node, open_to_all
            inner_public = open_to_all and isinstance(node, ast.ClassDef)
            yield from _definitions(node, f"{name}.", public=inner_public)
        else:
            yield from _definitions(node, prefix, public=public)


def _read(root: Path, file: Path) -> Module:
    path = file.relative_to(root)
    parts = path.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    text = file.read_text(encoding="utf-8")
    return Module(name, path, ast.parse(text, filename=str(path)), len(text.splitlines()))


def _base(module: Module, node: ast.ImportFrom) -> str:
    if node.level == 0:
        return node.module or ""
    package = module.name.split(".")
    up = node.level - 1 if module.is_package else node.level
    start = package[: len(package) - up]
    return ".".join([*start, *([node.module] if node.module else [])])


def _ours(name: str) -> bool:
    return name.split(".")[0] in (PACKAGE, "jobs", "tune_spaces")


def _aliases(module: Module) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{_base(module, node)}.{alias.name}"
    return aliases


def _dotted(node: ast.AST, aliases: dict[str, str]) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([aliases.get(node.id, node.id), *reversed(parts)])
