import numpy as np

from raymm.report.importance import LEAST_TRIALS, best_so_far, importance
from raymm.report.sweep_record import TrialRecord


def _trials(n, value, seed=0):
    generator = np.random.default_rng(seed)
    trials = []
    for number in range(n):
        values = {
            "choice": str(generator.choice(["a", "b", "c"])),
            "range": float(generator.uniform()),
            "noise": float(generator.uniform()),
        }
        trials.append(TrialRecord(str(number), "m", 0, values, state="finished", value=value(values, generator)))
    return trials


def test_the_setting_that_decides_is_found_whether_choice_or_range():
    for decides, value in (
        ("choice", lambda values, generator: {"a": 0, "b": 1, "c": 5}[values["choice"]] + 0.01 * generator.normal()),
        ("range", lambda values, generator: values["range"] + 0.01 * generator.normal()),
    ):
        shares = importance(_trials(60, value), ["choice", "range", "noise"])
        assert next(iter(shares)) == decides
        assert shares[decides] > 0.8
        assert max(share for name, share in shares.items() if name != decides) < 0.2


def test_where_nothing_matters_shares_are_small_on_average():
    shares = [importance(_trials(40, lambda values, g: g.normal(), seed), ["choice"])["choice"] for seed in range(30)]
    assert 0 <= np.mean(shares) < 0.05


def test_few_trials_say_nothing_and_failed_ones_do_not_count():
    few = _trials(LEAST_TRIALS - 1, lambda values, g: values["range"])
    failed = [TrialRecord("x", "m", 0, {"range": 0.5}, state="failed") for _ in range(20)]
    assert importance([*few, *failed], ["range"]) == {}


def test_the_best_so_far_never_falls():
    values = (None, 0.2, 0.1, None, 0.4)
    trials = [TrialRecord(str(n), "m", 0, {}, state="finished", value=value) for n, value in enumerate(values)]
    assert best_so_far(trials) == {"1": 0.2, "2": 0.2, "3": 0.2, "4": 0.4}
