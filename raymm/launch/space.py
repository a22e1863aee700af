"""Search spaces: read from Python or TOML files as data, and sampled, cut into grids, or turned into Ray Tune's."""

from __future__ import annotations

import ast
import itertools
import math
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

import raymm
from raymm import config
from raymm.errors import ConfigError

_KINDS = ("choice", "uniform", "loguniform", "randint", "lograndint")
_GRID_POINTS = 3  # of a range: both ends and the middle
_EXPECTED = "one of choice([...]), uniform(low, high), loguniform(low, high), randint(low, high), lograndint(low, high)"


@dataclass(frozen=True)
class Dimension:
    """What one setting may be.

    Attributes:
        kind: As Ray Tune calls it: `choice`, `uniform`, `loguniform`, `randint` or `lograndint`.
        values: The choices; or lower and upper limit, of which whole numbers do not reach the upper one.
    """

    kind: str
    values: tuple[Any, ...]

    def domain(self) -> Any:
        """Return Ray Tune's object of it."""
        return getattr(tune, self.kind)(list(self.values)) if self.kind == "choice" else self._range()

    def sample(self, generator: np.random.Generator) -> Any:
        """Draw one value, as Ray Tune would: even over the choices, the range, or its logarithm."""
        if self.kind == "choice":
            return self.values[int(generator.integers(len(self.values)))]
        low, high = self.values
        if self.kind == "randint":
            return int(generator.integers(low, high))
        if self.kind == "uniform":
            return float(generator.uniform(low, high))
        value = math.exp(generator.uniform(math.log(low), math.log(high)))
        return min(max(value, low), high) if self.kind == "loguniform" else min(int(value), high - 1)

    def points(self) -> tuple[Any, ...]:
        """Return its points of a grid: all choices; of a range both ends and the (geometric) middle."""
        if self.kind == "choice":
            return self.values
        low, high = self.values
        if self.kind in ("randint", "lograndint"):
            last = high - 1
            middle = round(math.sqrt(low * last)) if self.kind == "lograndint" else (low + last) // 2
            return tuple(dict.fromkeys((low, middle, last)))
        scale = np.geomspace if self.kind == "loguniform" else np.linspace
        inner = scale(low, high, _GRID_POINTS)[1:-1]
        return (low, *(float(value) for value in inner), high)

    def _range(self) -> Any:
        ranges = {
            "uniform": tune.uniform,
            "loguniform": tune.loguniform,
            "randint": tune.randint,
            "lograndint": tune.lograndint,
        }
        return ranges[self.kind](*self.values)


Space = Mapping[str, Dimension]


def find_space(model: str) -> Path:
    """Return the file of a model's space that comes with raymm.

    It is `tune_spaces/MODEL.py`: here, beside the package in a clone, or where an installation keeps its data files.

    Raises:
        ConfigError: There is none.
    """
    name = f"{model}.py"
    installed = Path(sysconfig.get_path("data")) / "share" / "raymm"
    places = [folder / "tune_spaces" for folder in (Path(), Path(raymm.__file__).parents[1], installed)]
    for folder in places:
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(
        f"no search space for {model}",
        f"tune_spaces/{name}",
        ", ".join(str(folder.absolute()) for folder in places),
        "write one and give it by --space; the repository's folder tune_spaces/ has examples",
    )


def read_space(path: Path) -> Space:
    """Read a space from a file; nothing in it is run.

    A Python file assigns a dictionary to `SPACE`: dotted names of settings to calls of `tune.choice`, `tune.uniform`,
    `tune.loguniform`, `tune.randint` or `tune.lograndint` with literal arguments. A TOML file holds tables such as
    `[settings.width]` with `choice = [64, 128]`, or `loguniform = [1e-4, 1e-2]`.

    Raises:
        ConfigError: The file is missing, or holds something else; limits out of order, or no choice at all.
    """
    raw = _toml_values(path) if path.suffix == ".toml" else _python_values(path)
    if not raw:
        raise ConfigError("an empty space", "at least one setting to search", str(path), "name a setting and its range")
    return {name: _checked(name, *given, str(path)) for name, given in raw.items()}


