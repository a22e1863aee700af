"""Population based training on Ray Tune: who takes over whose checkpoint, what changes, and how trials take turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import PopulationBasedTraining

from raymm.errors import ConfigError
from raymm.launch.search import MODE, Trial
from raymm.launch.space import Space

SCORE, HANDED = "score", "handed_epoch"
"""What a trial reports beside a checkpoint: its validation value at that epoch, and the epoch."""

_HEAD = "node:__internal_head__"  # a resource of every cluster, of which there is 1
_CONTINUOUS = ("uniform", "loguniform")
_DIGITS = 10_000  # parts of a resource that Ray tells apart
_MOST = 24  # trials at a time, of which Ray's own actors for them still fit the head node


@dataclass(frozen=True, eq=False)
class Population:
    """Trials that are trained beside each other, all known beforehand.

    Attributes:
        trials: The trials; each with a name of its own.
    """

    trials: tuple[Trial, ...]

    def param_space(self) -> dict[str, Any]:
        """Return what Ray Tune makes the trials' configurations of."""
        values = {trial.name: dict(trial.values) for trial in self.trials}
        return {
            "trial": tune.grid_search(list(values)),
            "values": tune.sample_from(lambda config: values[config["trial"]]),
        }


def exchange(space: Space, interval: int) -> Any:
    """Make Ray Tune's scheduler of population based training (M. Jaderberg et al., arXiv 1711.09846, 2017).

    Whenever a trial has handed over a checkpoint `interval` epochs after the last one, it is ranked with all others by
    what they scored last. If it is among the lowest quarter, it takes over the checkpoint of one of the highest quarter
    and that one's values, each drawn anew from its range with probability 1/4, else multiplied by 0.8 or 1.2 and kept
    within its range. Nobody waits for anybody (the paper's asynchronous form). The draws are Ray Tune's own and follow
    no seed.

    Args:
        space: What changes; see `check_continuous`.
        interval: Epochs between two checkpoints that a trial hands over.
    """
    return PopulationBasedTraining(
        time_attr=HANDED,
        metric=SCORE,
        mode=MODE,
        perturbation_interval=interval,
        hyperparam_mutations={"values": {name: dimension.domain() for name, dimension in space.items()}},
        custom_explore_fn=_within(space),
        require_attrs=False,  # epochs between two checkpoints are told, too, and decide nothing
    )


def check_continuous(space: Space, where: str) -> None:
    """Refuse what cannot change within a training: sizes and choices of which parameters and graphs are made.

    Raises:
        ConfigError: A dimension that is neither `uniform` nor `loguniform`.
    """
    others = {name: dimension.kind for name, dimension in space.items() if dimension.kind not in _CONTINUOUS}
    if others:
        fixed = " ".join(f"--set {name}=VALUE" for name in others)
        raise ConfigError(
            ", ".join(f"{name}: {kind}" for name, kind in others.items()),
            "uniform or loguniform alone under pbt: a trial goes on with another one's weights",
            where,
            f"fix the others ({fixed}), or give another space by --space",
        )


def in_turns(concurrent: int) -> Any:
    """Return the resources of a trial's own process, of which no more than `concurrent` are there at a time.

    Trials of a population take turns: one that is paused gives its process back, and another one goes on. Ray Tune
    counts by resources who may go on, and a training's own CPUs are not among those of the trial's process. So each
    takes its share of the resource that every cluster has exactly once: its head node. The share is just above one of
    `concurrent + 1`, as Ray's own actors need a thousandth of that resource for each training, and wait for it for
    ever; so no more than 24 trials go on at a time.
    """
    parts = min(concurrent, _MOST) + 1
    return tune.PlacementGroupFactory([{_HEAD: (_DIGITS // parts + 2) / _DIGITS}])  # Ray may cut the last one off


def _within(space: Space) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Make the function that brings changed values back into their ranges, which Ray Tune's own changes may leave."""
    limits: Mapping[str, tuple[Any, ...]] = {name: dimension.values for name, dimension in space.items()}

    def bring(config: dict[str, Any]) -> dict[str, Any]:
        values = config["values"]
        kept = {name: min(max(values[name], low), high) for name, (low, high) in limits.items()}
        return {**config, "values": {**values, **kept}}

    return bring
