from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from raymm.data.prepared import open_prepared
from raymm.data.sealed import open_sealed
from raymm.errors import ArtefactError
from tests.conftest import SAMPLE


@pytest.mark.ray
def test_sealed_item_is_the_last_of_each_user_in_the_source(prepared_sample: Path) -> None:
    rows = pd.read_csv(SAMPLE.parent / "interactions.tsv", sep="\t", dtype={"user": str, "item": str})
    # Some users reviewed an item again later: its first review counts.
    rows = rows.sort_values(["domain", "user", "order"]).drop_duplicates(["domain", "user", "item"])
    last = rows.groupby(["domain", "user"])["item"].last()
    prepared = open_prepared(prepared_sample)
    for holdout in open_sealed(prepared_sample):
        users, items = prepared.user_ids(holdout.domain), prepared.item_ids(holdout.domain)
        found = dict(zip(users[holdout.users], items[holdout.targets.indices], strict=True))
        assert found == last[holdout.domain].to_dict()
        assert len(found) == len(np.unique(holdout.users)) > 2_000


def test_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"kind": "run"}))
    with pytest.raises(ArtefactError):
        open_sealed(tmp_path)
