"""Settings and measurements in the form that MLflow takes: valid names, short values, plain numbers."""

from __future__ import annotations

import hashlib
import json
import numbers
import posixpath
import re
from collections.abc import Mapping
from typing import Any

from raymm.config import flatten
from raymm.errors import TrackingError

MAX_VALUE = 500  # characters of a parameter's value that MLflow servers of every age take
MAX_NAME = 250


def tracked_name(name: str) -> str:
    """Return the name under which MLflow keeps a parameter or metric: `ndcg@10` becomes `ndcg_at_10`.

    MLflow takes letters, digits, `_`, `-`, `.`, blanks, `:` and `/`; anything else becomes `_`.

    Raises:
        TrackingError: Nothing valid is left, or the name is too long.
    """
    cleaned = re.sub(r"[^/\w.\- :]", "_", name.replace("@", "_at_"))
    if not cleaned or len(cleaned) > MAX_NAME or posixpath.normpath(cleaned) != cleaned or cleaned[0] in "/.":
        raise TrackingError(
            f"the name {name[:80]!r}", f"1 to {MAX_NAME} characters, no leading or doubled '/' or '.'", "tracking"
        )
    return cleaned


def parameter_values(values: Mapping[str, Any]) -> dict[str, str]:
    """Flatten nested settings to dotted names and texts; long texts are cut, with a mark that says so.

    The mark holds a hash of the whole text, so that two texts that differ after the cut still differ.

    Raises:
        TrackingError: A name that MLflow cannot take, two names that become one, or a value that is not plain data.
    """
    return _renamed({name: _text(name, value) for name, value in flatten(values).items()})


def metric_values(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Flatten nested measurements to dotted names and numbers, as texts that keep all digits, NaN and infinity.

    Raises:
        TrackingError: A name that MLflow cannot take, two names that become one, or something that is no number.
    """
    flat = flatten(metrics)
    for name, value in flat.items():
        if not isinstance(value, numbers.Real):
            raise TrackingError(f"{name} = {value!r}", "a number", "tracked metrics", "leave out what is no number")
    return _renamed({name: repr(float(value)) for name, value in flat.items()})


def _text(name: str, value: Any) -> str:
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError) as error:
        raise TrackingError(
            f"{name} = {value!r}", "plain data", "tracked parameters", "track plain settings"
        ) from error
    if len(text) <= MAX_VALUE:
        return text
    mark = f"... [{len(text)} characters, sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]}]"
    return text[: MAX_VALUE - len(mark)] + mark


def _renamed(values: Mapping[str, str]) -> dict[str, str]:
    origin: dict[str, str] = {}
    for name in values:
        tracked = tracked_name(name)
        if tracked in origin:
            raise TrackingError(f"{origin[tracked]!r} and {name!r}", "names that differ for MLflow too", "tracking")
        origin[tracked] = name
    return {tracked: values[name] for tracked, name in origin.items()}
