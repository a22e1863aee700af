"""The job of several seeds writes a family that builds."""

import runpy
from argparse import Namespace
from pathlib import Path

from raymm.verbs.family import arms_of, read_family

JOB = Path(__file__).parents[2] / "jobs" / "seeds.py"


def test_the_family_is_the_model_beside_the_plainest_ones(tmp_path):
    family_text = runpy.run_path(str(JOB))["family_text"]
    chosen = Namespace(
        model="sieoug",
        preset="paper",
        set=["settings.transfer.weight=0", "train.loop.epochs=7"],
        seeds=[4, 5],
        known_pairs="none",
    )
    path = tmp_path / "family.toml"
    path.write_text(family_text(chosen))
    own, popularity, neighbours = arms_of(read_family(path), path)
    assert list(own.experiments) == [4, 5]
    assert (own.experiment.preset, own.experiment.settings.transfer.weight) == ("paper", 0)
    assert (own.experiment.train.loop.epochs, own.variant.known_pairs, own.against) == (7, "none", "popularity")
    assert [popularity.experiment.model, neighbours.experiment.model] == ["popularity", "item_knn"]
    path.write_text(family_text(Namespace(**{**vars(chosen), "model": "popularity", "set": [], "preset": "default"})))
    assert [arm.label for arm in arms_of(read_family(path), path)] == ["popularity", "item k-NN"]
