"""The library keeps to arguments and return values."""

from __future__ import annotations

import pytest

from tests.architecture.banned import BANNED, call_problems
from tests.architecture.source import PACKAGE, ROOT, shipped, used_names


def test_no_banned_name_is_used() -> None:
    problems = call_problems(ROOT)

    if problems:
        pytest.fail(f"{len(problems)} banned name(s)\n\n" + "\n".join(problems), pytrace=False)


def test_the_search_sees_the_names_that_are_used() -> None:
    names = {name for module in shipped(PACKAGE) for name, _ in used_names(module)}

    assert {"dataclasses.dataclass", "torch.Tensor", "pathlib.Path"} <= names
    assert len(BANNED) > 5
