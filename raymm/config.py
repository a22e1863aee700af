"""The gate: plain data (TOML, JSON, command line) to frozen dataclasses and back, strictly."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import json
import math
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pydantic

from raymm.errors import ConfigError

T = TypeVar("T")

_LIMITS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "gt": (lambda value, limit: value > limit, "greater than"),
    "ge": (lambda value, limit: value >= limit, "at least"),
    "lt": (lambda value, limit: value < limit, "less than"),
    "le": (lambda value, limit: value <= limit, "at most"),
}


def setting(
    default: Any = dataclasses.MISSING,
    help: str = "",
    *,
    unit: str = "",
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> Any:
    """Declare one field of a frozen config dataclass.

    Args:
        default: The default value; left out, the setting is required. A dataclass
            type, or `dict`, is built anew for each config.
        help: One sentence that `--help` shows.
        unit: Unit of the value, empty for pure numbers.
        gt: Exclusive lower limit of a number (or of each number of a tuple).
        ge: Inclusive lower limit.
        lt: Exclusive upper limit.
        le: Inclusive upper limit.

    Returns:
        A dataclass field that carries help, unit and limits in its metadata.
    """
    limits = {name: limit for name, limit in (("gt", gt), ("ge", ge), ("lt", lt), ("le", le)) if limit is not None}
    metadata = {"help": help, "unit": unit, "limits": limits}
    if default is dict or (isinstance(default, type) and dataclasses.is_dataclass(default)):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check(config: Any) -> None:
    """Check the limits of every field of `config`; call it from `__post_init__`.

    Raises:
        ConfigError: Naming each field that is out of range.
    """
    problems = [problem for field in dataclasses.fields(config) for problem in _range_problems(config, field)]
    if problems:
        raise _error(problems, type(config).__name__)


def build(kind: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Turn plain data into the frozen dataclass `kind`; nothing is guessed, all problems are listed together.

    Numbers are not read from strings, and an integer is taken where a float is wanted; lists become tuples.

    Args:
        kind: A dataclass whose fields were declared with `setting`.
        values: Plain data, nested mappings for nested dataclasses.
        where: Where the data came from (a file, the command line), for the message.

    Raises:
        ConfigError: An unknown key, a missing one, a wrong type or a value out of range, by dotted path.
    """
    problems: list[str] = []
    built = _build(kind, values, "", problems)
    if problems:
        raise _error(problems, where or kind.__name__)
    return typing.cast(T, built)


def plain(config: Any) -> dict[str, Any]:
    """Turn a config into plain nested data that JSON and TOML can hold; `build` takes it back unchanged."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(config))))


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted names, as trackers want them."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: The file is missing or is not TOML.
    """
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ConfigError("no such file", "a TOML file", str(path), "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not TOML: {error}", "a TOML file", str(path), "mend the line that is named") from error


def override(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Apply `name.of.setting=value` assignments of a command line; values are TOML, bare words are strings.

    Raises:
        ConfigError: An assignment without `=`, or one that goes through a value that is no table.
    """
    result = copy.deepcopy(dict(values))
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise ConfigError(repr(assignment), "name.of.setting=value", "--set", "for example --set train.epochs=20")
        *parents, last = name.strip().split(".")
        table = result
        for parent in parents:
            table = table.setdefault(parent, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{parent!r} is a value", "a table of settings", f"--set {assignment}", "drop a dot")
        table[last] = _toml_value(text.strip())
    return result


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Lay changes over nested tables: tables are merged, whatever else is replaced."""
    result = dict(values)
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = merged(result[name], value) if both else value
    return result


def describe(kind: type, prefix: str = "") -> list[tuple[str, str, str]]:
    """List every setting below `kind` as (dotted name, default, help with unit and limits)."""
    rows: list[tuple[str, str, str]] = []
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            rows.extend(describe(typing.cast(type, hint), f"{prefix}{field.name}."))
            continue
        made = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        default = "(required)" if made is dataclasses.MISSING else json.dumps(made)
        words = [field.metadata.get("help", "")]
        if field.metadata.get("unit"):
            words.append(f"[{field.metadata['unit']}]")
        words.extend(f"{_LIMITS[name][1]} {limit:g}" for name, limit in field.metadata.get("limits", {}).items())
        choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        words.append("one of " + ", ".join(map(str, choices)) if choices else "")
        rows.append((f"{prefix}{field.name}", default, " ".join(word for word in words if word)))
    return rows


def _build(kind: type[Any], values: Any, path: str, problems: list[str]) -> Any:
    if not isinstance(values, Mapping):
        problems.append(f"{path.rstrip('.') or 'top level'}: found {values!r}, expected a table of settings")
        return None
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(fields)
            problems.append(f"{path}{key}: unknown setting; {hint}")
    before = len(problems)
    arguments = {
        name: _value(hints[name], values[name], f"{path}{name}", problems) for name in fields if name in values
    }
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if name not in values and required:
            problems.append(f"{path}{name}: missing; expected {_name(hints[name])}")
    if len(problems) > before:
        return None
    try:
        return kind(**arguments)
    except ConfigError as error:
        problems.extend(f"{path}{line}" for line in error.found.split("\n"))
        return None


def _value(hint: Any, value: Any, path: str, problems: list[str]) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value, f"{path}.", problems)
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and inner[1:] == (...,) and dataclasses.is_dataclass(inner[0]):
        if not isinstance(value, list | tuple):
            problems.append(f"{path}: found {value!r}, expected a list of tables")
            return None
        # pydantic would swallow unknown keys here, so that each table goes through the gate by itself.
        return tuple(
            _build(typing.cast(type, inner[0]), table, f"{path}[{place}].", problems)
            for place, table in enumerate(value)
        )
    try:
        # JSON mode is strict about types but takes a list for a tuple, as TOML and JSON have no tuples.
        return pydantic.TypeAdapter(hint).validate_json(json.dumps(value, default=str), strict=True)
    except pydantic.ValidationError:
        problems.append(f"{path}: found {value!r}, expected {_name(hint)}")
        return None


def _range_problems(config: Any, field: dataclasses.Field[Any]) -> list[str]:
    value = getattr(config, field.name)
    numbers = value if isinstance(value, tuple) else (value,)
    if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
        return [f"{field.name}: found {value!r}, expected a finite number"]
    return [
        f"{field.name}: found {value!r}, expected {_LIMITS[name][1]} {limit:g}"
        for name, limit in field.metadata.get("limits", {}).items()
        if any(isinstance(number, int | float) and not _LIMITS[name][0](number, limit) for number in numbers)
    ]


def _name(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(repr(choice) for choice in typing.get_args(hint))
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is not None:
        return str(hint).replace("NoneType", "nothing")
    return {"int": "a whole number", "float": "a number", "str": "text", "bool": "true or false"}.get(
        getattr(hint, "__name__", ""), str(hint)
    )


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _error(problems: list[str], where: str) -> ConfigError:
    return ConfigError(
        "\n".join(problems), "", where, "mend these settings; `raymm settings MODEL` lists those of a model"
    )
