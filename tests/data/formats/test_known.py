from __future__ import annotations

import re

from raymm.data.formats.known import INTERACTION_FORMATS, ITEM_FORMATS, formats_of


def test_formats_are_of_one_name_each_and_agree_with_themselves() -> None:
    checked = 0
    for kind, known in (("interactions", INTERACTION_FORMATS), ("items", ITEM_FORMATS)):
        assert len({one.name for one in known}) == len(known)
        for one in known:
            assert one.kind == kind
            assert "item" in one.columns
            assert ("user" in one.columns) == (kind == "interactions")
            assert bool(one.patterns) == bool(one.names)
            if one.names:
                assert len(one.patterns) == len(one.names)
                assert set(one.columns.values()) <= set(one.names)
            else:
                assert one.wants
            for pattern in one.patterns:
                re.compile(pattern)
            checked += 1
        names = set(formats_of(known[0].kind))
        assert {one.name for one in known} | {"tsv", "csv", "jsonl", "literals", "parquet"} == names
    assert checked >= 19