def plain_space(space: Space) -> dict[str, Any]:
    """Return a space as plain data, which tells two spaces apart."""
    return {name: {dimension.kind: list(dimension.values)} for name, dimension in space.items()}


def grid(space: Space) -> Iterator[dict[str, Any]]:
    """Go through all combinations of all points, the last setting fastest."""
    for values in itertools.product(*(dimension.points() for dimension in space.values())):
        yield dict(zip(space, values, strict=True))


def draw(space: Space, seed: int, number: int) -> dict[str, Any]:
    """Draw the combination number `number` of a random search: the same one whenever it is asked for."""
    generator = np.random.default_rng([seed, number])
    return {name: dimension.sample(generator) for name, dimension in space.items()}


def _toml_values(path: Path) -> dict[str, tuple[str, Any]]:
    found: dict[str, tuple[str, Any]] = {}

    def walk(table: Mapping[str, Any], prefix: str) -> None:
        for name, value in table.items():
            if not isinstance(value, Mapping):
                raise ConfigError(f"{prefix}{name} = {value!r}", _EXPECTED, str(path), "write it as a table")
            kinds = [kind for kind in value if kind in _KINDS and not isinstance(value[kind], Mapping)]
            if len(kinds) == len(value) == 1:
                given = value[kinds[0]]
                found[f"{prefix}{name}"] = (kinds[0], given if isinstance(given, list) else [given])
            else:
                walk(value, f"{prefix}{name}.")

    walk(config.read_toml(path), "")
    return found


def _python_values(path: Path) -> dict[str, tuple[str, Any]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"unreadable: {error}", "a search space", str(path), "check the path and the file") from error
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign) and _is_space(node)]
    if len(tables) != 1 or not isinstance(tables[0], ast.Dict):
        raise ConfigError(
            "no dictionary SPACE", "SPACE = {...}, written out", str(path), "see tune_spaces/ for examples"
        )
    found: dict[str, tuple[str, Any]] = {}
    for key, value in zip(tables[0].keys, tables[0].values, strict=True):
        name, given = _literal(key), _call(value)
        if not isinstance(name, str) or given is None:
            raise ConfigError(
                f"line {value.lineno}: {ast.unparse(value)}", f"tune.{_EXPECTED[7:]}", str(path), "write it out"
            )
        found[name] = given
    return found


def _is_space(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "SPACE" for target in node.targets)


def _call(node: ast.expr) -> tuple[str, Any] | None:
    """Return kind and arguments of a call such as `tune.uniform(0, 1)`; None for anything else."""
    if not isinstance(node, ast.Call) or node.keywords or not isinstance(node.func, ast.Attribute):
        return None
    arguments = [_literal(argument) for argument in node.args]
    if not isinstance(node.func.value, ast.Name) or node.func.value.id != "tune" or node.func.attr not in _KINDS:
        return None
    return node.func.attr, arguments[0] if node.func.attr == "choice" and len(arguments) == 1 else arguments


def _literal(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def _checked(name: str, kind: str, values: Any, where: str) -> Dimension:
    found = f"{name}: {kind} of {values!r}"
    if not isinstance(values, list | tuple) or not all(isinstance(value, bool | int | float | str) for value in values):
        raise ConfigError(found, _EXPECTED, where, "choices and limits are numbers, texts, true or false")
    if kind == "choice":
        if not values:
            raise ConfigError(found, "at least one choice", where, "name the choices")
        return Dimension(kind, tuple(values))
    number = int if kind in ("randint", "lograndint") else (int, float)
    fits = len(values) == 2 and all(isinstance(value, number) and not isinstance(value, bool) for value in values)
    if not fits or not values[0] < values[1] or (kind.startswith("log") and values[0] <= 0):
        raise ConfigError(
            found, f"{kind}(low, high) with low < high, above 0 for a logarithm", where, "mend the limits"
        )
    low, high = values if number is int else map(float, values)
    return Dimension(kind, (low, high))
