"""Measure what models of ratings cost by the number of ratings: seconds an epoch, seconds in all, memory.

    python jobs/bench_ratings.py --threads 2 --output ratings_bench.json
    python jobs/bench_ratings.py --shares 0.25 --presets default

Ratings are generated at the size of Amazon's Movies and TV (source) and CDs and Vinyl (target) in the cold-start task
of PTUPCDR and MIMNet: 1.7 and 1.1 million ratings, 18,031 shared users, half of them cold; items and users have long
tails, and taste is planted. Smaller shares have fewer users and as many ratings each. Every size is measured in a
process of its own, as memory is that of the whole process; what the generation needs is told apart. `processor` are
seconds of all its threads, the scorer's included: they are less hurt by what else runs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raymm.models.mimnet.config import COMPAT, DEFAULT
from raymm.models.mimnet.model import Mimnet
from raymm.ratings.protocol import redraw
from raymm.ratings.table import ColdStart, RatingTable
from raymm.verbs.stages import run_stages

SOURCE, TARGET, SHARED = (123_960, 50_052, 1_697_533), (75_258, 64_443, 1_097_592), 18_031
# Gates are open, so that the network is trained whatever the generated taste is worth.
OPEN = replace(DEFAULT, meta=replace(DEFAULT.meta, gate=0.0))
PRESETS = {"default": OPEN, "default, without ranking": replace(OPEN, ranks=False), "compat": COMPAT}


def main() -> int:
    """Measure each size and preset in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.25, 0.5, 1.0], help="of the users (default: all)")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=["default", "compat"], help="of MIMNet")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: 2)")
    parser.add_argument("--output", type=Path, help="file for all figures as JSON")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        torch.set_num_threads(chosen.threads)
        _say(json.dumps(measure(chosen.shares[0], chosen.presets[0])))
        return 0
    found = []
    _say(f"{'preset':26}{'ratings':>12}{'in all, s':>11}{'processor':>11}{'score, s':>10}{'peak, MB':>10}   s an epoch")
    for preset in chosen.presets:
        for share in chosen.shares:
            asked = ["--one", "--shares", str(share), "--presets", preset, "--threads", str(chosen.threads)]
            command = [sys.executable, __file__, *asked]
            said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            found.append(json.loads(said.splitlines()[-1]))
            _show(found[-1])
            if chosen.output is not None:
                chosen.output.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def measure(share: float, preset: str) -> dict[str, Any]:
    """Train on generated ratings, and say what it took."""
    generator = np.random.default_rng(0)
    problem, validation, _ = redraw(generated(share, generator), 0.5, generator)
    before = _peak_mb()
    start, processor = time.perf_counter(), time.process_time()
    model = Mimnet(PRESETS[preset], problem, validation, 0)
    records = run_stages(model, 0)
    trained = time.perf_counter()
    model.scorer()
    epochs: dict[str, list[float]] = {}
    for record in records:
        epochs.setdefault(record["stage"], []).append(record["seconds"]["train"] + record["seconds"]["validate"])
    return {
        "preset": preset,
        "share": share,
        "source_ratings": len(problem.source.users),
        "target_ratings": len(problem.target.users),
        "seconds": trained - start,
        "processor_seconds": time.process_time() - processor,
        "scorer_seconds": time.perf_counter() - trained,
        "epoch_seconds": epochs,
        "generated_mb": before,
        "peak_mb": _peak_mb(),
    }


def generated(share: float, generator: np.random.Generator) -> ColdStart:
    """Generate ratings of both domains: one taste of four directions, and long tails."""
    (n_source, *_), (n_target, *_) = SOURCE, TARGET
    sizes = [round(share * n) for n in (n_source, n_target, SHARED)]
    tables = []
    people = generator.normal(size=(sizes[0] + sizes[1] - sizes[2], 5)).astype(np.float32)
    persons = [np.arange(sizes[0]), np.arange(sizes[0] - sizes[2], len(people))]  # the last of the source are shared
    for (_, n_items, n_ratings), who in zip((SOURCE, TARGET), persons, strict=True):
        tables.append(_table(people[who], n_items, round(share * n_ratings), generator))
    source_of = np.full(sizes[1], -1, dtype=np.int64)
    source_of[: sizes[2]] = np.arange(sizes[0] - sizes[2], sizes[0])
    return ColdStart(tables[0], tables[1], source_of)


def _table(people: np.ndarray, n_items: int, n_ratings: int, generator: np.random.Generator) -> RatingTable:
    """Draw as many different pairs, five a user at least, by long tails; ratings are whole stars."""
    n_users = len(people)
    extra = generator.pareto(1.5, n_users)
    counts = 5 + np.floor(extra / extra.sum() * max(0, n_ratings - 5 * n_users)).astype(np.int64)
    users = np.repeat(np.arange(n_users), np.minimum(counts, n_items // 4))
    popular = 1.0 / np.arange(1, n_items + 1) ** 0.7
    items = np.searchsorted(np.cumsum(popular) / popular.sum(), generator.random(len(users)))
    pairs = np.unique(users * n_items + items)
    users, items = pairs // n_items, pairs % n_items
    taste = generator.normal(size=(n_items, 5)).astype(np.float32)
    values = 4.0 + 0.35 * np.einsum("nd,nd->n", people[users], taste[items]) + 0.5 * people[users, 0]
    values = values + 0.8 * generator.normal(size=len(values))
    return RatingTable(users, items, np.clip(np.round(values), 1, 5).astype(np.float64), n_users, n_items)


def _show(one: dict[str, Any]) -> None:
    epochs = ", ".join(f"{stage} {np.mean(times):.2f} x {len(times)}" for stage, times in one["epoch_seconds"].items())
    ratings = f"{(one['source_ratings'] + one['target_ratings']) / 1e6:.2f} M"
    _say(
        f"{one['preset']:26}{ratings:>12}{one['seconds']:11.1f}{one['processor_seconds']:11.1f}{one['scorer_seconds']:10.1f}{one['peak_mb']:10.0f}"
        f"   {epochs} (generation took {one['generated_mb']:.0f} MB)"
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
