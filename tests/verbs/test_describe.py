import json
from pathlib import Path

import pytest

from raymm.artefacts import read_manifest, verify
from raymm.data import layout
from raymm.data.prepared import open_prepared
from raymm.errors import ArtefactError
from raymm.verbs.describe import describe

pytestmark = pytest.mark.ray


def test_the_sample_is_described_as_it_is_and_left_alone(prepared_sample: Path, tmp_path: Path) -> None:
    found = describe(prepared_sample, tmp_path / "out")
    prepared = open_prepared(prepared_sample)
    assert found.page is not None
    assert found.page.is_file()
    for facts, entry in zip(prepared.domains, found.description.domains, strict=True):
        assert (entry.users, entry.items, entry.interactions) == (facts.n_users, facts.n_items, facts.n_train)
        assert set(entry.modalities) == set(facts.modalities)
        assert found.description.held_out[facts.name][0] == len(prepared.validation_pairs(facts.name)[0])
    assert found.description.shared == len(prepared.train_data().shared) > 0
    record = json.loads((tmp_path / "out" / "description.json").read_text())
    assert record["fingerprint"] == prepared.fingerprint
    verify(prepared_sample, read_manifest(prepared_sample, layout.KIND, layout.SCHEMA))


def test_nothing_is_written_where_nothing_was_asked_for(prepared_sample: Path, tmp_path: Path) -> None:
    assert describe(prepared_sample, None).page is None
    with pytest.raises(ArtefactError):
        describe(tmp_path, None)
