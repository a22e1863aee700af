from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from raymm.artefacts import MANIFEST
from raymm.errors import ArtefactError
from raymm.scorers import DotScorer
from raymm.tracking.served import read_served, write_served
from tests.tracking.toys import make_domain


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = [make_domain("office"), make_domain("arts", seed=1)]
    manifest = write_served(tmp_path / "served", written, {"run": "f00d"}, {"seed": 1})
    again = read_served(tmp_path / "served")
    assert [domain.name for domain in again] == ["office", "arts"]
    assert manifest.inputs == {"run": "f00d"}
    for before, after in zip(written, again, strict=True):
        assert list(before.user_ids) == list(after.user_ids)
        assert list(before.item_ids) == list(after.item_ids)
        assert before.known.nnz > 0
        np.testing.assert_array_equal(before.known.toarray() != 0, after.known.toarray() != 0)
        users = torch.arange(before.scorer.n_users)
        assert torch.equal(before.scorer.scores(users), after.scorer.scores(users))


def test_the_same_content_has_the_same_hashes(tmp_path: Path) -> None:
    files = [dict(write_served(tmp_path / name, [make_domain("arts")], {}, {}).files) for name in ("one", "two")]
    assert len(files[0]) == 5
    assert files[0] == files[1]


def test_every_single_file_is_guarded(tmp_path: Path) -> None:
    folder = tmp_path / "served"
    manifest = write_served(folder, [make_domain("arts")], {}, {})
    for name in manifest.files:
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ArtefactError, match="changed since"):
            read_served(folder)
        path.unlink()
        with pytest.raises(ArtefactError, match="missing"):
            read_served(folder)
        path.write_bytes(content)
    assert read_served(folder)


def test_parts_that_do_not_fit_are_named() -> None:
    domain = make_domain("arts")
    with pytest.raises(ArtefactError, match="30 users and 19 items"):
        dataclasses.replace(domain, item_ids=domain.item_ids[:-1])
    for wrong in ("", 7, domain.user_ids[1]):
        ids = domain.user_ids.copy()
        ids[0] = wrong
        with pytest.raises(ArtefactError, match="empty, repeated or no text"):
            dataclasses.replace(domain, user_ids=ids)
    broken = DotScorer(torch.full((30, 2), torch.nan), torch.ones(20, 2))
    with pytest.raises(ArtefactError, match="NaN"):
        dataclasses.replace(domain, scorer=broken)


@pytest.mark.parametrize("names", [None, [], "arts", ["../arts"], [".."], ["/tmp"], [7]])
def test_a_manifest_leads_to_nothing_outside(tmp_path: Path, names: object) -> None:
    write_served(tmp_path / "served", [make_domain("arts")], {}, {})
    path = tmp_path / "served" / MANIFEST
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "facts": {} if names is None else {"domains": names}}))
    with pytest.raises(ArtefactError, match="domains"):
        read_served(tmp_path / "served")


def test_a_model_without_domains_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no domain"):
        write_served(tmp_path / "served", [], {}, {})
