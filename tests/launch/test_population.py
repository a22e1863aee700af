"""Population based training by Ray Tune, with work that is too small to be a training."""

import itertools
import json

import pytest
import ray

from raymm.errors import ConfigError
from raymm.launch.population import Population, check_continuous, exchange, in_turns
from raymm.launch.search import Trial
from raymm.launch.space import Dimension
from raymm.launch.tune import Round, run_round

SPACE = {"rate": Dimension("loguniform", (1e-3, 1.0)), "weight": Dimension("uniform", (0.0, 2.0))}


def test_only_what_is_continuous_may_change():
    check_continuous(SPACE, "here")
    with pytest.raises(ConfigError, match="width: choice, layers: lograndint") as caught:
        check_continuous(
            {**SPACE, "width": Dimension("choice", (8,)), "layers": Dimension("lograndint", (1, 4))}, "here"
        )
    assert "rate" not in str(caught.value)


def test_changed_values_stay_in_their_ranges_and_do_change():
    scheduler = exchange(SPACE, 2)
    seen = set()
    for _ in range(200):
        start = {"trial": "t", "values": {"rate": 1.0, "weight": 2.0}}
        changed, _ = scheduler._get_new_config(None, type("Donor", (), {"config": start})())
        assert changed["trial"] == "t"
        seen.add((changed["values"]["rate"], changed["values"]["weight"]))
    rates, weights = zip(*seen, strict=True)
    assert min(rates) >= 1e-3
    assert max(rates) == 1.0  # 1.2 is out of range
    assert 0.8 in rates
    assert min(weights) >= 0.0
    assert max(weights) == 2.0
    assert len(set(rates)) > 10  # those that were drawn anew


def test_no_more_processes_than_turns_fit_the_cluster():
    for concurrent in range(1, 25):
        (share,) = in_turns(concurrent).bundles[0].values()
        own = 0.001 * (concurrent + 2)  # of Ray's actors: one for each training, and some for all
        least = int(share * 10_000) / 10_000  # what Ray makes of it
        assert concurrent * share + own <= 1.0 < (concurrent + 1) * least
    assert in_turns(99).bundles == in_turns(24).bundles


def _work(base):
    """Grow by the rate each epoch, and hand over after each second one."""

    def work(name, values, given, report):
        state = json.loads((given / "state").read_text()) if given else {"epoch": 0, "size": 0.0, "of": name}
        size = state["size"]
        for epoch in range(state["epoch"] + 1, 9):
            size += values["rate"]
            told = {"value": size, "best_epoch": epoch, "epoch": epoch, "score": size, "records": []}
            folder = None
            if epoch % 2 == 0 and epoch < 8:
                folder = base / f"{name}-{epoch}"
                folder.mkdir(exist_ok=True)
                (folder / "state").write_text(json.dumps({"epoch": epoch, "size": size, "of": name}))
                told["handed_epoch"] = epoch
            first = epoch == state["epoch"] + 1
            lineage = {"lineage": {"of": state["of"], "epoch": state["epoch"], "size": state["size"]}} if first else {}
            report({**told, **lineage, "finished": epoch == 8}, folder)

    return work


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_worst_goes_on_with_the_weights_of_the_best_and_trials_take_turns(ray_cluster, tmp_path):
    rates = {"t0": 0.001, "t1": 0.002, "t2": 0.9, "t3": 0.3}
    population = Population(tuple(Trial(name, {"rate": rate, "weight": 1.0}) for name, rate in rates.items()))
    events = []
    (tmp_path / "handed").mkdir()
    run_round(Round(_work(tmp_path / "handed"), tmp_path, population, exchange(SPACE, 2), 2), events.append)
    assert {event.name: event.kind for event in events if event.kind != "reported"} == dict.fromkeys(rates, "finished")
    assert [event.name for event in events if event.kind == "started"].count("t0") == 1  # however often it was paused
    told = [(event.name, event.result) for event in events if "lineage" in event.result]
    taken = [(name, result) for name, result in told if result["lineage"]["of"] != name]
    assert taken
    for name, result in taken:
        line = result["lineage"]
        donor = {
            event.result["epoch"]: event.result["value"]
            for event in itertools.takewhile(lambda event, end=result: event.result is not end, events)
            if event.name == line["of"] and event.kind == "reported"
        }
        assert donor[line["epoch"]] == pytest.approx(line["size"])  # its epochs and its weights, as they were then
        assert result["epoch"] == line["epoch"] + 1
        rate = result["value"] - line["size"]
        assert rate != pytest.approx(rates[name])
        assert 1e-3 <= rate <= 1.0
    assert ray.cluster_resources()["CPU"] == 4
