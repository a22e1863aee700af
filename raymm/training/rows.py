"""Steps over numbered rows, and an engine whose steps cost the rows they touch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from raymm.contracts import Batch, RecModel
from raymm.errors import ArtefactError, TrainingError
from raymm.parallel.grid import single
from raymm.training.engine import as_module, reduced_losses

_TABLES = "tables.safetensors"
_ORDER, _MODEL = 0, 1


class RowSource:
    """Cuts the numbers of training rows into steps, in another order every epoch.

    Args:
        rows: Number of rows.
        batch_size: Rows of a step; the last step has what is left.
        seed: Seed of the orders; they depend on it and on the epoch alone.
    """

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        if rows < 1 or batch_size < 1:
            raise TrainingError(f"{rows} rows, steps of {batch_size}", "at least one of each", "training rows")
        self._rows, self._batch_size, self._seed = rows, batch_size, seed

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps in each epoch."""
        return -(-self._rows // self._batch_size)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch`; see `contracts.BatchSource`."""
        order = torch.from_numpy(np.random.default_rng([self._seed, _ORDER, epoch]).permutation(self._rows))
        for step in range(start_step, self.steps_per_epoch):
            start = step * self._batch_size
            seed = int(np.random.default_rng([self._seed, _MODEL, epoch, step]).integers(2**62))
            yield Batch((), seed, order[start : start + self._batch_size])


class RowEngine:
    """Plain torch on one process: Adam, whose steps cost only the rows touched where gradients are sparse.

    Differs from Adam on sparse gradients: a row's moments rest while no step touches it ("lazy" Adam).

    Args:
        model: What learns.
        learning_rate: Of Adam.
        sparse: Name of the parameter group with sparse gradients.
    """

    def __init__(self, model: RecModel, learning_rate: float, sparse: str) -> None:
        self._module = as_module(model)
        groups = {group.name: list(group.parameters) for group in model.parameter_groups()}
        rows = groups.pop(sparse, [])
        dense = [parameter for group in groups.values() for parameter in group]
        self._optimizers: list[torch.optim.Optimizer] = []
        if rows:
            self._optimizers.append(torch.optim.SparseAdam(rows, lr=learning_rate))
        if dense:
            self._optimizers.append(torch.optim.Adam(dense, lr=learning_rate, fused=True))

    def start_epoch(self, epoch: int) -> None:
        """Leave the learning rate as it is; see `contracts.Engine`."""

    def step(self, batch: Batch) -> dict[str, float]:
        """Do one step; see `contracts.Engine`."""
        losses = self._module(batch)
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        for optimizer in self._optimizers:
            optimizer.step()
        return reduced_losses(losses, single())

    def save(self, folder: Path) -> None:
        """Write the weights; moments are not kept, as a stage that was interrupted starts anew."""
        write_tables(folder, dict(self._module.named_parameters()))

    def load(self, folder: Path) -> None:
        """Read the weights that `save` wrote."""
        stored = read_tables(folder)
        with torch.no_grad():
            for name, value in self._module.named_parameters():
                value.copy_(stored[name])


def write_tables(folder: Path, tables: Mapping[str, torch.Tensor]) -> None:
    """Write what a stage leaves, without pickle."""
    save_file({name: value.detach().contiguous().clone() for name, value in tables.items()}, folder / _TABLES)


def read_tables(folder: Path) -> dict[str, torch.Tensor]:
    """Read what `write_tables` wrote.

    Raises:
        ArtefactError: There is nothing, or it cannot be read.
    """
    try:
        return load_file(folder / _TABLES)
    except (OSError, SafetensorError) as error:
        raise ArtefactError(
            f"no readable tables: {error}", "those of a stage", str(folder), "train it again"
        ) from error
