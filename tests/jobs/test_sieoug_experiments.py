"""Every family of SIEOUG's experiments is one: its variants build, differ, and fit a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.data.recipe import read_recipe
from raymm.verbs.family import arms_of, read_family

JOBS = Path(__file__).parents[2] / "jobs"
FAMILIES = sorted((JOBS / "experiments").glob("sieoug_*.toml"))
SHORT = JOBS.parent / "raymm" / "data" / "samples" / "arts_office" / "short.toml"


@pytest.mark.parametrize("path", FAMILIES, ids=lambda path: path.stem)
def test_the_variants_build_and_fit_the_recipe(path: Path) -> None:
    family = read_family(path)
    arms = arms_of(family, path)
    assert len(arms) == len(family.variants) >= 3
    assert len(family.seeds) >= 3
    for arm in arms:
        recipe = read_recipe(SHORT, arm.variant.prepare)
        assert len(recipe.domains) == 2


def test_there_is_a_family_for_each_question() -> None:
    named = {path.stem.removeprefix("sieoug_") for path in FAMILIES}
    questions = {"overlap", "clusters", "attention", "ladder", "noise", "cluster_count", "epsilon", "baselines"}
    assert questions <= named


def test_the_questions_are_what_they_say() -> None:
    by_name = {path.stem: arms_of(read_family(path), path) for path in FAMILIES}
    shares = [arm.variant.prepare["overlap"]["shared_ratio"] for arm in by_name["sieoug_overlap"] if arm.variant.x]
    assert sorted(set(shares)) == [0.01, 0.1, 0.5, 0.9, 0.99]
    assert {arm.variant.known_pairs for arm in by_name["sieoug_overlap"]} == {"drawn", "shuffled", "true"}
    noise = {arm.variant.prepare["features"][1]["noise"] for arm in by_name["sieoug_noise"]}
    assert len(noise) == 5
    assert {arm.experiment.settings.fusion.solver for arm in by_name["sieoug_noise"]} == {"closed_form", "mean"}
    methods = {arm.experiment.settings.hypergraph.method for arm in by_name["sieoug_clusters"]}
    assert methods == {"transport", "kmeans", "gumbel"}
    bare = next(arm for arm in by_name["sieoug_ladder"] if arm.label == "bare").experiment.settings
    assert (bare.views.pair_weight, bare.views.hyper_weight, bare.votes.weight, bare.transfer.weight) == (0, 0, 0, 0)
    alone = next(arm for arm in by_name["sieoug_overlap"] if arm.label == "no transfer").experiment.settings
    assert (alone.votes.cross, alone.transfer.weight) == (0, 0)
    assert read_recipe(SHORT).truncation.lengths == (0, 1, 2, 5)
