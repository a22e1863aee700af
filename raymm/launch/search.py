"""Where the trials of a sweep come from: Optuna, chance, a grid or a list, each combination once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from raymm.artefacts import fingerprint
from raymm.launch.space import Space, draw, grid

METRIC, MODE = "value", "max"

_ATTEMPTS = 100  # to find a combination that was not tried; small spaces are soon used up


@dataclass(frozen=True, eq=False)
class Trial:
    """One trial: its name in the sweep, and dotted names of settings to the values that it tries."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Past:
    """A trial that ended, in this sweep, maybe before its driver was started again.

    Attributes:
        trial: The trial.
        value: Best validation value; None if it failed.
        curve: Epoch and best value until then, for schedulers.
    """

    trial: Trial
    value: float | None
    curve: tuple[tuple[int, float], ...]


class Source(Protocol):
    """Proposes values, and may learn from what came of them."""

    def propose(self, key: str) -> dict[str, Any] | None:
        """Return values to try next; None when there are no more."""
        ...

    def tell(self, key: str, values: Mapping[str, Any], value: float | None) -> None:
        """Say what came of a proposal, or of values from elsewhere; None for a failure."""
        ...


class Sequential:
    """`Source` of values that are fixed beforehand.

    Args:
        values: The values, in order.
    """

    def __init__(self, values: Iterable[dict[str, Any]]) -> None:
        self._values = list(values)  # Ray Tune writes a search to its files, which no iterator bears
        self._place = 0

    def propose(self, key: str) -> dict[str, Any] | None:  # noqa: ARG002 - others need the key
        """Return the next; see `Source`."""
        self._place += 1
        return self._values[self._place - 1] if self._place <= len(self._values) else None

    def tell(self, key: str, values: Mapping[str, Any], value: float | None) -> None:
        """Learn nothing; see `Source`."""


class Tpe:
    """`Source` that learns: Optuna's tree-structured Parzen estimator, through Ray Tune.

    Args:
        space: The space.
        seed: Of its draws; the search also hangs on the order in which trials end.
        past: Trials that ended before, which it learns from.
    """

    def __init__(self, space: Space, seed: int, past: Sequence[Past]) -> None:
        logging.getLogger("optuna").setLevel(logging.WARNING)
        # After a restart the same seed would draw the first proposals once more.
        drawn = int(np.random.default_rng([seed, len(past)]).integers(2**31))
        domains = {name: dimension.domain() for name, dimension in space.items()}
        self._search: Any = OptunaSearch(
            OptunaSearch.convert_search_space(domains), metric=METRIC, mode=MODE, seed=drawn
        )
        self._asked: set[str] = set()
        for one in past:
            self._add(one.trial.values, one.value)

    def propose(self, key: str) -> dict[str, Any] | None:
        """Ask Optuna; see `Source`."""
        self._asked.add(key)
        return dict(self._search.suggest(key))

    def tell(self, key: str, values: Mapping[str, Any], value: float | None) -> None:
        """Tell Optuna; see `Source`."""
        if key in self._asked:
            self._asked.remove(key)
            self._search.on_trial_complete(key, None if value is None else {METRIC: value}, error=value is None)
        else:
            self._add(values, value)

    def _add(self, values: Mapping[str, Any], value: float | None) -> None:
        self._search.add_evaluated_point(dict(values), value, error=value is None)


def make_source(method: str, space: Space, seed: int, trials: int, past: Sequence[Past]) -> Source:
    """Make the source of a search.

    Args:
        method: `optuna`, `random` or `grid`.
        space: The space.
        seed: Seed of what is drawn. A grid of more than `trials` points is gone through in an order drawn by it.
        trials: How many there will be.
        past: Trials that ended.
    """
    if method == "optuna":
        return Tpe(space, seed, past)
    if method == "random":
        points = [draw(space, seed, number) for number in range(_ATTEMPTS * trials)]
    else:
        points = list(grid(space))
        if len(points) > trials:
            points = [points[place] for place in np.random.default_rng(seed).permutation(len(points))]
    ended = {_mark(one.trial.values) for one in past}
    return Sequential(values for values in points if _mark(values) not in ended)


class Trials(Searcher):  # type: ignore[misc]
    """Ray Tune's view of a source: trials with names, first those that were interrupted, none twice.

    Args:
        source: Proposes values.
        waiting: Trials that were started and did not end.
        count: Number of trials to propose beyond those.
        name: Makes the name of the trial of a number, counted from 0 in this search.
        past: Trials that ended, not to be tried again.
    """

    def __init__(
        self,
        source: Source,
        waiting: Sequence[Trial],
        count: int,
        name: Callable[[int], str],
        past: Sequence[Past],
    ) -> None:
        super().__init__(metric=METRIC, mode=MODE)
        self._source, self._waiting, self._count, self._name = source, list(waiting), count, name
        self._results = {_mark(one.trial.values): one.value for one in past}
        self._seen = set(self._results) | {_mark(trial.values) for trial in waiting}
        self._number = len(past) + len(waiting)
        self._keys: dict[str, str] = {}  # under which the source knows a trial of Ray Tune
        self.trials: dict[str, Trial] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration for Ray Tune, or that there are no more."""
        if self._waiting:
            trial = self._waiting.pop(0)
        else:
            values = self._fresh(trial_id) if self._count > 0 else None
            if values is None:
                self._count = 0
                return Searcher.FINISHED
            trial = Trial(self._name(self._number), values)
            self._number, self._count = self._number + 1, self._count - 1
            self._seen.add(_mark(values))
        self.trials[trial_id] = trial
        return {"trial": trial.name, "values": dict(trial.values)}

    def all(self) -> tuple[Trial, ...]:
        """Return all trials at once, none of which can learn from another; nothing is left to suggest."""
        number = len(self.trials)
        while self.suggest(f"member {number}") != Searcher.FINISHED:
            number = len(self.trials)
        return tuple(self.trials.values())

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Tell the source what came of a trial."""
        trial = self.trials[trial_id]
        value = None if error or not result else result.get(METRIC)
        self._results[_mark(trial.values)] = value
        self._source.tell(self._keys.get(trial_id, trial_id), trial.values, value)

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the sweep's own ledger says what ended."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing, see `save`."""

    def _fresh(self, trial_id: str) -> dict[str, Any] | None:
        """Propose until something new comes; what is known already is told at once, without a trial."""
        for attempt in range(_ATTEMPTS):
            key = trial_id if attempt == 0 else f"{trial_id}.{attempt}"
            values = self._source.propose(key)
            if values is None:
                return None
            if _mark(values) not in self._seen:
                self._keys[trial_id] = key
                return values
            self._source.tell(key, values, self._results.get(_mark(values)))
        return None


def listed(trials: Sequence[Trial]) -> Trials:
    """Make Ray Tune's view of trials that are all known beforehand."""
    return Trials(Sequential(()), trials, 0, str, ())


def _mark(values: Mapping[str, Any]) -> str:
    return fingerprint(dict(values))
