"""The file of a family of runs: variants of one training that are compared, checked and turned into experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from raymm import config
from raymm.config import check, setting
from raymm.data.prepared import KnownPairs
from raymm.errors import ConfigError
from raymm.evaluation.values import METRICS
from raymm.experiment import Experiment, build_experiment
from raymm.models.registry import find_model
from raymm.models.spec import FitSpec, ModelSpec, RatingSpec
from raymm.report.family_record import ERRORS
from raymm.verbs.trial import nested

SliceFamily = Literal["item popularity", "user history"]

# What of `base.train` a model in closed form takes, beside its selection metric; the rest speaks of steps.
_WITHOUT_STEPS = ("domain", "seed", "cutoffs", "test_hides", "candidates")


@dataclass(frozen=True)
class Axis:
    """The x axis, for families that vary a number."""

    name: str = setting("", "what the number is; empty for no axis")
    log: bool = setting(False, "logarithmic axis")

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class Variant:
    """One member of a family: what it changes of `base`."""

    label: str = setting(help="name in tables and figures")
    x: float | None = setting(None, "place on the x axis; left out: a level that is drawn across")
    series: str = setting("", "which of several curves a point belongs to")
    against: str = setting("", "label of the variant it is compared with; empty for `reference`")
    config: str = setting("", "experiment file to start from in place of `base`, relative to the family file")
    model: str = setting("", "model, if another than that of `base`; settings and preset of `base` are then left out")
    preset: str = setting("", "preset, if another than that of `base`")
    settings: dict[str, Any] = setting(dict, "settings of the model that differ from those of `base`")
    train: dict[str, Any] = setting(dict, "training settings that differ from those of `base`")
    known_pairs: KnownPairs = setting("drawn", "which shared users training knows")
    prepare: dict[str, Any] = setting(dict, "settings of the recipe that differ: this variant has data of its own")

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class Family:
    """A family file: variants, seeds, and what to show of them."""

    title: str = setting(help="what is asked")
    reference: str = setting(help="label of the variant that the others are compared with")
    variants: tuple[Variant, ...] = setting(help="what is trained and compared")
    base: dict[str, Any] = setting(dict, "experiment that the variants start from, as `raymm train --config` takes it")
    seeds: tuple[int, ...] = setting((0, 1, 2), "seeds of each variant; a closed form takes the first alone", ge=0)
    metrics: tuple[str, ...] = setting(
        ("recall@20", "ndcg@20"), "metrics of the test set to show; of models of ratings mse and mae, mean over users"
    )
    slices: tuple[SliceFamily, ...] = setting((), "what the results are cut by as well")
    domain: str = setting("", "the one domain to judge by, and to train models of one domain on; empty for all")
    axis: Axis = setting(Axis, "x axis, where the variants lie along a number")

    def __post_init__(self) -> None:
        """Check what the variants must agree on."""
        check(self)
        problems = list(_disagreements(self))
        if problems:
            raise ConfigError("\n".join(problems))


@dataclass(frozen=True, eq=False)
class Arm:
    """A variant that was checked: what is trained for it, on which data, with which seeds.

    Attributes:
        variant: The variant.
        experiments: Seed to experiment.
        against: Label of the variant that it is compared with; empty for one that is compared with nothing.
    """

    variant: Variant
    experiments: Mapping[int, Experiment]
    against: str

    @property
    def label(self) -> str:
        """Name of the variant."""
        return self.variant.label

    @property
    def experiment(self) -> Experiment:
        """The experiment of the first seed."""
        return next(iter(self.experiments.values()))


def read_family(path: Path) -> Family:
    """Read a family file.

    Raises:
        ConfigError: The file is missing, is not TOML, or has keys that are unknown, wrong or at odds.
    """
    return config.build(Family, config.read_toml(path), str(path))


def arms_of(family: Family, path: Path, assignments: Sequence[str] = (), workers: int | None = None) -> tuple[Arm, ...]:
    """Turn the variants of a family into experiments; all that is wrong with any of them is said at once.

    Args:
        family: The family.
        path: Its file, from where relative paths start, and for messages.
        assignments: `name.of.setting=value`, for every variant that has such a setting.
        workers: Ray Train workers of each training, 0 for none; None keeps what the file says.

    Raises:
        ConfigError: A variant is no experiment, lacks a metric's cutoff or is another one again, or no variant has a
            setting that was assigned; or variants are ranked among different numbers of candidates.
    """
    starts, problems = [], []
    for variant in family.variants:
        try:
            starts.append(_start(family, variant, path.parent, workers))
            _check_metrics(family.metrics, build_experiment(starts[-1]))
        except ConfigError as error:
            expected = f", expected {error.expected}" if error.expected else ""
            problems += [f"variant {variant.label!r}: {line}" for line in (error.found + expected).split("\n")]
    if problems:
        raise ConfigError("\n".join(problems), "", str(path), "`raymm settings MODEL` lists the settings of a model")
    for assignment in assignments:
        starts = _assigned(starts, assignment)
    arms = tuple(_arm(family, variant, start) for variant, start in zip(family.variants, starts, strict=True))
    _check_differ(arms, str(path))
    _check_alike(arms, str(path))
    return arms


def _start(family: Family, variant: Variant, folder: Path, workers: int | None) -> dict[str, Any]:
    values = _values(family, variant, folder)
    model = find_model(values.get("model", "sieoug"))
    alone = isinstance(model, FitSpec) or (isinstance(model, ModelSpec) and model.n_domains == 1)
    if family.domain and alone:
        values = nested(values, {"train.domain": family.domain})
    return values if workers is None else nested(values, {"scale.workers": workers})


def _assigned(starts: Sequence[Mapping[str, Any]], assignment: str) -> list[dict[str, Any]]:
    """Give an assignment to the variants that have such a setting."""
    found, problems = [], []
    for start in starts:
        tried = config.override(start, [assignment])
        try:
            build_experiment(tried, f"--set {assignment}")
        except ConfigError as error:
            problems.append(error)
            tried = dict(start)
        found.append(tried)
    if len(problems) == len(starts):
        raise problems[0]
    return found


def _arm(family: Family, variant: Variant, start: Mapping[str, Any]) -> Arm:
    closed = isinstance(find_model(start.get("model", "sieoug")), FitSpec)
    seeds = family.seeds[:1] if closed else family.seeds
    experiments = {seed: build_experiment(nested(start, {"train.seed": seed})) for seed in seeds}
    against = variant.against or family.reference
    return Arm(variant, experiments, "" if against == variant.label else against)


def _values(family: Family, variant: Variant, folder: Path) -> dict[str, Any]:
    base = dict(family.base)
    if variant.config:
        base = config.read_toml(folder / variant.config)
    elif variant.model and variant.model != base.get("model", "sieoug"):
        spec = find_model(variant.model)
        train = dict(base.get("train", {}))
        if isinstance(spec, FitSpec):
            selection = {name: value for name, value in train.get("loop", {}).items() if name == "selection"}
            train = {name: value for name, value in train.items() if name in _WITHOUT_STEPS}
            train |= {"loop": selection} if selection else {}
        base = {name: value for name, value in (("train", train), ("scale", base.get("scale"))) if value}
    named = {"model": variant.model, "preset": variant.preset}
    tables = {"settings": variant.settings, "train": variant.train}
    return config.merged(base, {name: value for name, value in (named | tables).items() if value})


def _check_metrics(metrics: Sequence[str], experiment: Experiment) -> None:
    rates = isinstance(find_model(experiment.model), RatingSpec)
    if rates != (metrics[0] in ERRORS):
        kind = f"{' and '.join(ERRORS)} of models of ratings, cutoffs such as recall@20 of others"
        raise ConfigError(f"metrics: found {', '.join(metrics)}, expected {kind}")
    cutoffs = experiment.train.cutoffs
    missing = [name for name in metrics if name not in ERRORS and int(name.partition("@")[2]) not in cutoffs]
    if missing:
        raise ConfigError(
            f"metrics: found {', '.join(missing)}, expected cutoffs among train.cutoffs, {', '.join(map(str, cutoffs))}"
        )


def _check_differ(arms: Sequence[Arm], where: str) -> None:
    seen: dict[str, str] = {}
    for arm in arms:
        key = str((arm.experiment.mathematics(), arm.variant.known_pairs, arm.variant.prepare))
        if key in seen:
            raise ConfigError(
                f"{arm.label!r} is the same training as {seen[key]!r}", "variants that differ", where, "drop one"
            )
        seen[key] = arm.label


def _check_alike(arms: Sequence[Arm], where: str) -> None:
    among = {arm.label: arm.experiment.train.candidates for arm in arms}
    if len(set(among.values())) > 1:
        found = ", ".join(f"{label!r}: {count}" for label, count in among.items())
        raise ConfigError(f"train.candidates of {found}", "one value for all variants", where, "set it in `base.train`")


def _disagreements(family: Family) -> list[str]:
    labels = [variant.label for variant in family.variants]
    problems = []
    if not labels or len(set(labels)) < len(labels) or not all(label.strip() for label in labels):
        problems.append(f"variants: found labels {labels}, expected at least one, all of them different")
    if family.reference not in labels:
        problems.append(f"reference: found {family.reference!r}, expected one of {labels}")
    problems += [
        f"variants[{place}].against: found {variant.against!r}, expected one of {labels}"
        for place, variant in enumerate(family.variants)
        if variant.against and variant.against not in labels
    ]
    problems += [
        f"variants[{place}].config: found {variant.config!r} beside model {variant.model!r}, expected one of the two"
        for place, variant in enumerate(family.variants)
        if variant.config and variant.model
    ]
    if not family.seeds or len(set(family.seeds)) < len(family.seeds):
        problems.append(f"seeds: found {list(family.seeds)}, expected at least one, all of them different")
    if family.slices and set(family.metrics) <= set(ERRORS):
        problems.append(
            f"slices: found {list(family.slices)}, expected none: reports of ratings have slices of their own"
        )
    placed = [variant.x is not None for variant in family.variants]
    if any(placed) and not family.axis.name:
        problems.append("axis.name: found nothing, but variants have an x; expected the name of the axis")
    if family.axis.name and not any(placed):
        problems.append("variants: found no x, expected one where there is an axis")
    if family.axis.log and any(variant.x is not None and variant.x <= 0 for variant in family.variants):
        problems.append("axis.log: found true with an x of 0 or less, expected positive ones")
    return problems + _metric_problems(family.metrics)


def _metric_problems(metrics: Sequence[str]) -> list[str]:
    if metrics and set(metrics) <= set(ERRORS):
        return []
    parts = [name.partition("@") for name in metrics]
    wrong = ["@".join((name, k)) for name, _, k in parts if name not in METRICS or not k.isdecimal()]
    found = [f"metrics: found {name!r}, expected a metric and a cutoff such as recall@20" for name in wrong]
    return found if metrics else ["metrics: found none, expected at least one"]
