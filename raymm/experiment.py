"""A run as data: which model, with which settings, trained how, on how many workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from raymm import config
from raymm.config import check, setting
from raymm.data.prepared import PreparedSet
from raymm.data.sampling import NegativeConfig
from raymm.errors import ConfigError
from raymm.models.registry import find_model
from raymm.models.spec import ModelSpec, RatingSpec, Spec
from raymm.training.deepspeed_engine import DeepSpeedConfig
from raymm.training.engine import OptimizerConfig
from raymm.training.loop import LoopConfig

# Settings that mean something only where a model learns by steps. The selection metric is not among them: a sweep
# chooses settings of a model in closed form by it.
_BY_GRADIENTS = (
    "train.batch_size",
    "train.negatives.",
    "train.optimizer.",
    "train.loop.epochs",
    "train.loop.patience",
    "train.loop.validate_every",
    "train.loop.selection_decimals",
)
# Settings of rankings, and of models that take each domain for itself.
_BY_RANKING = ("train.cutoffs", "train.test_hides", "train.candidates", "train.domain")

RATING_SELECTION = "-rmse"
"""What models of ratings are selected by: the validation error of their predictions, negative as higher is better."""


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained, and how it is tested."""

    domain: str = setting("", "the one domain to train on, for models of one domain; empty for all of the data set")

    modalities: tuple[str, ...] = setting((), "the modalities that the model may know; empty for all of the data set")

    batch_size: int = setting(4096, "rows of the global batch in the largest domain, over all workers", ge=1)
    seed: int = setting(0, "seed of start values, order, negatives and matched users", ge=0)
    cutoffs: tuple[int, ...] = setting((5, 10, 20), "cutoffs K of the ranking metrics", ge=1)
    test_hides: Literal["known", "training"] = setting(
        "known",
        "what the ranking of the test set leaves out: training and validation interactions, or those of training alone",
    )
    candidates: int = setting(
        0,
        "other items, as 99 or 999, drawn for each user to rank what is held out among, in validation and test; 0: all "
        "items. Sampled metrics may order models differently from full ranking (Krichene and Rendle, KDD 2020)",
        ge=0,
    )
    negatives: NegativeConfig = setting(NegativeConfig, "how negatives are drawn")
    optimizer: OptimizerConfig = setting(OptimizerConfig, "optimiser")
    loop: LoopConfig = setting(LoopConfig, "epochs, validation, early stopping")

    def __post_init__(self) -> None:
        """Check the limits, and that the candidates reach the cutoffs."""
        check(self)
        largest = max(self.cutoffs, default=0)
        if 0 < self.candidates < largest - 1:
            raise ConfigError(
                f"candidates: found {self.candidates} with a cutoff of {largest}, expected at least {largest - 1}, or 0"
            )


@dataclass(frozen=True)
class ScaleConfig:
    """On how many workers, and what carries a step; results do not depend on it."""

    workers: int = setting(2, "Ray Train workers; 0 trains in this process, without a cluster", ge=0)
    data_parallel: int = setting(1, "groups that share the batch; the others split the embedding columns", ge=1)
    engine: Literal["deepspeed", "torch"] = setting(
        "deepspeed", "what carries a step; without workers it is always torch"
    )
    deepspeed: DeepSpeedConfig = setting(DeepSpeedConfig, "ZeRO stage")
    device: Literal["cpu", "cuda"] = setting("cpu", "cuda gives each worker one GPU")
    cpus_per_worker: float = setting(
        0.0, "CPUs reserved for a worker; 0 shares what the cluster has", unit="CPUs", ge=0
    )
    checkpoint_every: int = setting(10, "epochs between checkpoints; a killed worker loses at most these", ge=1)
    checkpoint_steps: int = setting(0, "steps between checkpoints within an epoch, for long ones; 0 makes none", ge=0)
    structures: str = setting(
        "", "folder that keeps item graphs and clusters for later runs, seen by all nodes; empty: beside the data"
    )
    rows_gib: float = setting(
        16.0, "memory of each worker for training rows, 56 B each: they are held, not streamed", unit="GiB", gt=0
    )
    max_failures: int = setting(
        2, "times that workers are restarted from the last checkpoint; without workers, the same command goes on", ge=0
    )
    node_wait_s: float = setting(
        600.0,
        "how long an autoscaling cluster may take to start the nodes that are needed; 0 waits for none",
        unit="s",
        ge=0,
    )

    def __post_init__(self) -> None:
        """Check the limits, and that the grid fits the workers."""
        check(self)
        if max(1, self.workers) % self.data_parallel:
            raise ConfigError(
                f"data_parallel: found {self.data_parallel} with {self.workers} workers, expected "
                + ("a divisor of workers" if self.workers else "1")
            )

    @property
    def column_parallel(self) -> int:
        """Number of ranks that split the embedding columns."""
        return max(1, self.workers) // self.data_parallel

    @property
    def carrier(self) -> Literal["deepspeed", "torch"]:
        """What carries a step of this run, whatever `engine` asks for."""
        return self.engine if self.workers else "torch"


