"""Compare transport solvers on one machine: time, peak memory, value, error and gap, sizes doubling until each fails.

    python jobs/bench_transport.py --output bench --threads 1
    python jobs/bench_transport.py --output bench --plot jobs/figures/transport.png    # draw what was measured
    python jobs/bench_transport.py --output one --sizes 100000 --methods raymm_partitioned --target-gap 0.008

Every figure comes from a process of its own with the same number of threads and the same limits on processor time and
memory. Input is float32, but float64 where the name says so (what numpy hands to POT) and for the low-rank solver,
which needs it. All minimise <C, P> + epsilon KL(P | a x b) with C = 1 - cos, but the low-rank solver, which minimises
<C, P> over plans of rank 60. Solvers stop at the same error of the columns where they can be told to; the partitioned
one stops at a gap, and geomloss (tensorised: its other backends need KeOps) takes a number of steps, chosen so that it
comes near. Value and gap are those of one judge for all: potentials are brought to a plan that exists and to a lower
bound on the optimum after the clock has stopped. `table.json` holds all figures, `transport.png` shows them, and stdout
has a table.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

Points = tuple[torch.Tensor, torch.Tensor]
Finish = Callable[[], dict[str, Any]]  # works out the figures once the clock has stopped
Solver = Callable[[Points, argparse.Namespace], Finish]

_GEOMLOSS_STEPS = 280  # at (nearly) the wanted epsilon; its own annealing ends ten times less accurate for more time
_PEAK_UNIT = 1024 if sys.platform != "darwin" else 1  # ru_maxrss is in KiB on Linux


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison, draw an earlier one, or take one measurement in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="folder for table.json and transport.png")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the table in --output to FILE, measure nothing")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1250 * 2**power for power in range(10)])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--threads", type=int, default=1, help="threads of every solver")
    parser.add_argument("--epsilon", type=float, default=0.05)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--tolerance", type=float, default=1e-4, help="column error (L1) at which solvers stop")
    parser.add_argument("--target-gap", type=float, default=0.01, help="relative gap of the partitioned solver")
    parser.add_argument("--bound", choices=("deterministic", "sampled"), default="deterministic")
    parser.add_argument("--limit-cpu-s", type=float, default=120.0, help="a method that takes longer is dropped")
    parser.add_argument("--memory-gib", type=float, default=8.0, help="a method that needs more is dropped")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        sys.stdout.write(json.dumps(_measure(given.one[0], int(given.one[1]), given)) + "\n")
        return 0
    if given.output is None:
        parser.error("--output is needed")
    file = given.output / "table.json"
    if given.plot is None:
        given.output.mkdir(parents=True, exist_ok=True)
        _compare(given, file)
    elif not file.is_file():
        parser.error(f"no {file} to draw")
    rows = json.loads(file.read_text())["rows"]
    if any("failure" not in row for row in rows):
        _plot(rows, given.plot or given.output / "transport.png")
    sys.stdout.write(summary(rows))
    return 0


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table: the largest size that each method managed, what stopped it, and its figures there."""
    lines = ["| method | users a side | cpu s | added MiB | value | column error | relative gap | stopped by |"]
    lines.append("|" + "---|" * 8)
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        ends = [f"{row['failure']} at {row['n']:,}" for row in own if "failure" in row] or ["not pushed further"]
        for row in (row for row in own if "failure" not in row):
            figures = [f"{row['cpu_s']:.1f}", f"{row['added_bytes'] / 2**20:,.0f}"]
            figures += [f"{row[name]:{form}}" if name in row else "" for name, form in _SHOWN.items()]
            last = row is [r for r in own if "failure" not in r][-1]
            lines.append(f"| {method} | {row['n']:,} | {' | '.join(figures)} | {ends[0] if last else ''} |")
        if all("failure" in row for row in own):
            lines.append(f"| {method} |  |  |  |  |  |  | {ends[0]} |")
    return "\n".join(lines) + "\n"


_SHOWN = {"value": ".5f", "error": ".1e", "gap": ".2e"}


def _circumstances(given: argparse.Namespace) -> dict[str, Any]:
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }
    settings = {name: value for name, value in vars(given).items() if name not in ("output", "one", "plot")}
    return {"machine": machine, "settings": settings, "torch": torch.__version__}


def _compare(given: argparse.Namespace, file: Path) -> None:
    """Measure, and write what is known after each measurement: an hour's work outlives an interruption."""
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
            file.write_text(json.dumps({**_circumstances(given), "rows": with_gaps(rows)}, indent=1) + "\n")


