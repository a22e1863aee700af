from __future__ import annotations

import dataclasses
import json

from raymm.data.summary import DomainSummary, PreparedSummary, SourceSummary, read_summary


def test_summary_survives_the_way_through_a_manifest() -> None:
    source = SourceSummary("rows.tsv", 10, 1, 2, 3)
    domain = DomainSummary("a", 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, {"title": 3})
    summary = PreparedSummary("toy", "there", "mark", (source,), (source, source), (domain,), 4, 2, 1.5)
    assert read_summary(json.loads(json.dumps(dataclasses.asdict(summary)))) == summary
