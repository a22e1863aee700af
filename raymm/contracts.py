"""The nouns (data and batches) and the verbs (model, scorer, engine) that all of raymm agrees on.

Shape letters used in annotations and docstrings everywhere:
U users, I items, D embedding columns, F feature columns, B rows of a batch, P pairs, H users of a holdout, K clusters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from scipy import sparse

from raymm.errors import DataError


@dataclass(frozen=True, eq=False)
class Feature:
    """One modality of a domain's items.

    Attributes:
        values: (I, F) float32, one row an item; rows of missing items hold the fill value.
        present: (I,) bool, False where the item has no such modality.
        learned: A model that projects these features trains one vector for all items that lack the modality.
    """

    values: np.ndarray
    present: np.ndarray
    learned: bool = False

    def __post_init__(self) -> None:
        """Check the shapes and mark both arrays read-only, as arrays from an object store are."""
        if self.values.ndim != 2 or self.present.shape != (len(self.values),):
            raise DataError(
                f"feature values {self.values.shape} with mask {self.present.shape}", "(items, columns) and (items,)"
            )
        for array in (self.values, self.present):
            array.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Domain:
    """One domain's training data, with internal ids 0..U-1 and 0..I-1.

    Attributes:
        name: The domain's name.
        interactions: (U, I) CSR of float32 ones, indices sorted, no duplicates; training positives only.
        features: Modality name to `Feature`.
        ratings: (nnz,) float32 in CSR order, or None where the data have none.
        times: (nnz,) int64 seconds in CSR order, or None.
    """

    name: str
    interactions: sparse.csr_array
    features: Mapping[str, Feature] = field(default_factory=dict)
    ratings: np.ndarray | None = None
    times: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check that every aligned array fits the matrix, and mark them read-only."""
        users, items = self.interactions.shape
        if not users or not items or not self.interactions.nnz:
            raise DataError(
                f"{users} users, {items} items, {self.interactions.nnz} interactions",
                "at least one of each",
                f"domain {self.name!r}",
                "check the source files and the cleaning thresholds of the recipe",
            )
        for name, feature in self.features.items():
            if len(feature.values) != items:
                raise DataError(
                    f"{len(feature.values)} rows of feature {name!r}", f"{items}, one an item", f"domain {self.name!r}"
                )
        for array in (self.ratings, self.times):
            if array is not None and array.shape != (self.interactions.nnz,):
                raise DataError(f"{array.shape}", f"({self.interactions.nnz},)", f"domain {self.name!r}")
        for array in (self.interactions.data, self.interactions.indices, self.interactions.indptr):
            array.flags.writeable = False
        for array in (self.ratings, self.times):
            if array is not None:
                array.flags.writeable = False

    @property
    def n_users(self) -> int:
        """Number of users U."""
        return int(self.interactions.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return int(self.interactions.shape[1])


@dataclass(frozen=True, eq=False)
class TrainData:
    """All that training may see; it holds no held-out interaction.

    Attributes:
        domains: One domain, or several.
        shared: (P, 2) int64, user of the first domain and user of the second who are known to be one person;
            (0, 2) for a single domain or where nobody is known to be shared.
        fingerprint: Hash of the prepared set that this came from.
    """

    domains: tuple[Domain, ...]
    shared: np.ndarray
    fingerprint: str

    def __post_init__(self) -> None:
        """Check that names differ and that each user stands in at most one known pair."""
        names = [domain.name for domain in self.domains]
        if len(set(names)) != len(names):
            raise DataError(f"domains {names}", "names that differ")
        if self.shared.ndim != 2 or self.shared.shape[1] != 2:
            raise DataError(f"shared users of shape {self.shared.shape}", "(pairs, 2)")
        for side, domain in enumerate(self.domains[:2]):
            users = self.shared[:, side]
            if len(users) and (users.min() < 0 or users.max() >= domain.n_users or len(np.unique(users)) < len(users)):
                raise DataError(
                    "a shared user out of range or in two pairs", "each user in one pair", f"domain {domain.name!r}"
                )
        self.shared.flags.writeable = False

    def domain(self, name: str) -> Domain:
        """Return the domain called `name`."""
        for domain in self.domains:
            if domain.name == name:
                return domain
        raise DataError(f"domain {name!r}", "one of " + ", ".join(repr(domain.name) for domain in self.domains))


@dataclass(frozen=True, eq=False)
class Holdout:
    """What an evaluation looks for, and what it leaves out of the ranking.

    Attributes:
        domain: The domain's name.
        users: (H,) int64 internal users, ascending, each once.
        targets: (H, I) CSR, non-zero where row h's user has a held-out positive; no row is empty.
        hidden: (H, I) CSR, non-zero where an item is known for the user already and may not be recommended.
    """

    domain: str
    users: np.ndarray
    targets: sparse.csr_array
    hidden: sparse.csr_array

    def __post_init__(self) -> None:
        """Check that rows agree and that there is something to find."""
        rows = len(self.users)
        if not rows or self.targets.shape[0] != rows or self.hidden.shape != self.targets.shape:
            raise DataError(
                f"{rows} users, targets {self.targets.shape}, hidden {self.hidden.shape}",
                "one row a user, at least one user",
                f"holdout of domain {self.domain!r}",
                "check the split: each user needs enough interactions to hold one out",
            )
        if np.diff(self.targets.indptr).min() < 1:
            raise DataError("a user without a held-out item", "at least one a user", f"holdout of {self.domain!r}")


@dataclass(frozen=True, eq=False)
class RatingHoldout:
    """Held-out ratings that an evaluation predicts.

    Attributes:
        domain: The domain's name.
        users: (n,) int64 internal users.
        items: (n,) int64 internal items.
        ratings: (n,) float32.
    """

    domain: str
    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray

    def __post_init__(self) -> None:
        """Check that the arrays agree, that there is something to predict, and mark them read-only."""
        shapes = {self.users.shape, self.items.shape, self.ratings.shape}
        if shapes != {(len(self.users),)} or not len(self.users) or not np.isfinite(self.ratings).all():
            raise DataError(
                f"users {self.users.shape}, items {self.items.shape}, ratings {self.ratings.shape}",
                "equally many of each, at least one, and finite ratings",
                f"rating holdout of domain {self.domain!r}",
                "check the split, and that the interactions have ratings",
            )
        for array in (self.users, self.items, self.ratings):
            array.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Triples:
    """One data rank's rows of a step in one domain: a user, an item he chose, and one he did not.

    Attributes:
        users: (B,) int64.
        positives: (B,) int64.
        negatives: (B,) int64.
        total: Rows of this step over all data ranks; losses are sums divided by it, so that any number of ranks agrees.
    """

    users: torch.Tensor
    positives: torch.Tensor
    negatives: torch.Tensor
    total: int


@dataclass(frozen=True, eq=False)
class Batch:
    """One step: one entry per domain, and the seed for what the model itself draws (equal on all ranks).

    Models of ratings take `rows` instead, (B,) int64 numbers of the rows that they hold; `domains` is empty then.
    """

    domains: tuple[Triples, ...]
    seed: int
    rows: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class ParameterGroup:
    """Parameters that share a multiple of the learning rate."""

    name: str
    parameters: tuple[torch.nn.Parameter, ...]
    learning_rate_scale: float = 1.0


@runtime_checkable
class Scorer(Protocol):
    """A finished model of one domain: users to scores, and nothing else."""

    @property
    def n_users(self) -> int:
        """Number of users it can score."""
        ...

    @property
    def n_items(self) -> int:
        """Number of items it ranks."""
        ...

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        """Score all items for `users` (B,) int64: (B, I) float32, higher is better."""
        ...

    def pairs(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Score pairs, both (B,) int64: (B,) float32, equal to the entries of `scores`."""
        ...

    def arrays(self) -> dict[str, torch.Tensor]:
        """Return the arrays that define it, for storage."""
        ...


@runtime_checkable
class RecModel(Protocol):
    """A model trained by gradients. It is a `torch.nn.Module` too; engines call `forward` and nothing else."""

    def start_epoch(self, epoch: int) -> dict[str, float]:
        """Renew what is renewed once an epoch; return diagnostics."""
        ...

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return named losses, already weighted; their sum is what is minimised."""
        ...

    def diagnostics(self) -> dict[str, float]:
        """Return what was observed since the last call (means over steps), equal on all ranks of a column group."""
        ...

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return every parameter once, by learning rate."""
        ...

    def scorer(self, domain: str) -> Scorer:
        """Return the present model of one domain; collective: every rank of the column group must call it."""
        ...


@runtime_checkable
class Engine(Protocol):
    """What carries a model through steps; plain torch is the reference, every other engine must agree with it."""

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rates of `epoch`, counted from 1; called before its first step, after a resume too."""
        ...

    def step(self, batch: Batch) -> dict[str, float]:
        """Do one optimiser step; return the losses of the global batch, equal on all ranks."""
        ...

    def save(self, folder: Path) -> None:
        """Write this rank's share of weights and optimiser state into `folder`; collective."""
        ...

    def load(self, folder: Path) -> None:
        """Read weights and optimiser state, written by any engine on any number of ranks; collective."""
        ...


class BatchSource(Protocol):
    """Where the loop gets its batches: the same number of steps on every rank, whatever the rank."""

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps in each epoch."""
        ...

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` from `start_step` on."""
        ...
