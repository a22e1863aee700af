"""The one training loop: epochs, validation, selection, early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from raymm.config import check, setting
from raymm.contracts import BatchSource, Engine, RecModel
from raymm.errors import TrainingError


@dataclass(frozen=True)
class LoopConfig:
    """How long to train and what to select by."""

    epochs: int = setting(200, "most epochs", ge=1)
    patience: int = setting(20, "validations without improvement after which training stops", ge=1)
    validate_every: int = setting(1, "epochs between validations", ge=1)
    selection: str = setting("ndcg@10", "validation metric to select by, mean over domains; higher is better")
    selection_decimals: int | None = setting(
        None, "decimals that the selection metric is rounded to before epochs are compared; by default it is not", ge=0
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class LoopState:
    """Where the loop stands, between two epochs or within one; what a checkpoint holds besides the engine's state.

    Attributes:
        epoch: Epochs done.
        best: Best selection value so far, rounded if the config says so; None before the first validation.
        best_epoch: Epoch of the best value, counted from 1.
        waited: Validations since then.
        step: Steps done of the epoch after `epoch`; a resume sees each of its other rows once.
        sums: Losses of these steps, added up.
    """

    epoch: int = 0
    best: float | None = None
    best_epoch: int = 0
    waited: int = 0
    step: int = 0
    sums: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch gave.

    Attributes:
        epoch: Counted from 1.
        losses: Named, mean over the steps of the epoch.
        validation: Metric name to value, empty where this epoch was not validated.
        diagnostics: What the model observed.
        seconds: Training time, validation time and time waited for input, by name.
        improved: The selection value is the best so far.
        finished: No epoch follows.
        state: For the checkpoint.
    """

    epoch: int
    losses: Mapping[str, float]
    validation: Mapping[str, float]
    diagnostics: Mapping[str, float]
    seconds: Mapping[str, float]
    improved: bool
    finished: bool
    state: LoopState

    def plain(self) -> dict[str, Any]:
        """Return plain data, as history files and trackers hold it."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Pause:
    """What is done within an epoch, for epochs so long that losing one would hurt.

    Attributes:
        every: Steps between two pauses; 0 for none.
        call: Gets the loop's state; collective. At the end of an epoch it is not called.
    """

    every: int
    call: Callable[[LoopState], None]


def train(
    model: RecModel,
    engine: Engine,
    source: BatchSource,
    validate: Callable[[], Mapping[str, float]],
    config: LoopConfig,
    state: LoopState | None = None,
    pause: Pause | None = None,
) -> Iterator[EpochRecord]:
    """Train epoch by epoch; the caller saves, logs and shows between two epochs.

    Every rank of the grid runs it alike and gets the same records, as losses and metrics are reduced before they
    decide anything. The test set is nowhere in reach.

    Args:
        model: What is trained.
        engine: What carries a step of it.
        source: Its batches; each epoch has the same number of steps on every rank.
        validate: Returns validation metrics; must hold `config.selection`; collective.
        config: Settings.
        state: Where to go on; None starts anew. Within an epoch, the model's diagnostics of that epoch are those of the
            steps since then; losses are those of all its steps.
        pause: What to do within an epoch.

    Yields:
        One record an epoch, the last with `finished`.

    Raises:
        TrainingError: A loss or the selection metric is not finite, or the metric is not there.
    """
    state = state or LoopState()
    while not _finished(state, config):
        epoch = state.epoch + 1
        start = time.perf_counter()
        engine.start_epoch(epoch)
        diagnostics = dict(model.start_epoch(epoch))
        losses, waited_s = _run_epoch(engine, source, state, pause)
        diagnostics.update(model.diagnostics())
        trained = time.perf_counter()
        due = epoch % config.validate_every == 0 or epoch == config.epochs
        metrics = dict(validate()) if due else {}
        state, improved = _judge(replace(state, epoch=epoch, step=0, sums={}), metrics, config)
        seconds = {"train": trained - start, "validate": time.perf_counter() - trained, "input": waited_s}
        yield EpochRecord(
            epoch, losses, metrics, diagnostics, seconds, improved, finished=_finished(state, config), state=state
        )


def _run_epoch(
    engine: Engine, source: BatchSource, state: LoopState, pause: Pause | None
) -> tuple[dict[str, float], float]:
    sums, steps, epoch = dict(state.sums), state.step, state.epoch + 1
    waited_s = 0.0
    batches = iter(source.epoch(epoch, start_step=steps))
    while True:
        before = time.perf_counter()
        batch = next(batches, None)
        waited_s += time.perf_counter() - before
        if batch is None:
            break
        for name, value in engine.step(batch).items():
            sums[name] = sums.get(name, 0.0) + value
        steps += 1
        if pause and pause.every and steps % pause.every == 0 and steps < source.steps_per_epoch:
            pause.call(replace(state, step=steps, sums=dict(sums)))
    if steps != source.steps_per_epoch:
        raise TrainingError(f"{steps} steps", f"{source.steps_per_epoch}, as on every rank", f"epoch {epoch}")
    return {name: total / steps for name, total in sums.items()}, waited_s


def _judge(state: LoopState, metrics: Mapping[str, float], config: LoopConfig) -> tuple[LoopState, bool]:
    if not metrics:
        return state, False
    value = metrics.get(config.selection, math.nan)
    if not math.isfinite(value):
        raise TrainingError(
            f"{config.selection} = {metrics.get(config.selection, 'not there')}",
            "a finite value; computed are " + ", ".join(sorted(metrics)),
            f"validation after epoch {state.epoch}",
            "choose train.loop.selection among them",
        )
    if config.selection_decimals is not None:
        value = round(value, config.selection_decimals)
    if state.best is None or value > state.best:
        return replace(state, best=value, best_epoch=state.epoch, waited=0), True
    return replace(state, waited=state.waited + 1), False


def _finished(state: LoopState, config: LoopConfig) -> bool:
    return state.epoch >= config.epochs or state.waited >= config.patience
