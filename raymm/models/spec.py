"""What the rest of raymm knows of a model: its name, its settings, what it needs, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch

from raymm.config import plain
from raymm.contracts import Domain, RatingHoldout, RecModel, Scorer, TrainData
from raymm.errors import DataError
from raymm.graph.crew import ALONE, Crew
from raymm.parallel.grid import Grid
from raymm.ratings.stage import Staged
from raymm.ratings.table import ColdStart


@dataclass(frozen=True, eq=False)
class Structure:
    """What is computed once of a domain, or of all together, before training, and frozen: graphs, clusters, votes.

    Attributes:
        matrices: Name to scipy CSR matrix.
        facts: Diagnostics of the computation.
    """

    matrices: Mapping[str, Any]
    facts: Mapping[str, float] = field(default_factory=dict)


class StructureMaker(Protocol):
    """Computes a domain's structure, once, before the workers start."""

    def __call__(self, config: Any, domain: Domain, seed: int, crew: Crew = ALONE, /) -> Structure:
        """Compute it from the model's settings, the training data of the domain and the seed.

        The crew does what can be shared out, and the result does not depend on it beyond the rounding of sums.
        """
        ...


@dataclass(frozen=True, eq=False)
class Between:
    """How a model computes, once before the workers start, what hangs on more than one domain.

    Attributes:
        make: From the model's settings, the training data of all domains with the known pairs, and who works, to the
            structure; empty where these settings need none.
        key: From the settings to the plain data that it hangs on beside interactions and known pairs.
    """

    make: Callable[[Any, TrainData, Crew], Structure]
    key: Callable[[Any], Any]


def whole_key(settings: Any, seed: int) -> Any:
    """Return all settings and the seed as what a structure hangs on: true of any model, if coarse."""
    return {"settings": plain(settings), "seed": seed}


Tensors = Mapping[str, torch.Tensor]
Work = Callable[[Tensors], Tensors]


class Background(Protocol):
    """Who does a long piece of work beside the training, so that no step waits for it.

    Every rank calls both methods with the same keys in the same order, and every rank gets the same numbers.
    """

    def submit(self, key: int, work: Work, inputs: Tensors) -> None:
        """Have `work(inputs)` done, soon and elsewhere.

        Args:
            key: Names the result; another one each time, ascending.
            work: A function of a module of raymm, or `functools.partial` of one: it may run in another process.
            inputs: Tensors on the CPU that nobody changes any more, equal on all ranks.
        """
        ...

    def take(self, key: int) -> Tensors:
        """Return the result, once for each key; waits until it is there, and raises what the work raised."""
        ...


class InProcess:
    """`Background` of a process that has no workers to ask: the work is done when its result is taken."""

    def __init__(self) -> None:
        self._due: dict[int, tuple[Work, Tensors]] = {}

    def submit(self, key: int, work: Work, inputs: Tensors) -> None:
        """Note the work; see `Background`."""
        self._due[key] = (work, inputs)

    def take(self, key: int) -> Tensors:
        """Do the work now; see `Background`."""
        work, inputs = self._due.pop(key)
        return work(inputs)


@runtime_checkable
class Resumable(Protocol):
    """A model that holds more than its parameters which a checkpoint must bring back."""

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Return it, whole and equal on all ranks; empty where there is nothing yet."""
        ...

    def load_extra_state(self, state: Tensors) -> None:
        """Go on from what `extra_state` returned, on any number of ranks."""
        ...


@dataclass(frozen=True, eq=False)
class Place:
    """Where and how a model is made: its rank among all, its device, its seed, and who works beside it."""

    grid: Grid
    device: torch.device
    seed: int
    background: Background = field(default_factory=InProcess)


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """One model that is trained by gradients.

    Attributes:
        name: As it is called on the command line.
        summary: One line for `--help`.
        config: Its config dataclass.
        presets: Named settings; `default` is what runs when nothing is said.
        n_domains: How many domains it wants.
        structure: Computes a domain's structure.
        build: Makes the model on one rank from data, the structures in the order of `structures`, and its place.
        structure_key: From settings and seed to the plain data that the structure hangs on beside the domain's data:
            what is equal under this key is computed once and kept.
        between: Computes what hangs on all domains together; None for a model that needs no such thing.
    """

    name: str
    summary: str
    config: type
    presets: Mapping[str, Any]
    n_domains: int
    structure: StructureMaker
    build: Callable[[Any, TrainData, tuple[Structure, ...], Place], RecModel]
    structure_key: Callable[[Any, int], Any] = whole_key
    between: Between | None = None

    def structures(self, settings: Any, data: TrainData, seed: int, crew: Crew = ALONE) -> tuple[Structure, ...]:
        """Compute all that `build` wants: one structure a domain, and behind them that between domains if there is one.

        Args:
            settings: The model's settings.
            data: Training data of as many domains as the model wants.
            seed: The run's seed.
            crew: Who works.

        Raises:
            RaymmError: Whatever stops the computation.
        """
        made = [self.structure(settings, domain, seed, crew) for domain in data.domains]
        return (*made, self.between.make(settings, data, crew)) if self.between else tuple(made)

    def check(self, domains: Sequence[str]) -> None:
        """Refuse data that the model cannot train on.

        Args:
            domains: Names of the domains that it would be given.

        Raises:
            DataError: The number of domains is another than the model wants.
        """
        if len(domains) != self.n_domains:
            fewer = len(domains) > self.n_domains
            raise DataError(
                f"{len(domains)} domains ({', '.join(domains)})",
                f"{self.n_domains}",
                f"model {self.name}",
                f"name one of them, --domain {domains[0]}" if fewer else "prepare a data set with as many domains",
            )


@dataclass(frozen=True, eq=False)
class FitSpec:
    """One model in closed form: it has no epochs, no batches and no workers, and takes each domain for itself.

    Attributes:
        name: As it is called on the command line.
        summary: One line for `--help`.
        config: Its config dataclass.
        presets: Named settings; `default` is what runs when nothing is said.
        fit: Makes the finished scorer of every domain from settings and data.
    """

    name: str
    summary: str
    config: type
    presets: Mapping[str, Any]
    fit: Callable[[Any, TrainData], Mapping[str, Scorer]]

    def check(self, domains: Sequence[str]) -> None:
        """Refuse nothing: any number of domains will do; see `ModelSpec.check`."""


@dataclass(frozen=True, eq=False)
class RatingSpec:
    """One model of ratings for users who are new in one of two domains, made in stages, in one process.

    Attributes:
        name: As it is called on the command line.
        summary: One line for `--help`.
        config: Its config dataclass.
        presets: Named settings; `default` is what runs when nothing is said.
        make: Prepares it from settings, training ratings, held-out ratings to select by, and a seed.
    """

    name: str
    summary: str
    config: type
    presets: Mapping[str, Any]
    make: Callable[[Any, ColdStart, RatingHoldout, int], Staged]

    def check(self, domains: Sequence[str]) -> None:
        """Refuse data that are not of two domains; see `ModelSpec.check`."""
        if len(domains) != 2:
            raise DataError(
                f"{len(domains)} domains ({', '.join(domains)})",
                "2, one in which users are known and one in which they are new",
                f"model {self.name}",
                "prepare two domains with ratings and a split of kind cold_start; leave --domain out",
            )


Spec = ModelSpec | FitSpec | RatingSpec
"""How a model comes about: by gradients on a grid of ranks, in closed form, or in stages on ratings."""
