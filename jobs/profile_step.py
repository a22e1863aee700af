"""Say where the time of a training step goes, and how far each part is from the floor of its bytes and operations.

    python jobs/profile_step.py --prepared prepared/arts --preset paper

Trains a few steps of GUME in this process with one thread, then times its kinds of work. The floor of a part is its
operations at the speed of a large matrix product on this machine, or its bytes at the speed of a copy, whichever is
more; both speeds are measured in the same run. Sparse products count each stored entry once a column, two operations.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from raymm import config
from raymm.data.prepared import open_prepared
from raymm.data.sampling import Positives, TripleSource
from raymm.experiment import build_experiment
from raymm.models.registry import find_trained
from raymm.models.spec import Place
from raymm.parallel.grid import single
from raymm.training.engine import TorchEngine

_GROUPS = {
    "aten::addmm": "products", "aten::mm": "products", "aten::addmm_": "products", "aten::bmm": "products",
    "aten::_fused_adam_": "Adam", "aten::exp_": "exponentials", "aten::copy_": "copies", "aten::cat": "copies",
    "aten::clone": "copies", "aten::fill_": "fills", "aten::zero_": "fills",
}  # fmt: skip


def main() -> int:
    """Profile, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="gume", choices=["gume"])
    parser.add_argument("--prepared", type=Path, required=True, help="prepared folder")
    parser.add_argument("--preset", default="default", help="preset of the model (default: default)")
    parser.add_argument("--batch", type=int, default=2048, help="rows of a step (default: 2048)")
    parser.add_argument("--steps", type=int, default=10, help="steps to time (default: 10)")
    parser.add_argument("--threads", type=int, default=1, help="threads (default: 1)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    engine, batches, steps, parts = _made(chosen)
    for _ in range(2):
        engine.step(next(batches))
    seconds = []
    for _ in range(chosen.steps):
        start = time.perf_counter()
        engine.step(next(batches))
        seconds.append(time.perf_counter() - start)
    best, middle = min(seconds), sorted(seconds)[len(seconds) // 2]
    _say(f"step {1e3 * middle:.0f} ms (best {1e3 * best:.0f}), {steps} steps an epoch: {middle * steps:.1f} s")
    _kinds(engine, batches)
    _floors(parts, best)
    return 0


def _made(chosen: argparse.Namespace) -> tuple[TorchEngine, Any, int, list[tuple[str, float, float]]]:
    values = {"model": chosen.model, "preset": chosen.preset}
    experiment = build_experiment(config.override(values, [*chosen.set, f"train.batch_size={chosen.batch}"]))
    prepared = experiment.scope(open_prepared(chosen.prepared))
    spec, data = find_trained(chosen.model), prepared.train_data()
    spec.check([domain.name for domain in data.domains])
    settings, domain = experiment.settings, data.domains[0]
    structure = spec.structure(settings, domain, 0)
    device = torch.device("cpu")
    model: Any = spec.build(settings, data, (structure,), Place(single(), device, 0))
    rows = [Positives(*prepared.train_pairs(domain.name), domain.n_items)]
    source = TripleSource(rows, chosen.batch, 0, single(), experiment.train.negatives)
    batches = (batch for epoch in range(1, 1000) for batch in source.epoch(epoch))
    engine = TorchEngine(model, single(), experiment.train.optimizer, device)
    nodes, width = domain.n_users + domain.n_items, settings.width
    tables = 2 if settings.extends else 1
    links = 2 * domain.interactions.nnz + structure.matrices["links"].nnz
    items = sum(structure.matrices[f"items.{name}"].nnz for name in domain.features)
    layers, item_layers, modes = settings.graph.interaction_layers, settings.graph.item_layers, len(domain.features)
    raw = sum(feature.values.shape[1] for feature in domain.features.values())
    distinct = len(torch.unique(next(iter(source.epoch(1))).domains[0].users))
    trained = sum(parameter.numel() for parameter in engine._module.parameters() if parameter.requires_grad)
    # Name, operations, bytes that must move; forward and backward.
    parts = [
        ("user-item graph", 4.0 * links * layers * width * tables, 8.0 * layers * 3 * nodes * width * tables),
        ("item graphs", 4.0 * items * item_layers * width, 8.0 * item_layers * 2 * domain.n_items * width * modes),
        ("items to users", 4.0 * domain.interactions.nnz * width * modes, 8.0 * nodes * width * modes),
        (
            "raw features",
            (6.0 if settings.train_features else 4.0) * domain.n_items * raw * width,
            4.0 * domain.n_items * raw * (3 if settings.train_features else 2),
        ),
        ("five contrasts", 5 * 6.0 * distinct * distinct * width, 5 * 4.0 * 6 * distinct * width),
        ("Adam", 10.0 * trained, 28.0 * trained),
    ]
    return engine, batches, source.steps_per_epoch, parts


def _kinds(engine: TorchEngine, batches: Any) -> None:
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        engine.step(next(batches))
    sums: dict[str, float] = {}
    for entry in profiler.key_averages():
        kind = _GROUPS.get(entry.key, "other elementwise work and overhead")
        sums[kind] = sums.get(kind, 0.0) + entry.self_cpu_time_total / 1e3
    total = sum(sums.values())
    _say(f"\n{'kind of work':38}{'ms':>8}{'share':>8}")
    for kind, ms in sorted(sums.items(), key=lambda pair: -pair[1]):
        _say(f"{kind:38}{ms:8.1f}{ms / total:8.1%}")


def _floors(parts: list[tuple[str, float, float]], step_s: float) -> None:
    left, right, table = torch.randn(2048, 1024), torch.randn(1024, 1024), torch.randn(1 << 24)
    operations = 2 * 2048 * 1024 * 1024 / _best(lambda: left @ right)
    moved = 2 * table.nbytes / _best(table.clone)
    _say(f"\nfloor, at {operations / 1e9:.0f} GFLOP/s and {moved / 1e9:.1f} GB/s")
    _say(f"{'part':22}{'GFLOP':>8}{'MB':>8}{'ms':>8}")
    total = 0.0
    for name, work, nbytes in parts:
        floor = max(work / operations, nbytes / moved)
        total += floor
        _say(f"{name:22}{work / 1e9:8.2f}{nbytes / 1e6:8.0f}{1e3 * floor:8.1f}")
    _say(f"{'together':22}{'':16}{1e3 * total:8.1f}   {step_s / total:.2f} times the floor is what a step takes")


def _best(work: Callable[[], Any], times: int = 7) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
