"""Family files: what is wrong with one is said at once, and what is right becomes experiments."""

from pathlib import Path

import pytest

from raymm.errors import ConfigError
from raymm.verbs.family import Family, arms_of, read_family

HEAD = 'title = "t"\nreference = "a"\n'


def read(tmp_path: Path, text: str) -> Family:
    path = tmp_path / "family.toml"
    path.write_text(text)
    return read_family(path)


def found(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        arms_of(read(tmp_path, text), tmp_path / "family.toml")
    assert str(tmp_path / "family.toml") in str(caught.value)
    assert caught.value.remedy
    return caught.value.found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[variants]]\nlabel = "a"\nmodl = "ease"', "did you mean 'model'?"),
        ('[[variants]]\nlabel = "a"\nx = "ten"', "variants[0].x: found 'ten'"),
        ('[[variants]]\nlabel = "b"', "reference: found 'a', expected one of ['b']"),
        ('[[variants]]\nlabel = "a"\n[[variants]]\nlabel = "a"', "all of them different"),
        ('seeds = []\n[[variants]]\nlabel = "a"', "seeds: found []"),
        ('seeds = [-1]\n[[variants]]\nlabel = "a"', "at least 0"),
        ('metrics = ["recall"]\n[[variants]]\nlabel = "a"', "such as recall@20"),
        ('metrics = []\n[[variants]]\nlabel = "a"', "metrics: found none"),
        ('metrics = ["recall@7"]\n[[variants]]\nlabel = "a"', "expected cutoffs among train.cutoffs, 5, 10, 20"),
        ('slices = ["colour"]\n[[variants]]\nlabel = "a"', "slices"),
        ('[[variants]]\nlabel = "a"\nx = 1', "axis.name"),
        ('axis.name = "k"\n[[variants]]\nlabel = "a"', "found no x"),
        ('axis = { name = "k", log = true }\n[[variants]]\nlabel = "a"\nx = 0', "axis.log"),
        ('[[variants]]\nlabel = "a"\nagainst = "c"', "variants[0].against: found 'c'"),
        ('[[variants]]\nlabel = "a"\nmodel = "ease"\nconfig = "e.toml"', "expected one of the two"),
        ('[[variants]]\nlabel = "a"\nknown_pairs = "some"', "known_pairs: found 'some'"),
        ('metrics = ["mse"]\n[[variants]]\nlabel = "a"\nmodel = "ease"', "mse and mae of models of ratings"),
        ('metrics = ["mse"]\nslices = ["user history"]\n[[variants]]\nlabel = "a"\nmodel = "mimnet"', "expected none"),
        ('[[variants]]\nlabel = "a"\nmodel = "mimnet"', "mse and mae of models of ratings"),
        ('[[variants]]\nlabel = "a"\nmodel = "easy"', "variant 'a': 'easy', expected one of"),
        ('[[variants]]\nlabel = "a"\nmodel = "gume"\nsettings.graph.neighbors = 3', "settings.graph.neighbors"),
        (
            'base.model = "gume"\n[[variants]]\nlabel = "a"\n[[variants]]\nlabel = "b"\nsettings.width = 64',
            "the same training as 'a'",
        ),
        (
            'base.model = "ease"\n[[variants]]\nlabel = "a"\n[[variants]]\nlabel = "b"\ntrain.candidates = 99',
            "train.candidates of 'a': 0, 'b': 99",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    assert words in found(tmp_path, HEAD + text)


def test_all_that_is_wrong_with_variants_is_said_at_once(tmp_path):
    text = '[[variants]]\nlabel = "a"\nsettings.wide = 1\n[[variants]]\nlabel = "b"\ntrain.bach = 1'
    words = found(tmp_path, HEAD + text)
    assert "variant 'a'" in words
    assert "variant 'b'" in words


def test_variants_lie_over_the_base(tmp_path):
    text = HEAD + (
        'seeds = [3, 5]\n[base]\nmodel = "gume"\npreset = "paper"\nsettings.width = 32\n'
        '[base.train.loop]\nepochs = 9\nselection = "recall@20"\n'
        '[base.train]\nbatch_size = 512\ndomain = "films"\n[[variants]]\nlabel = "a"\n'
        '[[variants]]\nlabel = "b"\nsettings.graph.link_neighbours = 0\nprepare.overlap.shared_ratio = 0.2\n'
        '[[variants]]\nlabel = "c"\nmodel = "ease"\n'
        '[[variants]]\nlabel = "d"\nmodel = "lightgcn"\nagainst = "c"\n'
    )
    arms = arms_of(read(tmp_path, text), tmp_path / "family.toml")
    a, b, c, d = (arm.experiment for arm in arms)
    assert (a.preset, a.settings.width, a.train.batch_size) == ("paper", 32, 512)
    assert (b.settings.width, b.settings.graph.link_neighbours, a.settings.graph.link_neighbours) == (32, 0, 10)
    assert arms[1].variant.prepare == {"overlap": {"shared_ratio": 0.2}}
    # A model of its own has settings of its own; a closed form takes neither batches nor a second seed.
    assert (c.preset, c.train.domain, list(arms[2].experiments)) == ("default", "films", [3])
    assert (a.train.loop.epochs, c.train.loop.selection) == (9, "recall@20")
    assert (d.preset, d.settings.width, d.train.batch_size) == ("default", 64, 512)
    assert {seed: one.train.seed for seed, one in arms[3].experiments.items()} == {3: 3, 5: 5}
    assert [arm.against for arm in arms] == ["", "a", "a", "c"]


def test_an_experiment_file_can_stand_for_the_base(tmp_path):
    (tmp_path / "best.toml").write_text('model = "ease"\n[settings]\nridge = 7.0\n')
    text = (
        HEAD
        + '[base]\nmodel = "popularity"\n[[variants]]\nlabel = "a"\n[[variants]]\nlabel = "b"\nconfig = "best.toml"'
    )
    arms = arms_of(read(tmp_path, text), tmp_path / "family.toml")
    assert (arms[1].experiment.model, arms[1].experiment.settings.ridge) == ("ease", 7.0)


def test_the_command_line_changes_who_has_the_setting(tmp_path):
    text = (
        HEAD
        + 'domain = "x"\n[[variants]]\nlabel = "a"\n[[variants]]\nlabel = "b"\nmodel = "ease"\n[base]\nmodel = "gume"'
    )
    family = read(tmp_path, text)
    arms = arms_of(family, tmp_path / "family.toml", ["train.loop.epochs=3"], workers=4)
    assert arms[0].experiment.train.loop.epochs == 3
    assert [arm.experiment.scale.workers for arm in arms] == [4, 4]
    assert [arm.experiment.train.domain for arm in arms] == ["x", "x"]
    with pytest.raises(ConfigError, match="epoch"):
        arms_of(family, tmp_path / "family.toml", ["train.loop.epoch=3"])


def test_a_model_of_two_domains_keeps_both(tmp_path):
    text = HEAD + 'domain = "x"\n[[variants]]\nlabel = "a"\nmodel = "sieoug"\n'
    assert arms_of(read(tmp_path, text), tmp_path / "family.toml")[0].experiment.train.domain == ""
