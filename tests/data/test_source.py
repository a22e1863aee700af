from __future__ import annotations

from typing import Any

import pytest

from raymm.config import build
from raymm.data.source import InteractionSource, ItemSource
from raymm.errors import ConfigError


@pytest.mark.parametrize("delimiter", ["", "\n", '"', "::::", "a\r"])
def test_delimiter_must_be_a_few_plain_characters(delimiter: str) -> None:
    with pytest.raises(ConfigError, match="delimiter"):
        build(InteractionSource, {"path": "x", "layout": {"delimiter": delimiter}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "amazon"}, "format: found 'amazon', expected 'auto' or one of amazon_2014, "),
        ({"columns": {"item": ""}}, "columns.item: found nothing"),
        ({"domain": "a", "columns": {"domain": "b"}}, "expected one of the two"),
        ({"layout": {"delimiter": "::", "quote": '"'}}, "one character with quotes"),
        ({"layout": {"names": ["a", "a"]}}, "names that differ"),
        ({"layout": {"encoding": "utf-16"}}, "layout.encoding"),
        ({"path": "ftp://host/x"}, "scheme 'ftp'"),
    ],
)
@pytest.mark.parametrize("kind", [InteractionSource, ItemSource])
def test_wrong_settings_of_a_source_are_named(kind: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(kind, {"path": "x", **values})


def test_source_needs_nothing_but_its_path() -> None:
    source = build(InteractionSource, {"path": "u.data"})
    assert (source.format, source.domain, source.columns.user, source.layout.delimiter) == ("auto", "", None, None)
