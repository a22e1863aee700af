"""Structures that are kept: found again under the same fingerprint only, refused when changed, mapped into memory."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from raymm import config
from raymm.data.prepared import open_prepared
from raymm.errors import ArtefactError
from raymm.experiment import build_experiment
from raymm.launch.structures import make_structures, structures_folder
from raymm.models.sieoug.structure import ACROSS

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def _experiment(tmp_path, *changes):
    return build_experiment(config.override({}, [f"scale.structures={tmp_path}", *changes]))


def test_a_structure_is_made_once_for_the_same_data_and_settings(prepared_sample, tmp_path):
    prepared = open_prepared(prepared_sample)
    first = make_structures(_experiment(tmp_path), prepared, "drawn")
    assert [made.name for made in first] == ["arts", "office", "arts-office"]
    assert [made.facts["structure.reused"] for made in first] == [0, 0, 0]
    # Neither the seed nor what is learned plays a part in the graph of items.
    again = make_structures(_experiment(tmp_path, "train.seed=3", "settings.width=8"), prepared, "drawn")
    assert [made.folder for made in again] == [made.folder for made in first]
    assert [made.facts["structure.reused"] for made in again] == [1, 1, 1]
    assert len(list(tmp_path.iterdir())) == 3
    graph = first[0].open().matrices["pair"]
    chain = [graph.data]
    while chain[-1] is not None and not isinstance(chain[-1], np.memmap):
        chain.append(chain[-1].base)
    assert chain[-1] is not None, "read, not mapped"
    assert graph.shape == (prepared.domains[0].n_items,) * 2
    assert first[0].facts["fusion.edges"] == graph.nnz > 0
    other = make_structures(_experiment(tmp_path, "settings.fusion.beta=0.2"), prepared, "drawn")
    assert {made.folder for made in other} & {made.folder for made in first} == {first[2].folder}


def test_votes_across_are_made_anew_for_other_pairs_or_settings_only(prepared_sample, tmp_path):
    here = "scale.workers=0"
    prepared, experiment = open_prepared(prepared_sample), _experiment(tmp_path, here)
    drawn = make_structures(experiment, prepared, "drawn")
    folders = {drawn[2].folder}
    for known_pairs in ("none", "true", "shuffled"):
        made = make_structures(experiment, prepared, known_pairs)
        assert [part.folder for part in made[:2]] == [part.folder for part in drawn[:2]]
        across = made[2].open().matrices
        shapes = [tuple(facts.n_items for facts in domains) for domains in (prepared.domains[::-1], prepared.domains)]
        assert [across[name].shape for name in ACROSS] == shapes
        assert made[2].facts["votes.entries"] == sum(matrix.nnz for matrix in across.values())
        assert bool(made[2].facts["votes.entries"]) == (known_pairs != "none")
        folders.add(made[2].folder)
    folders.add(
        make_structures(_experiment(tmp_path, here, "settings.votes.cross_ridge=50"), prepared, "drawn")[2].folder
    )
    assert len(folders) == 5
    lighter = make_structures(_experiment(tmp_path, here, "settings.votes.cross=0.5"), prepared, "drawn")
    assert lighter[2].folder == drawn[2].folder
    none = make_structures(_experiment(tmp_path, here, "settings.votes.cross=0"), prepared, "drawn")
    assert (none[2].folder, none[2].facts) == ("", {})


def test_tasks_make_what_this_process_makes(prepared_sample, tmp_path, ray_cluster):
    prepared = open_prepared(prepared_sample)
    kept = [
        make_structures(_experiment(tmp_path / str(workers), f"scale.workers={workers}"), prepared, "drawn")
        for workers in (0, 1)
    ]
    for here, there in zip(*kept, strict=True):
        assert here.name == there.name
        left, right = here.open().matrices, there.open().matrices
        assert set(left) == set(right)
        for name, matrix in left.items():
            assert matrix.shape == right[name].shape
            assert abs(matrix - right[name]).max() < 1e-5


def test_one_that_was_changed_is_refused_and_says_what_to_do(prepared_sample, tmp_path):
    prepared = open_prepared(prepared_sample)
    experiment = _experiment(tmp_path)
    arts, *_ = make_structures(experiment, prepared, "drawn")
    path = Path(arts.folder) / "pair.data.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-4] + b"\0\0\0\1")
    with pytest.raises(ArtefactError, match="changed since") as caught:
        make_structures(experiment, prepared, "drawn")
    assert "made anew" in caught.value.remedy
    path.write_bytes(whole[:200])
    with pytest.raises(ArtefactError):
        arts.open()
    path.write_bytes(whole)
    stale = tmp_path / f"arts-{'0' * 16}"  # another fingerprint under this run's name
    real = path.parent.rename(stale)
    shutil.copytree(real, path.parent)
    manifest = path.parent / "manifest.json"
    manifest.write_text(manifest.read_text().replace(path.parent.name.rpartition("-")[2], "0" * 16))
    with pytest.raises(ArtefactError, match="fingerprint 0000"):
        make_structures(experiment, prepared, "drawn")


def test_models_without_graphs_of_items_leave_nothing(prepared_sample, tmp_path):
    prepared = open_prepared(prepared_sample).only("arts")
    (made,) = make_structures(_experiment(tmp_path, "model=lightgcn", "train.domain=arts"), prepared, "drawn")
    assert not made.folder
    assert not made.open().matrices
    assert not list(tmp_path.iterdir())


def test_by_default_they_stand_beside_the_prepared_set(prepared_sample):
    prepared = open_prepared(prepared_sample)
    folder = structures_folder(build_experiment({}), prepared)
    assert folder == prepared_sample.with_name("arts_office.structures")
