"""The exceptions: four parts, laid out, and able to travel between processes."""

from __future__ import annotations

import inspect
import pickle

import pytest

from raymm import errors
from raymm.errors import ConfigError, DataError, RaymmError, reason_of

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RaymmError)]


def test_there_are_kinds_for_every_stage() -> None:
    assert len(KINDS) == 8
    assert all(kind.__doc__ for kind in KINDS)


def test_the_parts_are_laid_out_in_order_and_empty_ones_left_out() -> None:
    text = str(DataError("3 columns", "4 columns", "a.tsv, line 7", "mend the line"))
    assert [line.split(":")[0].strip() for line in text.splitlines()] == ["where", "found", "expected", "remedy"]
    assert "a.tsv, line 7" in text
    assert str(DataError("nothing")) == "    found: nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_an_exception_crosses_processes_whole(kind: type[RaymmError]) -> None:
    original = kind("found", "expected", "where", "remedy")
    copy = pickle.loads(pickle.dumps(original))  # noqa: S301 - what Ray does to exceptions
    assert type(copy) is kind
    assert vars(copy) == vars(original)
    assert str(copy) == str(original)


def test_one_clause_catches_them_all() -> None:
    with pytest.raises(RaymmError):
        raise ConfigError("x")


def test_a_reason_is_one_line() -> None:
    assert reason_of(DataError("a\nb", "c", "d", "e")) == "DataError: a; b; expected c (d)"
    assert reason_of(ValueError("first\nsecond")) == "ValueError: first"
