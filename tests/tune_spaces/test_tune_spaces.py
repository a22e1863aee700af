"""Every space that is shipped parses, says as Python what it says as data, and fits its model from end to end."""

import ast
from pathlib import Path

import pytest

from raymm.experiment import build_experiment
from raymm.launch.space import read_space
from raymm.models.registry import MODELS
from raymm.verbs.trial import nested

FOLDER = Path(__file__).parents[2] / "tune_spaces"
SPACES = sorted(FOLDER.glob("*.py"))


def model_of(path):
    """A space is named after its model; one that `--space` has to name says what it is after that."""
    return path.stem.partition("_grid")[0]


def test_every_space_is_of_a_model_and_the_main_ones_have_one():
    names = {path.stem for path in SPACES}
    assert {model_of(path) for path in SPACES} <= set(MODELS)
    assert {"sieoug", "gume", "lightgcn", "bprmf", "vbpr", "ease", "item_knn"} <= names


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_point_of_a_setting_is_one_that_the_model_takes(path):
    space = read_space(path)
    default = build_experiment({"model": model_of(path)}).plain()
    for name, dimension in space.items():
        for point in dimension.points():
            built = build_experiment(nested(default, {name: point})).plain()
            for part in name.split("."):
                built = built[part]
            assert built == point


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_a_space_runs_as_python_and_is_what_was_read(path):
    scope: dict = {}
    exec(compile(ast.parse(path.read_text()), str(path), "exec"), scope)  # what Ray Tune's users would do
    read = {name: dimension.domain() for name, dimension in read_space(path).items()}
    assert list(scope["SPACE"]) == list(read)
    for name, domain in scope["SPACE"].items():
        assert repr(domain.sampler) == repr(read[name].sampler) or type(domain.sampler) is type(read[name].sampler)
        assert domain.domain_str == read[name].domain_str
