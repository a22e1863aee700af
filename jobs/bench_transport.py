"""Compare transport solvers on one machine: time, peak memory, value, error and gap, sizes doubling until each fails.

    python jobs/bench_transport.py --output bench --sizes 1000 2000 4000 8000 --threads 2
    python jobs/bench_transport.py --output bench --sizes 100000 --methods raymm_partitioned --target-gap 0.008

Every figure comes from a process of its own with the same number of threads. `table.json` holds all figures and
`transport.png` shows them. POT solves with its torch backend in float64, its default; raymm with float32 blocks.
All minimise <C, P> + epsilon KL(P | a x b) with C = 1 - cos, but the low-rank solver, whose value is <C, P> alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

Points = tuple[torch.Tensor, torch.Tensor]
_PEAK_UNIT = 1024 if sys.platform != "darwin" else 1  # ru_maxrss is in KiB on Linux


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison, or one measurement of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="folder for table.json and transport.png")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 4000, 8000, 16000, 32000])
    parser.add_argument("--methods", nargs="+", default=sorted(METHODS), choices=sorted(METHODS))
    parser.add_argument("--threads", type=int, default=2, help="threads of every solver")
    parser.add_argument("--epsilon", type=float, default=0.05)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="column error (L1) at which solvers stop")
    parser.add_argument("--target-gap", type=float, default=0.01, help="relative gap of the partitioned solver")
    parser.add_argument("--bound", choices=("deterministic", "sampled"), default="deterministic")
    parser.add_argument("--timeout-s", type=float, default=600.0, help="a method that takes longer is dropped")
    parser.add_argument("--memory-gib", type=float, default=8.0, help="a method that needs more is dropped")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        sys.stdout.write(json.dumps(_measure(given.one[0], int(given.one[1]), given)) + "\n")
        return 0
    if given.output is None:
        parser.error("--output is needed")
    given.output.mkdir(parents=True, exist_ok=True)
    rows = _compare(given)
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    settings = {name: value for name, value in vars(given).items() if name not in ("output", "one")}
    table = {"machine": machine, "settings": settings, "torch": torch.__version__, "rows": rows}
    (given.output / "table.json").write_text(json.dumps(table, indent=1) + "\n")
    if any("failure" not in row for row in rows):
        _plot(rows, given.output / "transport.png")
    return 0


def _compare(given: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    failed: set[str] = set()
    for size in sorted(given.sizes):
        for method in given.methods:
            if method in failed:
                continue
            row = _in_own_process(method, size, given)
            rows.append(row)
            sys.stderr.write(json.dumps(row) + "\n")
            if "failure" in row:
                failed.add(method)
    return rows


def _in_own_process(method: str, size: int, given: argparse.Namespace) -> dict[str, Any]:
    names = ("threads", "epsilon", "dimension", "tolerance", "target_gap", "bound", "memory_gib")
    options = [part for name in names for part in (f"--{name.replace('_', '-')}", str(getattr(given, name)))]
    command = [sys.executable, str(Path(__file__).resolve()), "--one", method, str(size), *options]
    root = str(Path(__file__).resolve().parents[1])
    threads = {name: str(given.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = {**os.environ, **threads, "PYTHONPATH": root}
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=given.timeout_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return {"method": method, "n": size, "failure": f"more than {given.timeout_s:g} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return {"method": method, "n": size, "failure": lines[-1][:200]}
    row: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def _measure(method: str, size: int, given: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(given.threads)
    limit = int(given.memory_gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    points = planted_users(size, given.dimension)
    solve = METHODS[method]
    solve(planted_users(100, given.dimension), given)  # imports and the first calls of kernels are nobody's time
    start_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
    wall, processor = time.perf_counter(), time.process_time()
    finish = solve(points, given)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT
    row = {"method": method, "n": size, "wall_s": wall, "cpu_s": processor, "peak_bytes": peak}
    return row | {"added_bytes": peak - start_bytes} | finish()


def planted_users(n: int, d: int, clusters: int = 60) -> Points:
    """Draw two domains of n users with the same 60 tastes in unequal shares; a third of the users are shared."""
    generator = torch.Generator().manual_seed(n)
    centres = torch.randn(clusters, 16, generator=generator)
    mixing = torch.randn(16, d, generator=generator) / 4

    def people(count: int) -> torch.Tensor:
        shares = torch.rand(clusters, generator=generator) + 0.3
        chosen = torch.multinomial(shares, count, True, generator=generator)
        return centres[chosen] + 0.5 * torch.randn(count, 16, generator=generator)

    shared = people(n // 3)
    sides = []
    for _ in range(2):
        tastes = torch.cat([shared, people(n - len(shared))])
        points = torch.tanh(tastes @ mixing) + 0.1 * torch.randn(n, d, generator=generator)
        sides.append(points / torch.linalg.vector_norm(points, dim=1, keepdim=True))
    return sides[0], sides[1]


def _raymm_exact(points: Points, given: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    from raymm.transport import bilinear
    from raymm.transport.problem import state_problem
    from raymm.transport.sinkhorn import SolverConfig
    from raymm.transport.streaming import solve_streaming

    problem = state_problem(bilinear.cosine(*points), None, None, given.epsilon)
    found = solve_streaming(problem, SolverConfig(tolerance=given.tolerance))
    facts = {"iterations": found.iterations, "error": found.error}
    return lambda: facts | {"value": float(found.f.mean() + found.g.mean())}


def _raymm_partitioned(points: Points, given: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    from dataclasses import asdict

    from raymm.transport import bilinear
    from raymm.transport.partitioned import PartitionConfig, solve_partitioned
    from raymm.transport.problem import state_problem

    problem = state_problem(bilinear.cosine(*points), None, None, given.epsilon)
    config = PartitionConfig(target_gap=given.target_gap, bound=given.bound)
    found = solve_partitioned(problem, config, torch.Generator().manual_seed(0))
    facts = {"iterations": found.iterations, "error": found.certificate.column_error, "reached": found.reached}
    facts |= {"value": found.certificate.upper, "gap": found.certificate.relative_gap, "seconds": found.seconds}
    return lambda: facts | {"certificate": asdict(found.certificate)}


def _pot_dense(method: str) -> Callable[[Points, argparse.Namespace], Callable[[], dict[str, Any]]]:
    def solve(points: Points, given: argparse.Namespace) -> Callable[[], dict[str, Any]]:
        import ot

        x, y = (side.double() for side in points)
        cost = 1.0 - x @ y.T
        a = torch.full((len(x),), 1.0 / len(x), dtype=torch.float64)
        # POT stops on the L2 norm of the column residual; for residuals of one size L1 is sqrt(2 n / pi) times that.
        stop = given.tolerance / math.sqrt(2.0 * len(x) / math.pi)
        plan, log = ot.sinkhorn(
            a, a, cost, given.epsilon, method=method, numItermax=20_000, stopThr=stop, log=True, warn=False
        )
        iterations = int(log.get("niter", 0))
        return lambda: {"iterations": iterations, **_dense_figures(plan, cost, given.epsilon)}

    return solve


def _pot_lazy(points: Points, given: argparse.Namespace) -> Callable[[], dict[str, Any]]:
    import ot

    x, y = (side.double() for side in points)
    n = len(x)
    stop = given.tolerance / math.sqrt(2.0 * n / math.pi)
    # On unit vectors |x - y|^2 = 2 (1 - cos): the same problem at twice the epsilon.
    f, g, log = ot.bregman.empirical_sinkhorn(
        x, y, 2.0 * given.epsilon, numIterMax=20_000, stopThr=stop, isLazy=True, batchSize=256, log=True, warn=False
    )

    def figures() -> dict[str, Any]:
        columns, value = torch.zeros(n, dtype=torch.float64), 0.0
        for start in range(0, n, 256):
            cost = 2.0 - 2.0 * x[start : start + 256] @ y.T
            plan = torch.exp(f[start : start + 256, None] + g - cost / (2.0 * given.epsilon))  # f, g are over epsilon
            columns += plan.sum(dim=0)
            value += float((plan * (0.5 * cost + given.epsilon * (plan * n * n).clamp_min(1e-300).log())).sum())
        return {
            "iterations": len(log.get("err", ())) * 10,
            "error": float((columns - 1 / n).abs().sum()),
            "value": value,
        }

    return figures


def _pot_low_rank(points: Points, given: argparse.Namespace) -> Callable[[], dict[str, Any]]:  # noqa: ARG001
    import ot

    x, y = (side.double() for side in points)
    q, r, g = ot.lowrank.lowrank_sinkhorn(x, y, reg=0.0, rank=60, numItermax=2000, stopThr=1e-6, warn=False)[:3]

    def figures() -> dict[str, Any]:
        columns = r @ (q.sum(dim=0) / g)
        linear = 1.0 - float((((q / g).T @ x) * (r.T @ y)).sum())
        return {"error": float((columns - 1 / len(y)).abs().sum()), "linear_value": linear}

    return figures


METHODS: dict[str, Callable[[Points, argparse.Namespace], Callable[[], dict[str, Any]]]] = {
    "raymm_exact": _raymm_exact,
    "raymm_partitioned": _raymm_partitioned,
    "pot_sinkhorn": _pot_dense("sinkhorn"),
    "pot_sinkhorn_log": _pot_dense("sinkhorn_log"),
    "pot_lazy": _pot_lazy,
    "pot_low_rank": _pot_low_rank,
}


def _dense_figures(plan: torch.Tensor, cost: torch.Tensor, epsilon: float) -> dict[str, Any]:
    n = len(plan)
    value = float((plan * (cost + epsilon * (plan * n * n).clamp_min(1e-300).log())).sum())
    error = float((plan.sum(dim=0) - 1.0 / n).abs().sum() + (plan.sum(dim=1) - 1.0 / n).abs().sum())
    return {"error": error, "value": value}


def _plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for method in sorted({row["method"] for row in rows}):
        own = [row for row in rows if row["method"] == method and "failure" not in row]
        sizes = [row["n"] for row in own]
        axes[0].plot(sizes, [row["wall_s"] for row in own], marker="o", label=method)
        axes[1].plot(sizes, [row["peak_bytes"] / 2**20 for row in own], marker="o", label=method)
    for axis, label in zip(axes, ("wall time, s", "peak memory of the process, MiB"), strict=True):
        axis.set(xscale="log", yscale="log", xlabel="users of each side", ylabel=label)
        axis.grid(visible=True, which="both", alpha=0.25)
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
