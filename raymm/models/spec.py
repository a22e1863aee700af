"""What the rest of raymm knows of a model: its name, its settings, what it needs, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from raymm.contracts import Domain, RecModel, TrainData
from raymm.errors import DataError
from raymm.parallel.grid import Grid


@dataclass(frozen=True, eq=False)
class Structure:
    """What is computed once for a domain before training, and frozen: graphs, clusters.

    Attributes:
        matrices: Name to scipy CSR matrix.
        facts: Diagnostics of the computation.
    """

    matrices: Mapping[str, Any]
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Place:
    """Where and how a model is made: its rank among all, its device, its seed."""

    grid: Grid
    device: torch.device
    seed: int


@dataclass(frozen=True, eq=False)
class ModelSpec:
    """One model that is trained by gradients.

    Attributes:
        name: As it is called on the command line.
        summary: One line for `--help`.
        config: Its config dataclass.
        presets: Named settings; `default` is what runs when nothing is said.
        n_domains: How many domains it wants.
        structure: Computes a domain's structure from settings, data and seed; runs once, before the workers start.
        build: Makes the model on one rank from data, one structure a domain, and its place.
    """

    name: str
    summary: str
    config: type
    presets: Mapping[str, Any]
    n_domains: int
    structure: Callable[[Any, Domain, int], Structure]
    build: Callable[[Any, TrainData, tuple[Structure, ...], Place], RecModel]

    def check(self, data: TrainData) -> None:
        """Refuse data that the model cannot train on.

        Raises:
            DataError: The number of domains is another than the model wants.
        """
        if len(data.domains) != self.n_domains:
            raise DataError(
                f"{len(data.domains)} domains ({', '.join(domain.name for domain in data.domains)})",
                f"{self.n_domains}",
                f"model {self.name}",
                "prepare a data set with as many domains, or choose another model",
            )
