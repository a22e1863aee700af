"""Lines to fields where each line is an object: JSON, or a Python literal as some old dumps have it."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from raymm.data.formats.fields import objects

_BROKEN = (ValueError, SyntaxError, MemoryError, RecursionError)  # what a line can make its parser raise


@dataclass(frozen=True)
class _Unread:
    """Why a line could not be read: no value that a line holds can be mistaken for it."""

    reason: str


def cut_objects(
    texts: Sequence[str], names: Sequence[str], loose: bool, skip: Mapping[int, str]
) -> tuple[list[np.ndarray], dict[int, str]]:
    """Read one object a line, and of each the wanted values.

    Args:
        texts: n lines.
        names: Keys; `a.b.0` goes into the value of `a`, there to `b`, there to the first; a key `a.b.0` comes before.
        loose: What is not JSON may be a Python literal, of which nothing is run.
        skip: Place to reason of lines that are not to be read.

    Returns:
        A column of (n,) values for each name: strings, numbers, or the texts within lists and objects joined by
        spaces; empty where there is none. And of each line that is no object its place and the reason.
    """
    reasons = dict(skip)
    found: list[dict[str, Any]] = []
    for place, text in enumerate(texts):
        value = {} if place in reasons else _read(text, loose)
        if not isinstance(value, dict):
            reasons[place] = value.reason if isinstance(value, _Unread) else "no object"
            value = {}
        found.append(value)
    return [_column(found, name) for name in names], reasons


def plain_text(value: Any) -> str | int | float:
    """Return what a field holds: text and numbers as they are, what is nested as its texts joined by spaces."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")  # some writers of Parquet do not say that bytes are text
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence | np.ndarray):
        return " ".join(text for text in (str(plain_text(entry)).strip() for entry in value) if text)
    return str(value)


def pick(value: Any, name: str) -> Any:
    """Follow a dotted name into nested objects and lists; None where it leads nowhere."""
    if isinstance(value, Mapping) and name in value:
        return value[name]
    for key in name.split("."):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | tuple) and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _read(text: str, loose: bool) -> Any:
    try:
        return json.loads(text)
    except _BROKEN as error:
        if not loose:
            return _Unread(f"no JSON: {str(error)[:100] or type(error).__name__}")
    try:
        return ast.literal_eval(text)
    except _BROKEN as error:
        return _Unread(f"neither JSON nor a Python literal: {str(error)[:100] or type(error).__name__}")


def _column(found: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    if "." in name:
        values: list[Any] = [pick(entry, name) for entry in found]
    else:
        values = [entry.get(name, "") for entry in found]
    flat: Callable[[Any], Any] = plain_text
    return objects([value if type(value) is str else flat(value) for value in values])
