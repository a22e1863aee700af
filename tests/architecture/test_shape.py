"""Modules and functions keep a comfortable size, a telling name, a docstring and a test of their own."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, ROOT, Module, functions, shipped

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 7
NAMELESS = {"utils", "util", "common", "helpers", "helper", "core", "misc", "tools"}


def test_modules_and_functions_keep_their_size() -> None:
    modules = _shipped()
    sizes = [(module, name, node) for module in modules for name, node, _ in functions(module)]
    lengths = [(m, name, _length(node)) for m, name, node in sizes if not isinstance(node, ast.ClassDef)]
    assert len(lengths) > 50, "the walk found hardly any function"

    problems = [
        f"{m.path}: {m.n_lines} lines, at most {MAX_MODULE_LINES}" for m in modules if m.n_lines > MAX_MODULE_LINES
    ]
    problems += [
        f"{m.path}: {name} has {length} lines, at most {MAX_FUNCTION_LINES}"
        for m, name, length in lengths
        if length > MAX_FUNCTION_LINES
    ]

    _none(problems, "too long")


def test_names_say_what_is_inside() -> None:
    modules = _shipped()

    _none(
        [f"{m.path}: says where code ended up, not what it is" for m in modules if NAMELESS & set(_parts(m))],
        "nameless",
    )


def test_everything_public_has_a_docstring() -> None:
    public = [(m, name, node) for m in _shipped() for name, node, is_public in functions(m) if is_public]
    assert len(public) > 30, "the walk found hardly anything public"

    problems = [f"{m.path}:{node.lineno}: {name}" for m, name, node in public if not ast.get_docstring(node)]
    problems += [f"{m.path}:1: the module itself" for m in _shipped() if _has_code(m) and not ast.get_docstring(m.tree)]

    _none(problems, "without a docstring")


def test_functions_take_a_handful_of_parameters() -> None:
    found = [
        (m, name, node) for m in _shipped() for name, node, _ in functions(m) if not isinstance(node, ast.ClassDef)
    ]
    assert len(found) > 50, "the walk found hardly any function"
    problems = []
    for module, name, node in found:
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = sum(argument.arg not in ("self", "cls") for argument in given)
        if count > MAX_PARAMETERS:
            problems.append(f"{module.path}:{node.lineno}: {name} takes {count}, at most {MAX_PARAMETERS}")
        if node.args.kwarg is not None and _passes_on(node, node.args.kwarg.arg):
            problems.append(f"{module.path}:{node.lineno}: {name} passes **{node.args.kwarg.arg} on unseen")

    _none(problems, "of parameters")


def test_every_module_has_a_test_of_its_own() -> None:
    modules = [module for module in shipped(PACKAGE) if _has_code(module)]
    assert len(modules) > 10, "the walk found hardly any module"

    problems = [
        f"{module.path} expects {mirror(module)}" for module in modules if not _holds_a_test(ROOT / mirror(module))
    ]

    _none(problems, "without a test of its own")


def mirror(module: Module) -> Path:
    """Say where a module's test stands: raymm/graph/fusion.py has tests/graph/test_fusion.py."""
    inside = module.path.relative_to(PACKAGE)
    if module.is_package:
        return Path("tests") / inside.parent / f"test_{inside.parent.name or PACKAGE}.py"
    return Path("tests") / inside.parent / f"test_{inside.stem.strip('_')}.py"


def _shipped() -> tuple[Module, ...]:
    return shipped(PACKAGE, "jobs", "tune_spaces")


def _has_code(module: Module) -> bool:
    """Whether there is more than a docstring, imports and names in double underscores."""
    for node in module.tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            continue
        if isinstance(node, ast.Assign) and all(
            isinstance(t, ast.Name) and t.id.startswith("__") for t in node.targets
        ):
            continue
        return True
    return False


def _holds_a_test(file: Path) -> bool:
    if not file.is_file():
        return False
    names = [
        node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    ]
    return any(name.startswith("test_") for name in names)


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _passes_on(node: ast.AST, keywords: str) -> bool:
    """Whether `keywords` goes on to another call as `**keywords`."""
    given = [keyword for call in ast.walk(node) if isinstance(call, ast.Call) for keyword in call.keywords]
    return any(k.arg is None and isinstance(k.value, ast.Name) and k.value.id == keywords for k in given)


def _parts(module: Module) -> list[str]:
    return module.name.split(".")


def _none(problems: list[str], what: str) -> None:
    if problems:
        pytest.fail(f"{len(problems)} {what}\n\n" + "\n".join(problems), pytrace=False)
