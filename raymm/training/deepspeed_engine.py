"""The DeepSpeed engine: ZeRO stages 0 to 2 over the data-parallel ranks, columns as model parallelism."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist

from raymm.config import check, setting
from raymm.contracts import Batch, RecModel
from raymm.errors import TrainingError
from raymm.parallel.columns import column_shares
from raymm.parallel.grid import Grid
from raymm.training.checkpoint import write_checkpoint
from raymm.training.engine import (
    MOMENTS,
    LearningRates,
    OptimizerConfig,
    as_module,
    make_optimizer,
    pack,
    pack_shares,
    read_packed,
    reduced_losses,
    to_device,
    trained,
)


@dataclass(frozen=True)
class DeepSpeedConfig:
    """What DeepSpeed adds to an engine."""

    zero_stage: Literal[0, 1, 2] = setting(
        1, "ZeRO: 0 none, 1 splits optimiser state, 2 gradients too; over ranks that split the batch, if any do"
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


class DeepSpeedEngine:
    """DeepSpeed carries the step; losses equal those of `TorchEngine`.

    DeepSpeed averages gradients over the data-parallel ranks and splits optimiser state (and gradients) over them; the
    column group is handed to it as the model-parallel group. Where no ranks split the batch, ZeRO has nothing to split:
    stage 0 is used, whose losses are the same in every bit, without its copies of all gradients. Checkpoints are in
    raymm's own format, which does not depend on the ZeRO stage or the number of ranks, and hold no pickle.

    Args:
        model: A `RecModel` that is a torch module.
        grid: The grid of ranks; a process group must exist, if only of one rank.
        optimizer: Optimiser settings.
        config: DeepSpeed's settings.
        device: Where the batches go; DeepSpeed moves the model itself.

    Raises:
        TrainingError: There is no process group.
    """

    def __init__(
        self, model: RecModel, grid: Grid, optimizer: OptimizerConfig, config: DeepSpeedConfig, device: torch.device
    ) -> None:
        if not dist.is_initialized():
            raise TrainingError("no process group", "torch.distributed initialised, if only with one rank", "DeepSpeed")
        logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
        import deepspeed  # takes seconds, and only workers need it

        deepspeed.utils.logger.setLevel(logging.WARNING)
        # Without this DeepSpeed compiles a shared-memory all-reduce on CPU-only machines at first use (half a minute, a
        # compiler, a lock file that a killed worker leaves behind); gradients are reduced by gloo as well without it.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        self._grid = grid
        self._device = device
        self._module = as_module(model).to(device)
        self._stage = config.zero_stage if grid.data_parallel > 1 else 0
        adam = make_optimizer(model, optimizer)
        self._rates = LearningRates(adam, optimizer)
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=self._module,
            optimizer=adam,
            mpu=_ModelParallelUnit(grid),
            dist_init_required=False,
            config=_settings(grid, self._stage),
        )
        if self._stage:
            _start_moments(self._optimizer)

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rates; see `contracts.Engine`. ZeRO keeps the groups of the optimiser that it was given."""
        self._rates.start_epoch(epoch)

    def step(self, batch: Batch) -> dict[str, float]:
        """Do one step; see `contracts.Engine`."""
        losses = self._engine(to_device(batch, self._device))
        self._engine.backward(torch.stack(list(losses.values())).sum())
        self._engine.step()
        return reduced_losses(losses, self._grid)

    def save(self, folder: Path) -> None:
        """Write weights and moments; see `contracts.Engine`."""
        tensors, shares = {}, {}
        own = column_shares(self._module)
        for name, parameter in trained(self._module).items():
            tensors.update(pack(name, *self._full(parameter)))
            shares.update(pack_shares(name, own))
        write_checkpoint(folder, self._grid, tensors, shares)

    def load(self, folder: Path) -> None:
        """Read weights and moments; see `contracts.Engine`."""
        names = trained(self._module)
        stored = read_packed(folder, names, column_shares(self._module))
        for name, parameter in names.items():
            tensors = {slot: stored[f"{slot}/{name}"].to(self._device) for slot in ("weight", *MOMENTS, "step")}
            with torch.no_grad():
                parameter.copy_(tensors["weight"])
            self._set(parameter, tensors)

    def _full(self, parameter: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Collect one parameter and its moments from the ranks that share them (collective for ZeRO 1 and 2)."""
        if self._stage == 0:
            state = self._optimizer.state.get(parameter)
            if not state:
                state = {"step": torch.zeros(()), **{slot: torch.zeros_like(parameter) for slot in MOMENTS}}
            return parameter, state
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        state = {slot: safe_get_full_optimizer_state(parameter, slot) for slot in MOMENTS}
        return safe_get_full_fp32_param(parameter), {**state, "step": self._steps()}

    def _set(self, parameter: torch.Tensor, tensors: dict[str, torch.Tensor]) -> None:
        if self._stage == 0:
            moments = {slot: tensors[slot] for slot in MOMENTS}
            self._optimizer.state[parameter] = {"step": tensors["step"], **moments}
            return
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        safe_set_full_fp32_param(parameter, tensors["weight"])
        for slot in MOMENTS:
            safe_set_full_optimizer_state(parameter, tensors[slot], slot)
        for state in self._optimizer.optimizer.state.values():
            state["step"] = tensors["step"].clone()

    def _steps(self) -> torch.Tensor:
        """Return Adam's step count, equal for all parameters, as every parameter gets a gradient in every step."""
        step: torch.Tensor = next(iter(self._optimizer.optimizer.state.values()))["step"]
        return step


class _ModelParallelUnit:
    """Tells DeepSpeed which ranks hold different columns (model parallel) and which the same (data parallel)."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        # DeepSpeed wants real groups, of one rank too.
        self._column_group = grid.column_group or _group_of_one(grid)
        self._data_group = grid.data_group or _group_of_one(grid)

    def get_model_parallel_rank(self) -> int:
        return self._grid.column_rank

    def get_model_parallel_world_size(self) -> int:
        return self._grid.column_parallel

    def get_model_parallel_group(self) -> Any:
        return self._column_group

    def get_data_parallel_rank(self) -> int:
        return self._grid.data_rank

    def get_data_parallel_world_size(self) -> int:
        return self._grid.data_parallel

    def get_data_parallel_group(self) -> Any:
        return self._data_group


def _start_moments(zero: Any) -> None:
    """Give every flat partition of a ZeRO optimiser its moments now, and link them to the parameters.

    DeepSpeed 0.19 links moments after the first group's first step, when other groups have none yet, and never again;
    so with several learning rates the moments could not be read back. Adam starts from the same zeros by itself.
    """
    for flat in zero.single_partition_of_fp32_groups:
        zero.optimizer.state[flat] = {
            "step": torch.zeros((), device=flat.device),
            **{slot: torch.zeros_like(flat) for slot in MOMENTS},
        }
    zero._lazy_init_hp_params_optimizer_state()


def _group_of_one(grid: Grid) -> Any:
    """Return the group of this rank alone; every rank takes part in the making of all of them."""
    return [dist.new_group([rank]) for rank in range(grid.world_size)][grid.rank]


def _settings(grid: Grid, stage: int) -> dict[str, Any]:
    # Losses are sums over own rows divided by all rows, so DeepSpeed's batch size carries no meaning here.
    return {
        "train_batch_size": grid.data_parallel,
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": {"stage": stage},
        "zero_allow_untrusted_optimizer": True,
        "steps_per_print": 10**9,
    }
