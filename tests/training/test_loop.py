import json
import math
from dataclasses import asdict

import pytest
import torch

from raymm.errors import TrainingError
from raymm.parallel.grid import single
from raymm.training.loop import LoopConfig, LoopState, Pause, train
from tests.training.test_engine import torch_engine
from tests.training.toy import Toy, toy_source


class _Counting:
    """An engine that only counts."""

    def __init__(self):
        self.steps = 0
        self.epochs = []

    def start_epoch(self, epoch):
        self.epochs.append(epoch)

    def step(self, batch):
        self.steps += 1
        return {"loss": float(self.steps)}

    def save(self, folder):
        raise AssertionError("the caller saves, not the loop")

    load = save


def _run(values, config, state=None, engine=None):
    remaining = iter(values)
    engine = engine or _Counting()
    return list(train(Toy(single()), engine, toy_source(single()), lambda: {"m": next(remaining)}, config, state))


def test_stops_after_as_many_validations_without_gain_as_patience_says():
    records = _run([0.1, 0.3, 0.3, 0.2, 0.25, 9.0], LoopConfig(epochs=50, patience=3, selection="m"))
    assert [record.epoch for record in records] == [1, 2, 3, 4, 5]
    assert [record.improved for record in records] == [True, True, False, False, False]
    assert [record.finished for record in records] == [False] * 4 + [True]
    assert (records[-1].state.best, records[-1].state.best_epoch) == (0.3, 2)


def test_a_patience_of_21_stops_at_the_21st_epoch_without_gain():
    records = _run([0.5, *[0.5] * 30], LoopConfig(epochs=50, patience=21, selection="m"))
    assert len(records) == 1 + 21


def test_gains_that_rounding_hides_are_none():
    values, config = [0.12341, 0.1234, 0.12344, 0.1236, 0.1], LoopConfig(epochs=5, selection="m")
    assert [record.improved for record in _run(values, config)] == [True, False, True, True, False]
    rounded = _run(values, LoopConfig(epochs=5, selection="m", selection_decimals=4))
    assert [record.improved for record in rounded] == [True, False, False, True, False]
    assert rounded[-1].state.best == 0.1236
    assert rounded[2].validation == {"m": 0.12344}


def test_the_engine_is_told_the_epoch_that_begins_after_a_resume_too():
    engine = _Counting()
    _run([1, 2], LoopConfig(epochs=5, selection="m"), LoopState(epoch=3, best=0.0, best_epoch=1), engine)
    assert engine.epochs == [4, 5]


def test_every_epoch_has_the_same_steps_and_mean_losses():
    engine = _Counting()
    records = _run([1, 2, 3], LoopConfig(epochs=3, selection="m"), engine=engine)
    assert engine.steps == 3 * toy_source(single()).steps_per_epoch == 15
    assert [record.losses["loss"] for record in records] == [3.0, 8.0, 13.0]
    assert records[0].diagnostics == {"toy.epoch": 1.0, "toy.seen": 1.0}


def test_validates_only_when_due_and_always_at_the_end():
    records = _run([1, 2], LoopConfig(epochs=5, validate_every=3, selection="m"))
    assert [bool(record.validation) for record in records] == [False, False, True, False, True]


def test_a_resumed_loop_equals_an_uninterrupted_one():
    config = LoopConfig(epochs=4, selection="m")
    values = [0.4, 0.1, 0.5, 0.2]
    whole = _run(values, config, engine=torch_engine(single()))
    engine = torch_engine(single())
    remaining = iter(values)
    first = train(Toy(single()), engine, toy_source(single()), lambda: {"m": next(remaining)}, config)
    state = [next(first), next(first)][-1].state
    rest = _run(values[2:], config, state, engine)
    assert [record.losses for record in rest] == [record.losses for record in whole[2:]]
    assert [record.state for record in rest] == [record.state for record in whole[2:]]


def test_a_finished_state_trains_no_more():
    assert _run([], LoopConfig(epochs=3), LoopState(epoch=3, best=1.0, best_epoch=1)) == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_selection_metric_that_is_not_finite_is_an_error(value):
    with pytest.raises(TrainingError, match="m = "):
        _run([value], LoopConfig(selection="m"))


def test_an_unknown_selection_metric_lists_the_known():
    with pytest.raises(TrainingError, match="computed are m"):
        _run([1.0], LoopConfig(selection="ndcg@99"))


class _Seen:
    """A source that notes which rows it gave."""

    def __init__(self):
        self._own, self.rows = toy_source(single()), []

    @property
    def steps_per_epoch(self):
        return self._own.steps_per_epoch

    def epoch(self, epoch, start_step=0):
        for batch in self._own.epoch(epoch, start_step):
            self.rows.append((epoch, tuple(torch.cat([t.users, t.positives]).tolist() for t in batch.domains)))
            yield batch


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_loop_resumed_within_an_epoch_sees_every_other_row_once_and_equals_an_uninterrupted_one(stop, tmp_path):
    config = LoopConfig(epochs=3, selection="m")
    whole_source, whole_engine = _Seen(), torch_engine(single())
    whole = list(train(Toy(single()), whole_engine, whole_source, lambda: {"m": 0.5}, config))
    assert len(whole_source.rows) == 15

    class KilledError(Exception):
        """Stands for the end of the process."""

    def keep(state):
        if (state.epoch, state.step) == (1, stop):
            engine.save(tmp_path)
            (tmp_path / "loop.json").write_text(json.dumps(asdict(state)))
            raise KilledError

    source, engine = _Seen(), torch_engine(single())
    records = []
    with pytest.raises(KilledError):
        records.extend(train(Toy(single()), engine, source, lambda: {"m": 0.5}, config, pause=Pause(stop, keep)))
    second = torch_engine(single(), seed=5)
    second.load(tmp_path)
    state = LoopState(**json.loads((tmp_path / "loop.json").read_text()))
    rest = list(train(Toy(single()), second, source, lambda: {"m": 0.5}, config, state))
    assert source.rows == whole_source.rows
    assert [record.epoch for record in rest] == [2, 3]
    assert [record.losses for record in rest] == [record.losses for record in whole[1:]]
    assert [record.state for record in rest] == [record.state for record in whole[1:]]


def test_pauses_come_within_an_epoch_only_and_as_often_as_asked():
    seen = []
    config = LoopConfig(epochs=2, selection="m")
    pause = Pause(2, lambda state: seen.append((state.epoch, state.step, dict(state.sums))))
    list(train(Toy(single()), _Counting(), toy_source(single()), lambda: {"m": 0.5}, config, pause=pause))
    assert [entry[:2] for entry in seen] == [(0, 2), (0, 4), (1, 2), (1, 4)]
    assert seen[1][2] == {"loss": 1.0 + 2 + 3 + 4}
    calls = len(seen)
    list(
        train(Toy(single()), _Counting(), toy_source(single()), lambda: {"m": 0.5}, config, pause=Pause(0, pause.call))
    )
    assert len(seen) == calls
