"""The reference engine: plain torch, one optimiser step at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from raymm.config import check, setting
from raymm.contracts import Batch, RecModel, Triples
from raymm.errors import TrainingError
from raymm.parallel.columns import ColumnShare, column_shares
from raymm.parallel.grid import Grid
from raymm.training.checkpoint import read_checkpoint, write_checkpoint

# What Adam keeps for each parameter, and has to find again after a resume.
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class OptimizerConfig:
    """Adam (Kingma and Ba, 2015) over all parameters."""

    learning_rate: float = setting(1e-2, "learning rate of Adam", gt=0)
    beta1: float = setting(0.9, "decay of the mean gradient", ge=0, lt=1)
    beta2: float = setting(0.999, "decay of the mean squared gradient", ge=0, lt=1)
    decay: float = setting(1.0, "what the learning rate is multiplied by in the course of decay_epochs", gt=0, le=1)
    decay_epochs: int = setting(50, "epochs in which the learning rate falls by decay", unit="epochs", ge=1)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)

    def factor(self, epoch: int) -> float:
        """Return what the learning rate of `epoch`, counted from 1, is of that of the first epoch.

        It falls exponentially, a step an epoch: `decay ** ((epoch - 1) / decay_epochs)`.
        """
        return float(self.decay ** ((epoch - 1) / self.decay_epochs))


def make_optimizer(model: RecModel, config: OptimizerConfig) -> torch.optim.Adam:
    """Build Adam with the model's own groups of parameters, each at its multiple of the learning rate."""
    groups = [
        {"params": list(group.parameters), "lr": config.learning_rate * group.learning_rate_scale}
        for group in model.parameter_groups()
    ]
    return torch.optim.Adam(groups, lr=config.learning_rate, betas=(config.beta1, config.beta2), fused=True)


class LearningRates:
    """The learning rates of an optimiser's groups by epoch.

    Args:
        optimizer: Its groups have the learning rates of the first epoch.
        config: How they fall.
    """

    def __init__(self, optimizer: torch.optim.Adam, config: OptimizerConfig) -> None:
        self._groups, self._config = optimizer.param_groups, config
        self._first = [group["lr"] for group in self._groups]

    def start_epoch(self, epoch: int) -> None:
        """Set those of `epoch`, counted from 1; they depend on nothing that came before it."""
        factor = self._config.factor(epoch)
        for group, first in zip(self._groups, self._first, strict=True):
            group["lr"] = first * factor


class TorchEngine:
    """Plain torch: backward, mean over the data-parallel ranks, Adam.

    Args:
        model: A `RecModel` that is a torch module; moved to `device`.
        grid: The grid of ranks.
        config: Optimiser settings.
        device: Where the model and the batches go.
    """

    def __init__(self, model: RecModel, grid: Grid, config: OptimizerConfig, device: torch.device) -> None:
        self._module = as_module(model).to(device)
        self._grid = grid
        self._device = device
        self._optimizer = make_optimizer(model, config)
        self._rates = LearningRates(self._optimizer, config)

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rates; see `contracts.Engine`."""
        self._rates.start_epoch(epoch)

    def step(self, batch: Batch) -> dict[str, float]:
        """Do one step; see `contracts.Engine`."""
        losses = self._module(to_device(batch, self._device))
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        if self._grid.data_group is not None:
            for parameter in self._module.parameters():
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad, group=self._grid.data_group)
                    parameter.grad /= self._grid.data_parallel
        self._optimizer.step()
        return reduced_losses(losses, self._grid)

    def save(self, folder: Path) -> None:
        """Write weights and moments; see `contracts.Engine`."""
        tensors, shares = {}, {}
        own = column_shares(self._module)
        for name, parameter in trained(self._module).items():
            state = self._optimizer.state.get(parameter) or _empty_state(parameter)
            tensors.update(pack(name, parameter, state))
            shares.update(pack_shares(name, own))
        write_checkpoint(folder, self._grid, tensors, shares)

    def load(self, folder: Path) -> None:
        """Read weights and moments; see `contracts.Engine`."""
        own = column_shares(self._module)
        names = trained(self._module)
        stored = read_packed(folder, names, own)
        for name, parameter in names.items():
            state = {slot: stored[f"{slot}/{name}"].to(self._device) for slot in MOMENTS}
            with torch.no_grad():
                parameter.copy_(stored[f"weight/{name}"])
            self._optimizer.state[parameter] = {"step": stored[f"step/{name}"].to(self._device), **state}


def as_module(model: RecModel) -> nn.Module:
    """Return the model as a torch module.

    Raises:
        TrainingError: It is none.
    """
    if not isinstance(model, nn.Module):
        raise TrainingError(type(model).__name__, "a torch.nn.Module that satisfies RecModel", "engine")
    return model


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """Name the parameters that training changes, which a checkpoint must hold."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch's rows to `device`."""
    if device.type == "cpu":
        return batch
    moved = [
        replace(triples, users=users, positives=positives, negatives=negatives)
        for triples, (users, positives, negatives) in (
            (triples, tuple(rows.to(device, non_blocking=True) for rows in _rows(triples))) for triples in batch.domains
        )
    ]
    return Batch(tuple(moved), batch.seed)


def reduced_losses(losses: Mapping[str, torch.Tensor], grid: Grid) -> dict[str, float]:
    """Average each loss over the data-parallel ranks and bring all of them to Python in one transfer.

    Raises:
        TrainingError: A loss is not finite.
    """
    values = torch.stack([loss.detach().double() for loss in losses.values()])
    if grid.data_group is not None:
        dist.all_reduce(values, group=grid.data_group)
        values /= grid.data_parallel
    named = dict(zip(losses, values.tolist(), strict=True))
    bad = [f"{name} = {value}" for name, value in named.items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(
            ", ".join(bad), "finite losses", "training step", "lower the learning rate, or check features and ratings"
        )
    return named


def pack(name: str, weight: torch.Tensor, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Name one parameter's tensors as the checkpoint holds them."""
    return {
        f"weight/{name}": weight,
        **{f"{slot}/{name}": state[slot] for slot in MOMENTS},
        f"step/{name}": state["step"].reshape(()).float().clone(),  # ZeRO keeps one for all: files want their own
    }


def pack_shares(name: str, own: Mapping[str, ColumnShare]) -> dict[str, ColumnShare]:
    """Say which of one parameter's tensors are split by columns."""
    return {f"{slot}/{name}": own[name] for slot in ("weight", *MOMENTS)} if name in own else {}


def read_packed(
    folder: Path, parameters: Mapping[str, torch.Tensor], own: Mapping[str, ColumnShare]
) -> dict[str, torch.Tensor]:
    """Read every tensor that `pack` wrote, in this rank's columns."""
    shapes: dict[str, tuple[int, ...]] = {}
    shares: dict[str, ColumnShare] = {}
    for name, parameter in parameters.items():
        shapes.update({f"{slot}/{name}": tuple(parameter.shape) for slot in ("weight", *MOMENTS)})
        shapes[f"step/{name}"] = ()
        shares.update(pack_shares(name, own))
    return read_checkpoint(folder, shapes, shares)


def _rows(triples: Triples) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return triples.users, triples.positives, triples.negatives


def _empty_state(parameter: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"step": torch.zeros(()), **{slot: torch.zeros_like(parameter) for slot in MOMENTS}}
