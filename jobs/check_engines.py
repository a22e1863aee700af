"""Compare the losses of every engine and grid on real data: each step of each must give what plain torch gives.

    python jobs/check_engines.py --prepared prepared/arts_office

Prints, for DeepSpeed on one rank, and for both engines on two ranks (columns split; and batch split, with ZeRO 1 and
2), the largest relative difference of any loss from plain torch on one rank over the first steps, and whether it is
within the limit (1e-5 on one rank, 1e-4 on two). The exit code is 1 if any is not.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from raymm import config
from raymm.data.prepared import open_prepared
from raymm.data.sampling import Positives, TripleSource
from raymm.experiment import build_experiment
from raymm.models.registry import find_trained
from raymm.models.spec import Place
from raymm.parallel.grid import make_grid
from raymm.training.deepspeed_engine import DeepSpeedConfig, DeepSpeedEngine
from raymm.training.engine import TorchEngine

# Where no ranks split the batch DeepSpeed has nothing to split, and runs stage 0 whatever was asked for.
CASES = [(engine, 0, shape) for shape in ((1, 1), (2, 1)) for engine in ("torch", "deepspeed")]
CASES += [("torch", 0, (1, 2)), ("deepspeed", 1, (1, 2)), ("deepspeed", 2, (1, 2))]


def main() -> int:
    """Run every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", type=Path, required=True, help="prepared folder with two domains")
    parser.add_argument("--steps", type=int, default=20, help="how many steps (default: 20)")
    parser.add_argument("--preset", default="default", help="preset of SIEOUG (default: default)")
    chosen = parser.parse_args()
    reference, bad = None, 0
    for engine, stage, shape in CASES:
        losses = _launch(shape, engine, stage, chosen)
        reference = reference or losses
        worst = max(
            abs(value - expected[name]) / abs(expected[name])
            for step, expected in zip(losses, reference, strict=True)
            for name, value in step.items()
        )
        limit = 1e-5 if shape == (1, 1) else 1e-4
        bad += worst > limit
        grid = f"{shape[0]} column x {shape[1]} data ranks"
        sys.stdout.write(f"{engine:9} ZeRO {stage}  {grid:26} {len(losses)} steps  {worst:.1e}  limit {limit:.0e}\n")
        sys.stdout.flush()
    return int(bad > 0)


def _launch(shape: tuple[int, int], engine: str, stage: int, chosen: argparse.Namespace) -> list[dict[str, float]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    queue: Any = mp.get_context("spawn").SimpleQueue()
    mp.spawn(_rank, (shape, port, queue, engine, stage, chosen), nprocs=shape[0] * shape[1], join=True)
    losses: list[dict[str, float]] = queue.get()
    return losses


def _rank(
    rank: int, shape: tuple[int, int], port: int, queue: Any, engine: str, stage: int, chosen: argparse.Namespace
) -> None:
    torch.set_num_threads(1)
    world = shape[0] * shape[1]
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world))
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    grid, device = make_grid(*shape), torch.device("cpu")
    experiment = build_experiment(config.override({"preset": chosen.preset}, ["settings.transfer.warmup_epochs=1"]))
    prepared = open_prepared(chosen.prepared)
    data, spec = prepared.train_data(), find_trained(experiment.model)
    model = spec.build(experiment.settings, data, spec.structures(experiment.settings, data, 0), Place(grid, device, 0))
    if engine == "torch":
        made: Any = TorchEngine(model, grid, experiment.train.optimizer, device)
    else:
        made = DeepSpeedEngine(model, grid, experiment.train.optimizer, DeepSpeedConfig(stage), device)
    rows = [Positives(*prepared.train_pairs(domain.name), domain.n_items) for domain in data.domains]
    source = TripleSource(rows, experiment.train.batch_size, 0, grid, experiment.train.negatives)
    losses: list[dict[str, float]] = []
    epoch = 0
    while len(losses) < chosen.steps:
        epoch += 1
        model.start_epoch(epoch)
        losses.extend(made.step(batch) for batch in source.epoch(epoch))
    if rank == 0:
        queue.put(losses[: chosen.steps])
    dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