@dataclass(frozen=True, eq=False)
class Experiment:
    """One run.

    Attributes:
        model: Name of the model.
        preset: Name of the preset that its settings start from.
        settings: The model's own config.
        train: How it is trained.
        scale: On how many workers.
    """

    model: str
    preset: str
    settings: Any
    train: TrainConfig
    scale: ScaleConfig

    def plain(self) -> dict[str, Any]:
        """Return plain data that `build_experiment` takes back unchanged."""
        return {
            "model": self.model,
            "preset": self.preset,
            "settings": config.plain(self.settings),
            "train": config.plain(self.train),
            "scale": config.plain(self.scale),
        }

    def mathematics(self) -> dict[str, Any]:
        """Return what decides the result: all but the scale."""
        return {name: value for name, value in self.plain().items() if name != "scale"}

    def scope(self, prepared: PreparedSet) -> PreparedSet:
        """Return a prepared set as this run sees it: all of it, or the domain and the modalities that it is about."""
        scoped = prepared.only(self.train.domain) if self.train.domain else prepared
        return scoped.knowing(self.train.modalities) if self.train.modalities else scoped


@dataclass(frozen=True)
class _Outline:
    model: str = setting("sieoug", "which model")
    preset: str = setting("default", "which of the model's presets its settings start from")
    settings: dict[str, Any] = setting(dict, "the model's settings that differ from the preset")
    train: TrainConfig = setting(TrainConfig, "how it is trained")
    scale: ScaleConfig = setting(ScaleConfig, "on how many workers")


def build_experiment(values: Mapping[str, Any], where: str = "experiment") -> Experiment:
    """Turn plain data (of a TOML file, or a command line) into an experiment.

    Args:
        values: Tables `settings`, `train`, `scale` and the names `model`, `preset`; what is left out has its default.
        where: Where the data came from, for messages.

    Raises:
        ConfigError: An unknown key, a wrong type, a value out of range, an unknown model or preset.
    """
    outline = config.build(_Outline, values, where)
    spec = find_model(outline.model)
    if isinstance(spec, RatingSpec) and outline.train.loop.selection == LoopConfig().selection:
        chosen = replace(outline.train.loop, selection=RATING_SELECTION)
        outline = replace(outline, train=replace(outline.train, loop=chosen))
    if outline.preset not in spec.presets:
        raise ConfigError(
            f"preset {outline.preset!r}", "one of " + ", ".join(spec.presets), where, f"a preset of {spec.name}"
        )
    start = config.plain(spec.presets[outline.preset])
    try:
        settings: Any = config.build(spec.config, config.merged(start, outline.settings), where)
    except ConfigError as error:
        lines = [f"settings.{line}" for line in error.found.split("\n")]
        raise ConfigError("\n".join(lines), error.expected, error.where, error.remedy) from error
    _check_meaning(spec, outline.train, where)
    return Experiment(outline.model, outline.preset, settings, outline.train, outline.scale)


def describe_experiment(model: str) -> list[tuple[str, str, str]]:
    """List every setting of a run of `model`: dotted name, default, help."""
    spec = find_model(model)
    defaults = config.flatten(config.plain(spec.presets["default"]))
    rows = [
        (f"settings.{name}", str(defaults.get(name, default)), words)
        for name, default, words in config.describe(spec.config)
    ]
    rows.extend(config.describe(TrainConfig, "train."))
    if not isinstance(spec, ModelSpec):
        shown = [row for row in rows if not row[0].startswith(_without_meaning(spec))]
        return [(name, str(_defaults(spec).get(name, default)), words) for name, default, words in shown]
    return rows + config.describe(ScaleConfig, "scale.")


def _without_meaning(spec: Spec) -> tuple[str, ...]:
    """Name the settings of training that do nothing for a model, or what their names begin with."""
    if isinstance(spec, ModelSpec):
        return ()
    return (*_BY_GRADIENTS, *_BY_RANKING) if isinstance(spec, RatingSpec) else _BY_GRADIENTS


def _defaults(spec: Spec) -> dict[str, str]:
    """Return the defaults of training that are other for a model than the general ones."""
    return {"train.loop.selection": RATING_SELECTION} if isinstance(spec, RatingSpec) else {}


def _check_meaning(spec: Spec, train: TrainConfig, where: str) -> None:
    """Refuse settings that would do nothing: of an optimiser where nothing is optimised by it, and the like."""
    given, general = (config.flatten(config.plain(values)) for values in (train, TrainConfig()))
    names, own = _without_meaning(spec), _defaults(spec)
    kind = "a model of ratings" if isinstance(spec, RatingSpec) else "a model in closed form"
    changed = [
        f"train.{name}: found {value!r}, but {kind} has no such"
        for name, value in given.items()
        if f"train.{name}".startswith(names) and value != general[name]
    ]
    changed += [
        f"{name}: found {given[name.removeprefix('train.')]!r}, expected {value!r}, the one there is for {spec.name}"
        for name, value in own.items()
        if given[name.removeprefix("train.")] != value
    ]
    if changed:
        raise ConfigError(
            "\n".join(changed), "", where, "leave these settings out; `raymm settings MODEL` lists those of a model"
        )
