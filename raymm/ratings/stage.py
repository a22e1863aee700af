"""One stage of a model that is trained step after step of its parts: what learns, from how many rows, how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn

from raymm.contracts import Batch, ParameterGroup, Scorer
from raymm.errors import TrainingError

ROWS = "rows"
"""Name of the parameter group whose gradients are sparse: tables of which a step touches few rows."""


@dataclass(frozen=True)
class StageTraining:
    """How a stage learns.

    Attributes:
        rows: Training rows.
        batch_size: Rows of a step.
        learning_rate: Of Adam.
        epochs: Most epochs.
        patience: Epochs without improvement after which it stops; it matters where there is an `error`.
    """

    rows: int
    batch_size: int
    learning_rate: float
    epochs: int
    patience: int = 1_000_000


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage.

    Attributes:
        name: What the artefact it leaves is called.
        tables: Returns what it leaves, once it is done.
        model: What learns, a `contracts.RecModel`; None where the stage was solved in closed form.
        training: How; None with `model`.
        error: Returns the validation error, lower is better; the best epoch is kept, the start included. None keeps
            the last epoch.
        draws: What the model draws from while it learns; its state is kept with the tables, so that a training that
            goes on from a finished stage draws what it would have drawn.
    """

    name: str
    tables: Callable[[], Mapping[str, torch.Tensor]]
    model: RowModel | None = None
    training: StageTraining | None = None
    error: Callable[[], float] | None = None
    draws: torch.Generator | None = None


class Staged(Protocol):
    """A model in the making: each stage is run before the next is asked for."""

    def stages(self) -> Iterator[Stage]:
        """Yield the stages in order."""
        ...

    @property
    def keeps_epochs(self) -> bool:
        """Whether every epoch of the last stage shall be kept, to be told apart on the test set.

        Published codes choose the epoch there; figures of that kind are reported as `parity_` and never selected by.
        """
        ...

    def facts(self) -> Mapping[str, float]:
        """Return what was observed: settings that were chosen, gates, gains."""
        ...

    def scorer(self) -> Scorer:
        """Return the finished model of the target domain; its scores are ratings."""
        ...


@runtime_checkable
class Ranks(Protocol):
    """A `Staged` model that ranks by something else than by the ratings it predicts."""

    def ranker(self) -> Scorer:
        """Return what ranks the items of the target domain."""
        ...


class RowModel(nn.Module):
    """A `contracts.RecModel` out of one loss over numbered rows.

    Args:
        network: Its parameters are learned.
        loss: Mean loss of the rows (B,) int64.
        sparse: Whether the gradients of all parameters are sparse.
    """

    def __init__(self, network: nn.Module, loss: Callable[[torch.Tensor], torch.Tensor], sparse: bool = False) -> None:
        super().__init__()
        self.network = network
        self._loss = loss
        self._sparse = sparse

    def start_epoch(self, epoch: int) -> dict[str, float]:  # noqa: ARG002 - nothing is renewed
        """Do nothing; see `contracts.RecModel`."""
        return {}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the loss of the rows of a batch.

        Raises:
            TrainingError: The batch has no rows.
        """
        if batch.rows is None:
            raise TrainingError("a batch of triples", "a batch of rows", "training step", "use a source of rows")
        return {"loss": self._loss(batch.rows)}

    def diagnostics(self) -> dict[str, float]:
        """Return nothing; see `contracts.RecModel`."""
        return {}

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return all parameters as one group."""
        return (ParameterGroup(ROWS if self._sparse else "network", tuple(self.network.parameters())),)

    def scorer(self, domain: str) -> Scorer:
        """Refuse: a stage is no finished model."""
        raise TrainingError(f"a scorer of {domain!r} out of one stage", "the model of all stages", "staged training")
