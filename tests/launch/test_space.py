import math

import numpy as np
import pytest
from ray import tune

from raymm.errors import ConfigError
from raymm.launch.space import Dimension, draw, find_space, grid, plain_space, read_space

PYTHON = """
from ray import tune

raise SystemExit("a space is read, not run")
SPACE = {
    "settings.width": tune.choice([16, 32]),
    "settings.dropout": tune.uniform(0, 0.5),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 1e-2),
    "settings.layers": tune.randint(1, 4),
    "settings.users": tune.lograndint(4, 65),
}
"""
TOML = """
[settings.width]
choice = [16, 32]
[settings.dropout]
uniform = [0, 0.5]
[train.optimizer.learning_rate]
loguniform = [1e-4, 1e-2]
[settings]
layers = { randint = [1, 4] }
users = { lograndint = [4, 65] }
"""


def _written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_python_and_toml_say_the_same(tmp_path):
    from_python = read_space(_written(tmp_path, "a.py", PYTHON))
    from_toml = read_space(_written(tmp_path, "a.toml", TOML))
    assert dict(from_python) == dict(from_toml)
    assert plain_space(from_python)["settings.width"] == {"choice": [16, 32]}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('"a": tune.choice([])', "at least one choice"),
        ('"a": tune.choice([[1]])', "choices and limits"),
        ('"a": tune.uniform(1, 0)', "low < high"),
        ('"a": tune.loguniform(0, 1)', "low < high, above 0"),
        ('"a": tune.randint(0.5, 3)', "randint"),
        ('"a": tune.sample_from(lambda: 1)', "line 2"),
        ('"a": __import__("os").system("touch harm")', "line 2"),
        ('"a": 3', "line 2"),
        ("", "an empty space"),
    ],
)
def test_what_is_no_space_is_refused(tmp_path, line, words):
    path = _written(tmp_path, "a.py", "SPACE = {\n" + line + "\n}")
    with pytest.raises(ConfigError, match=words):
        read_space(path)


def test_files_without_a_space_are_refused(tmp_path):
    for name, text in (("a.py", "x = 1"), ("b.py", "def"), ("c.toml", "a = 3")):
        with pytest.raises(ConfigError):
            read_space(_written(tmp_path, name, text))
    with pytest.raises(ConfigError, match="unreadable"):
        read_space(tmp_path / "missing.py")


def test_draws_stay_in_the_space_fill_it_and_come_again(tmp_path):
    space = read_space(_written(tmp_path, "a.py", PYTHON))
    drawn = [draw(space, 3, number) for number in range(2000)]
    assert drawn[:5] == [draw(space, 3, number) for number in range(5)]
    assert drawn[:5] != [draw(space, 4, number) for number in range(5)]
    assert {one["settings.width"] for one in drawn} == {16, 32}
    assert {one["settings.layers"] for one in drawn} == {1, 2, 3}
    users = np.array([one["settings.users"] for one in drawn])
    assert users.min() == 4
    assert users.max() == 64
    assert np.mean(users < 16) == pytest.approx(math.log(16 / 4) / math.log(65 / 4), abs=0.05)
    rates = np.log10([one["train.optimizer.learning_rate"] for one in drawn])
    assert np.mean(rates < -3) == pytest.approx(0.5, abs=0.05)


def test_a_grid_is_the_product_of_the_points():
    space = {"a": Dimension("choice", (True, "x")), "b": Dimension("loguniform", (1e-4, 1.0))}
    points = list(grid(space))
    assert len(points) == 6
    assert [point["b"] for point in points[:3]] == [1e-4, pytest.approx(1e-2), 1.0]
    assert Dimension("randint", (1, 6)).points() == (1, 3, 5)
    assert Dimension("lograndint", (1, 2)).points() == (1,)


def test_domains_are_ray_tunes():
    assert isinstance(Dimension("choice", (1, 2)).domain(), tune.search.sample.Categorical)
    range_ = Dimension("loguniform", (0.1, 1.0)).domain()
    assert (range_.lower, range_.upper) == (0.1, 1.0)


def test_a_model_without_a_space_says_where_one_goes():
    assert find_space("lightgcn").is_file()
    with pytest.raises(ConfigError, match=r"tune_spaces/nothing\.py"):
        find_space("nothing")
