"""All that a report says, as plain frozen data that JSON can hold."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raymm import config
from raymm.errors import ArtefactError, ConfigError
from raymm.evaluation.compare import Comparison
from raymm.evaluation.slices import Slice

HEADLINE = ("hr@10", "ndcg@10", "recall@20")


@dataclass(frozen=True)
class DomainFacts:
    """What a domain's data are.

    Attributes:
        name: The domain's name.
        n_users: Number of users.
        n_items: Number of items.
        n_interactions: Training interactions.
        n_evaluated: Users of the test set.
        n_held_out: Held-out interactions.
        popularity: Share of the training interactions that falls on each fifth of the items, most popular first.
        modalities: Modality to the share of items that have it, 0 to 1.
    """

    name: str
    n_users: int
    n_items: int
    n_interactions: int
    n_evaluated: int
    n_held_out: int
    popularity: tuple[float, ...]
    modalities: Mapping[str, float]


@dataclass(frozen=True)
class Recommended:
    """One line of a list: what is shown of the item, and whether it was held out."""

    title: str
    hit: bool


@dataclass(frozen=True)
class Example:
    """One user's list.

    Attributes:
        user: External id.
        history: Titles of some training interactions, the latest where times are known.
        held_out: Titles of held-out items.
        best_rank: Rank of the best of them.
        recommended: The first items of the list.
    """

    user: str
    history: tuple[str, ...]
    held_out: tuple[str, ...]
    best_rank: int
    recommended: tuple[Recommended, ...]


@dataclass(frozen=True)
class DomainResult:
    """What a domain's test set says.

    Attributes:
        facts: The data.
        means: Model to metric to mean over users.
        comparisons: The model against the baseline, one a metric.
        slices: Model to its slices, the same slices in the same order for each.
        catalogue: Model to catalogue measures.
        examples: Lists of some users.
    """

    facts: DomainFacts
    means: Mapping[str, Mapping[str, float]]
    comparisons: tuple[Comparison, ...]
    slices: Mapping[str, tuple[Slice, ...]]
    catalogue: Mapping[str, Mapping[str, float]]
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class RunRecord:
    """A run, from its data to its test results.

    Attributes:
        name: Name of the run.
        model: Name of the model; a key of every domain's `means`.
        baseline: Name of the model it is compared with; another key.
        created: Seconds since the epoch.
        data: Name of the data set.
        n_shared: Users whom training knew to be one person in two domains.
        domains: Results, one a domain.
        history: Plain records of the epochs: `epoch`, `losses`, `validation`, `diagnostics`, `seconds` (all but the
            first are mappings of numbers); empty for a model in closed form.
        selection: Validation metric by which the epoch was chosen; empty where there was no choice.
        settings: Plain nested settings.
        defaults: The same settings as they are by default; what differs is marked.
        provenance: What was used, by name: fingerprints, versions, machine, workers, the command.
        warnings: What a reader should know before believing the numbers.
        candidates: Sampled items that what is held out was ranked among; 0 for all.
    """

    name: str
    model: str
    baseline: str
    created: float
    data: str
    n_shared: int
    domains: tuple[DomainResult, ...]
    history: tuple[Mapping[str, Any], ...] = ()
    selection: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    candidates: int = 0

    def __post_init__(self) -> None:
        """Check that every domain has the model and the baseline."""
        for domain in self.domains:
            missing = {self.model, self.baseline} - set(domain.means)
            if missing:
                raise ConfigError(
                    f"no result of {', '.join(sorted(missing))}",
                    f"results of {self.model} and {self.baseline}",
                    f"report of {self.name!r}, domain {domain.facts.name!r}",
                )


def named(metric: str) -> str:
    """Write a metric's key as people write it: HR@10, but Recall@20."""
    name, at, cutoff = metric.partition("@")
    return (name.capitalize() if name in ("recall", "precision") else name.upper()) + at + cutoff


def storable(value: Any) -> Any:
    """Return plain data that JSON holds: numbers that are not finite become null, what UTF-8 lacks is spelt out."""
    if isinstance(value, Mapping):
        return {storable(str(key)): storable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [storable(entry) for entry in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_record(record: RunRecord, path: Path) -> None:
    """Write a record as JSON; numbers that are not finite become null, and what UTF-8 lacks is spelt out."""
    text = json.dumps(storable(dataclasses.asdict(record)), indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n")


def read_record(path: Path) -> RunRecord:
    """Read a record that `write_record` wrote.

    Raises:
        ArtefactError: The file is missing or holds something else.
    """
    try:
        return config.build(RunRecord, json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise ArtefactError(
            f"unreadable: {error}", "the record of a run", str(path), "evaluate the run again"
        ) from error
