"""Rank for everybody with generated models of growing size, and print rate and memory.

    python jobs/bench_recommend.py --output bench --users 10000 50000 100000 --items 10000

Each size is a model of one domain: inner products of random vectors, and ten known items a user.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from raymm.launch.session import connect
from raymm.scorers import DotScorer
from raymm.tracking.served import ServedDomain, write_served
from raymm.verbs.recommend import RecommendRequest, recommend

KNOWN = 10


def main() -> int:
    """Generate, rank, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for models and rankings")
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 50_000, 100_000], help="sizes")
    parser.add_argument("--items", type=int, default=10_000, help="items (default: 10000)")
    parser.add_argument("--width", type=int, default=64, help="width of the vectors (default: 64)")
    parser.add_argument("--k", type=int, default=20, help="length of the rankings (default: 20)")
    parser.add_argument("--workers", type=int, default=2, help="Ray workers; 0 ranks in this process (default: 2)")
    chosen = parser.parse_args()
    chosen.output.mkdir(parents=True)
    if chosen.workers:
        connect("local", chosen.workers + 1)  # outside of what is timed
    heads = ("users", "seconds", "users/s", "worker MB", "driver MB", "model MB", "output MB")
    _say(" ".join(f"{head:>10}" for head in heads))
    for users in chosen.users:
        model, ranked = chosen.output / f"model-{users}", chosen.output / f"ranked-{users}"
        write_served(model, [_domain(users, chosen.items, chosen.width)], {"generated": str(users)}, {})
        start = time.perf_counter()
        request = RecommendRequest(str(model), ranked, k=chosen.k, workers=chosen.workers, address="local")
        facts = recommend(request, None).facts
        seconds = time.perf_counter() - start
        memory = [facts[f"{who}_peak_bytes"] / 1e6 for who in ("worker", "driver")]
        row = (f"{users:,}", f"{seconds:.1f}", f"{facts['users_per_second']:,.0f}", *(f"{mb:,.0f}" for mb in memory))
        _say(" ".join(f"{cell:>10}" for cell in (*row, f"{_size(model):.1f}", f"{_size(ranked):.1f}")))
        shutil.rmtree(model)
    return 0


def _domain(users: int, items: int, width: int) -> ServedDomain:
    generator = np.random.default_rng(0)
    tables = (torch.from_numpy(generator.standard_normal((n, width), dtype=np.float32)) for n in (users, items))
    columns = generator.integers(0, items, users * KNOWN)
    starts = np.arange(users + 1) * KNOWN
    known = sparse.csr_array((np.ones(len(columns), np.float32), columns, starts), shape=(users, items))
    known.sum_duplicates()
    names = (np.array([str(number) for number in range(n)], dtype=object) for n in (users, items))
    return ServedDomain("generated", DotScorer(*tables), *names, known)


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