def with_gaps(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give methods without potentials, which have a value and no bound of their own, the best bound of their size."""
    found = []
    for row in rows:
        best = max((other["lower"] for other in rows if other["n"] == row["n"] and "lower" in other), default=None)
        known = best is None or "value" not in row or "gap" in row
        found.append(dict(row) if known else {**row, "gap": (row["value"] - best) / best})
    return found


def _in_own_process(method: str, size: int, given: argparse.Namespace) -> dict[str, Any]:
    names = ("threads", "epsilon", "dimension", "tolerance", "target_gap", "bound", "limit_cpu_s", "memory_gib")
    options = [part for name in names for part in (f"--{name.replace('_', '-')}", str(getattr(given, name)))]
    command = [sys.executable, str(Path(__file__).resolve()), "--one", method, str(size), *options]
    root = str(Path(__file__).resolve().parents[1])
    threads = {name: str(given.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = {**os.environ, **threads, "PYTHONPATH": root}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        failure = lines[-1][:200]
        if done.returncode == -signal.SIGXCPU:
            failure = f"more than {given.limit_cpu_s:g} cpu-s"
        elif any(words in failure.lower() for words in ("memoryerror", "allocate memory", "unable to allocate")):
            failure = f"more than {given.memory_gib:g} GiB"
        return {"method": method, "n": size, "failure": failure}
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
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + given.limit_cpu_s), hard))
    wall, processor = time.perf_counter(), time.process_time()
    finish = solve(points, given)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
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


def judged(points: Points, g: torch.Tensor, epsilon: float) -> dict[str, Any]:
    """Return value, lower bound, relative gap and column error of the plan that potentials g (m,) stand for.

    Rows are made exact; the value is that of the plan rounded to the exact columns, and the bound is the dual value.
    """
    from raymm.transport import bilinear, certificate
    from raymm.transport.cells import joint_cells
    from raymm.transport.problem import state_problem
    from raymm.transport.sweep import LocalSweep

    whole = state_problem(bilinear.cosine(*points), None, None, epsilon)
    cells = joint_cells(whole.cost.source, whole.cost.target, 64, torch.Generator().manual_seed(0))
    problem = whole.between(cells[0].order, cells[1].order)
    g = g.double()[cells[1].order]
    sweep = LocalSweep(problem)
    columns = sweep.columns(g)
    f = sweep.potentials().clone()
    upper = certificate.upper_bound(problem, sweep, g, columns, cells)
    found = certificate.certify(problem, upper, certificate.lower_bound(problem, f, g, f), 1.0)
    return {"value": found.upper, "lower": found.lower, "gap": found.relative_gap, "error": found.column_error}


def _raymm_exact(points: Points, given: argparse.Namespace) -> Finish:
    from raymm.transport import bilinear
    from raymm.transport.problem import state_problem
    from raymm.transport.sinkhorn import SolverConfig
    from raymm.transport.streaming import sampled_start, solve_streaming

    problem = state_problem(bilinear.cosine(*points), None, None, given.epsilon)
    start = sampled_start(problem, max(2, len(points[0]) // 10), torch.Generator().manual_seed(0))
    found = solve_streaming(problem, SolverConfig(tolerance=given.tolerance), start)
    return lambda: {"iterations": found.iterations, **judged(points, found.g, given.epsilon)}


def _raymm_partitioned(points: Points, given: argparse.Namespace) -> Finish:
    from dataclasses import asdict

    from raymm.transport import bilinear
    from raymm.transport.partitioned import PartitionConfig, solve_partitioned
    from raymm.transport.problem import state_problem

    problem = state_problem(bilinear.cosine(*points), None, None, given.epsilon)
    config = PartitionConfig(target_gap=given.target_gap, bound=given.bound)
    found = solve_partitioned(problem, config, torch.Generator().manual_seed(0))
    report = found.certificate
    facts = {"iterations": found.iterations, "reached": found.reached, "seconds": found.seconds}
    facts |= {"value": report.upper, "gap": report.relative_gap, "error": report.column_error}
    return lambda: facts | {"certificate": asdict(report)} | ({"lower": report.lower} if report.deterministic else {})


def _pot_dense(method: str, kind: torch.dtype = torch.float32) -> Solver:
    def solve(points: Points, given: argparse.Namespace) -> Finish:
        import ot

        x, y = (side.to(kind) for side in points)
        n = len(x)
        a = torch.full((n,), 1.0 / n, dtype=x.dtype)
        # POT stops on the L2 norm of the column residual; for residuals of one size L1 is sqrt(2 n / pi) times that.
        stop = given.tolerance / math.sqrt(2.0 * n / math.pi)
        _, log = ot.sinkhorn(
            a, a, 1.0 - x @ y.T, given.epsilon, method=method, numItermax=20_000, stopThr=stop, log=True, warn=False
        )
        logarithms = log["log_v"] if "log_v" in log else log["v"].log()
        g = given.epsilon * (logarithms.double() + math.log(n))
        return lambda: {"iterations": int(log["niter"]), **judged(points, g, given.epsilon)}

    return solve


def _pot_lazy(points: Points, given: argparse.Namespace) -> Finish:
    import ot

    x, y = points
    # On unit vectors |x - y|^2 = 2 (1 - cos): the same problem at twice the epsilon. It stops on the L1 norm.
    _, g, log = ot.bregman.empirical_sinkhorn(
        x,
        y,
        2.0 * given.epsilon,
        numIterMax=20_000,
        stopThr=given.tolerance,
        isLazy=True,
        batchSize=256,
        log=True,
        warn=False,
    )
    potentials = given.epsilon * (g.double() + math.log(len(y)))  # g is over epsilon and holds the mass
    return lambda: {"iterations": int(log["niter"]) + 1, **judged(points, potentials, given.epsilon)}


def _pot_low_rank(points: Points, given: argparse.Namespace) -> Finish:
    import ot

    x, y = (side.double() for side in points)
    q, r, g = ot.lowrank.lowrank_sinkhorn(x, y, reg=0.0, rank=60, numItermax=2000, stopThr=1e-6, warn=False)[:3]

    def figures() -> dict[str, Any]:
        n = len(x)
        columns, linear, entropy = torch.zeros(n, dtype=torch.float64), 0.0, 0.0
        for start in range(0, n, 256):
            rows = slice(start, start + 256)
            plan = (q[rows] / g) @ r.T
            columns += plan.sum(dim=0)
            linear += float((plan * (1.0 - x[rows] @ y.T)).sum())
            entropy += float(torch.special.xlogy(plan, plan * n * n).sum())
        error = float((columns - 1 / n).abs().sum())
        return {"error": error, "linear_value": linear, "value": linear + given.epsilon * entropy}

    return figures


def _geomloss(points: Points, given: argparse.Namespace) -> Finish:
    from geomloss import SamplesLoss

    # Half the squared distance of unit vectors is 1 - cos, and epsilon is the square of `blur`.
    blur, scaling = math.sqrt(given.epsilon), 1.0 - 1e-6
    loss = SamplesLoss(
        "sinkhorn",
        p=2,
        blur=blur,
        diameter=blur * scaling**-_GEOMLOSS_STEPS,
        scaling=scaling,
        debias=False,
        potentials=True,
        backend="tensorized",
    )
    _, g = loss(*points)
    return lambda: judged(points, g.reshape(-1), given.epsilon)


METHODS: dict[str, Solver] = {
    "raymm_exact": _raymm_exact,
    "raymm_partitioned": _raymm_partitioned,
    "pot_sinkhorn": _pot_dense("sinkhorn"),
    "pot_sinkhorn_float64": _pot_dense("sinkhorn", torch.float64),
    "pot_sinkhorn_log": _pot_dense("sinkhorn_log"),
    "pot_lazy": _pot_lazy,
    "pot_low_rank": _pot_low_rank,
    "geomloss_tensorized": _geomloss,
}


def _plot(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter

    figure, axes = plt.subplots(1, 3, figsize=(12.5, 3.9), layout="constrained")
    shown = (
        ("cpu_s", 1.0, "processor time, s"),
        ("added_bytes", 2.0**20, "added memory, MiB"),
        ("gap", 1.0, "relative gap"),
    )
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method and "failure" not in row]
        ours = method.startswith("raymm")
        for axis, (name, unit, _) in zip(axes, shown, strict=True):
            points = [(row["n"], max(row[name] / unit, 1e-6)) for row in own if name in row]
            style = {"marker": "s" if ours else "o", "linewidth": 2.4 if ours else 1.1, "markersize": 4}
            axis.plot(*zip(*points, strict=True), label=method, **style) if points else None
    for axis, (_, _, label) in zip(axes, shown, strict=True):
        axis.set(xscale="log", yscale="log", xlabel="users of each side", title=label)
        sizes = sorted({row["n"] for row in rows})
        axis.set_xticks(sizes, [f"{size / 1000:g}k" for size in sizes], fontsize=7)
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(visible=True, which="major", alpha=0.25)
    axes[0].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=85)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
