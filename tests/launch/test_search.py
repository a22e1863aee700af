import pytest
from ray.tune.search import Searcher

from raymm.launch.search import Past, Sequential, Tpe, Trial, Trials, listed, make_source
from raymm.launch.space import Dimension

SPACE = {"a": Dimension("choice", (1, 2, 3)), "b": Dimension("uniform", (0.0, 1.0))}
SMALL = {"a": Dimension("choice", (1, 2))}


def _names(number):
    return f"m-{number:03d}"


def _all(trials):
    found = []
    while (config := trials.suggest(f"id{len(found)}")) != Searcher.FINISHED:
        trials.on_trial_complete(f"id{len(found)}", {"value": 0.5})
        found.append((config["trial"], config["values"]))
    return found


def test_interrupted_trials_come_first_under_their_names_and_what_ended_does_not_come_again():
    past = [Past(Trial("m-000", {"a": 1}), 0.3, ())]
    waiting = [Trial("m-001", {"a": 3})]
    values = iter([{"a": 1}, {"a": 3}, {"a": 2}, {"a": 2}, {"a": 4}])
    found = _all(Trials(Sequential(values), waiting, 2, _names, past))
    assert found == [("m-001", {"a": 3}), ("m-002", {"a": 2}), ("m-003", {"a": 4})]


def test_a_space_that_is_used_up_ends_the_search():
    for method in ("optuna", "random", "grid"):
        source = make_source(method, SMALL, 0, 10, ())
        found = _all(Trials(source, [], 10, _names, ()))
        assert sorted(values["a"] for _, values in found) == [1, 2], method


def test_random_search_goes_on_where_it_was():
    first = _all(Trials(make_source("random", SPACE, 7, 6, ()), [], 6, _names, ()))
    past = [Past(Trial(name, values), 0.1, ()) for name, values in first[:3]]
    rest = _all(Trials(make_source("random", SPACE, 7, 6, past), [], 3, _names, past))
    assert first[:3] + rest == first


@pytest.mark.parametrize("method", ["random", "grid"])
def test_a_search_of_which_hundreds_of_trials_ended_goes_on(method):
    space = {"a": Dimension("choice", tuple(range(15))), "b": Dimension("choice", tuple(range(20)))}
    first = _all(Trials(make_source(method, space, 3, 150, ()), [], 150, _names, ()))
    past = [Past(Trial(name, values), 0.1, ()) for name, values in first]
    more = _all(Trials(make_source(method, space, 3, 200, past), [], 50, _names, past))
    assert len(first) == 150
    assert len({tuple(values.values()) for _, values in first + more}) == 200


def test_a_grid_is_whole_or_drawn_from():
    space = {"a": Dimension("choice", (1, 2, 3)), "b": Dimension("choice", (1, 2, 3))}
    assert len(_all(Trials(make_source("grid", space, 0, 9, ()), [], 9, _names, ()))) == 9
    four = _all(Trials(make_source("grid", space, 0, 4, ()), [], 4, _names, ()))
    assert four == _all(Trials(make_source("grid", space, 0, 4, ()), [], 4, _names, ()))
    assert len(four) == 4


def test_tpe_learns_from_trials_of_before_and_from_failures():
    def loss(values):
        return -((values["b"] - 0.8) ** 2)

    past = [Past(Trial(str(n), {"a": 1 + n % 3, "b": n / 30}), loss({"b": n / 30}), ()) for n in range(30)]
    past.append(Past(Trial("failed", {"a": 1, "b": 0.81}), None, ()))
    source = Tpe(SPACE, 0, past)
    drawn = []
    for number in range(10):
        values = source.propose(str(number))
        drawn.append(values["b"])
        source.tell(str(number), values, loss(values))
    assert sum(abs(value - 0.8) < 0.25 for value in drawn) >= 8  # chance would give 4 or 5


def test_what_came_of_a_trial_is_told_whatever_its_key():
    told = []

    class Watched(Sequential):
        def tell(self, key, values, value):
            told.append((dict(values), value))

    trials = Trials(Watched(iter([{"a": 1}, {"a": 1}, {"a": 2}])), [], 3, _names, ())
    for number, result in enumerate(({"value": 0.5}, None)):
        trials.suggest(f"id{number}")
        trials.on_trial_complete(f"id{number}", result, error=result is None)
    assert told == [({"a": 1}, 0.5), ({"a": 1}, 0.5), ({"a": 2}, None)]


def test_a_list_is_gone_through_once():
    trials = [Trial("x", {"a": 1}), Trial("y", {"a": 1})]
    assert [name for name, _ in _all(listed(trials))] == ["x", "y"]


@pytest.mark.parametrize("method", ["random", "grid"])
def test_the_same_search_comes_again(method):
    assert _all(Trials(make_source(method, SPACE, 1, 5, ()), [], 5, _names, ())) == _all(
        Trials(make_source(method, SPACE, 1, 5, ()), [], 5, _names, ())
    )
