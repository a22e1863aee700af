"""The gate: strict, complete in its complaints, and back again unchanged."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import pytest

from raymm import config
from raymm.config import check, setting
from raymm.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    rate: float = setting(0.1, "step size", unit="1/step", gt=0, le=1)
    sizes: tuple[int, ...] = setting((5, 10), "cutoffs", ge=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Source:
    path: str = setting(help="a file")
    limit: int | None = setting(None, "most rows", ge=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Outer:
    name: str = setting(help="what it is called")
    mode: Literal["soft", "hard"] = setting("soft", "how")
    flag: bool = setting(False, "whether")
    inner: Inner = setting(Inner, "the inside")
    sources: tuple[Source, ...] = setting((), "files")
    extra: dict[str, float] = setting(dict, "weights by name")

    def __post_init__(self) -> None:
        check(self)
        if self.mode == "hard" and not self.flag:
            raise ConfigError("mode: found 'hard' without flag, expected flag = true")


def _problems(values: dict) -> str:
    with pytest.raises(ConfigError) as error:
        config.build(Outer, values, "run.toml")
    assert error.value.where == "run.toml"
    return error.value.found


def test_defaults_fill_what_is_left_out() -> None:
    assert config.build(Outer, {"name": "a"}) == Outer(name="a")
    assert Outer(name="a").inner is not Outer(name="b").inner
    assert Outer(name="a").extra is not Outer(name="b").extra


def test_plain_data_come_back_unchanged() -> None:
    original = Outer("a", "hard", True, Inner(1.0, (3,)), (Source("x"), Source("y", 5)), {"w": 0.5})
    plain = config.plain(original)
    assert plain["inner"] == {"rate": 1.0, "sizes": [3]}
    assert config.build(Outer, plain) == original


def test_a_whole_number_is_taken_where_a_float_is_wanted_and_nothing_else_is_converted() -> None:
    assert config.build(Outer, {"name": "a", "inner": {"rate": 1}}).inner.rate == 1.0
    for values in (
        {"name": 3},
        {"name": "a", "flag": 1},
        {"name": "a", "flag": "true"},
        {"name": "a", "inner": {"rate": "0.1"}},
        {"name": "a", "inner": {"rate": True}},
        {"name": "a", "inner": {"sizes": [1.5]}},
        {"name": "a", "inner": {"sizes": 5}},
        {"name": "a", "inner": {"sizes": None}},
    ):
        assert "expected" in _problems(values)


def test_all_problems_are_listed_together_with_their_paths() -> None:
    found = _problems(
        {
            "nam": "a",
            "mode": "medium",
            "inner": {"rate": 2.0, "sises": [1]},
            "sources": [{"path": "x", "limit": 0}, {"pth": "y"}],
        }
    )
    lines = found.splitlines()
    assert "nam: unknown setting; did you mean 'name'?" in lines
    assert "name: missing; expected text" in lines
    assert "mode: found 'medium', expected one of 'soft', 'hard'" in lines
    assert "inner.sises: unknown setting; did you mean 'sizes'?" in lines
    assert "sources[0].limit: found 0, expected at least 1" in lines
    assert "sources[1].pth: unknown setting; did you mean 'path'?" in lines
    assert "sources[1].path: missing; expected text" in lines
    assert "inner.rate: found 2.0, expected at most 1" in lines
    assert len(lines) == 8


def test_limits_hold_for_each_number_and_for_values_that_are_not_numbers_at_all() -> None:
    assert "inner.rate: found 0.0, expected greater than 0" in _problems({"name": "a", "inner": {"rate": 0.0}})
    assert "inner.rate: found nan" in _problems({"name": "a", "inner": {"rate": float("nan")}})
    assert "inner.sizes" in _problems({"name": "a", "inner": {"sizes": [5, 0]}})
    with pytest.raises(ConfigError, match="at most 1"):
        Inner(rate=1.5)


def test_rules_between_settings_carry_the_path() -> None:
    assert _problems({"name": "a", "mode": "hard"}) == "mode: found 'hard' without flag, expected flag = true"


@pytest.mark.parametrize("values", [None, 5, "text", [], [{"name": "a"}]])
def test_something_else_than_a_table_is_refused(values) -> None:
    assert "expected a table of settings" in _problems(values)
    assert "inner: found" in _problems({"name": "a", "inner": 5})
    assert "sources: found" in _problems({"name": "a", "sources": {"path": "x"}})


def test_a_frozen_config_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Inner().rate = 0.5


def test_overrides_are_toml_and_bare_words_are_text() -> None:
    values = {"name": "a", "inner": {"rate": 0.1}}
    changed = config.override(
        values, ["name=two words", "inner.rate=0.5", "flag=true", "inner.sizes=[1, 2]", 'mode="hard"', "extra.w=1e-3"]
    )
    built = config.build(Outer, changed)
    assert built == Outer("two words", "hard", True, Inner(0.5, (1, 2)), (), {"w": 0.001})
    assert values == {"name": "a", "inner": {"rate": 0.1}}


def test_overrides_leave_other_values_as_toml_had_them(tmp_path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("name = 1979-05-27\n[inner]\nrate = inf\n")
    changed = config.override(config.read_toml(path), ["flag=true"])
    assert changed["flag"] is True
    assert changed["inner"]["rate"] == float("inf")
    assert "inner.rate" in _problems(changed)


@pytest.mark.parametrize("assignment", ["name", "=5", " =5", "name.deeper=5", "inner.rate.deeper=5"])
def test_overrides_that_make_no_sense_are_refused(assignment: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.override({"name": "a", "inner": {"rate": 0.1}}, [assignment])
    assert "--set" in error.value.where


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"a = 1\na = 2", None])
def test_files_that_are_no_toml_are_refused(content: bytes | None, tmp_path) -> None:
    path = tmp_path / "run.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        config.read_toml(path)
    assert error.value.where == str(path)
    with pytest.raises(ConfigError):
        config.read_toml(tmp_path)


def test_settings_are_described_with_unit_limits_and_choices() -> None:
    rows = {name: (default, words) for name, default, words in config.describe(Outer)}
    assert set(rows) == {"name", "mode", "flag", "inner.rate", "inner.sizes", "sources", "extra"}
    assert rows["name"][0] == "(required)"
    assert rows["inner.rate"] == ("0.1", "step size [1/step] greater than 0 at most 1")
    assert rows["mode"] == ('"soft"', "how one of soft, hard")
    assert rows["extra"][0] == "{}"


def test_nested_values_are_flattened_to_dotted_names() -> None:
    assert config.flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": None}) == {"a.b": 1, "a.c.d": [2], "e": None}


def test_changes_are_laid_over_tables_and_replace_everything_else() -> None:
    values = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    assert config.merged(values, {"a": {"c": [9], "e": {"f": 0}}, "d": {"g": 1}}) == {
        "a": {"b": 1, "c": [9], "e": {"f": 0}},
        "d": {"g": 1},
    }
    assert values == {"a": {"b": 1, "c": [1, 2]}, "d": 3}
