"""Item graph and hypergraph of generated items: time and memory by the number of items, beside POT's dense solver.

    python jobs/bench_structure.py --output bench --sizes 25000 50000 100000
    python jobs/bench_structure.py --output bench --plot jobs/figures/structure.png     # draw what was measured

Items have two modalities; they lie around planted centres, and one item in five has a second modality that says nothing
of it. Half as many users as items choose ten each, eight of them of one kind. `raymm` finds exact neighbours, weighs
the modalities by these choices, fuses the similarities and gathers the items in 15 hyperedges, on Ray tasks. POT gets
the graph so made, dense, as its `gromov_wasserstein` wants it, and clusters alone. Every figure comes from a process of
its own; `tree` is the most that it and its workers held together, pages that they share counted once (sampled), with
Ray's own processes; `cpu` is their processor time. `table.json` holds all figures.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from scipy import sparse

_SAMPLE_S, _CLUSTERS = 0.5, 15
_SHOWN = (("graph", "graph s"), ("hypergraph", "hypergraph s"), ("cpu", "cpu s"), ("tree", "tree MiB"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, draw; or take one measurement in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of table.json")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the table in --output to FILE, measure nothing")
    parser.add_argument("--sizes", type=int, nargs="+", default=[25_000, 50_000, 100_000], help="items")
    parser.add_argument("--pot-sizes", type=int, nargs="*", default=[2_000, 4_000, 8_000, 16_000, 25_000], help="items")
    parser.add_argument("--columns", type=int, default=512, help="of each modality")
    parser.add_argument("--workers", type=int, default=2, help="tasks at a time, one thread each")
    parser.add_argument("--limit-s", type=float, default=300.0, help="POT is stopped after so long")
    parser.add_argument("--memory-gib", type=float, default=8.0, help="what POT may hold")
    parser.add_argument("--one", nargs=2, metavar=("METHOD", "SIZE"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        method, size = given.one[0], int(given.one[1])
        sys.stdout.write(json.dumps(_measured(method, size, given)) + "\n")
        return 0
    file = given.output / "table.json"
    if given.plot is None:
        given.output.mkdir(parents=True, exist_ok=True)
        _compare(given, file)
    elif not file.is_file():
        parser.error(f"no {file} to draw")
    rows = json.loads(file.read_text())["rows"]
    _draw(rows, given.plot or given.output / "structure.png")
    sys.stdout.write(table(rows))
    return 0


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the measurements as a Markdown table, with how often a planted kind is found again."""
    lines = ["| method | items | " + " | ".join(words for _, words in _SHOWN) + " | purity | stopped by |"]
    lines.append("|" + "---|" * (len(_SHOWN) + 4))
    for row in rows:
        cells = [f"{row[name]:,.1f}" if name in row else "" for name, _ in _SHOWN[:3]]
        cells.append(f"{row['tree'] / 2**20:,.0f}" if "tree" in row else "")
        cells += [f"{row['purity']:.3f}" if "purity" in row else "", row.get("failure", "")]
        lines.append(f"| {row['method']} | {row['items']:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def generated(items: int, columns: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw the features of two modalities and the planted kind of each item."""
    rng = np.random.default_rng(items)
    kinds = rng.permutation(np.arange(items) % _CLUSTERS).astype(np.int64)
    features = {}
    for name in ("text", "image"):
        centres = rng.standard_normal((_CLUSTERS, columns), dtype=np.float32)
        shown = kinds.copy()
        if name == "image":
            lost = rng.random(items) < 0.2
            shown[lost] = rng.integers(0, _CLUSTERS, int(lost.sum()))
        values = rng.standard_normal((items, columns), dtype=np.float32)
        values *= 2.0
        values += centres[shown]
        features[name] = values
    return features, kinds


def chosen_items(kinds: np.ndarray) -> sparse.csr_array:
    """Draw what users choose, (items / 2, items) zeros and ones: eight items of one kind and two of any, for each."""
    rng, count = np.random.default_rng(len(kinds) + 1), len(kinds) // 2
    order = np.argsort(kinds, kind="stable")
    sizes = np.bincount(kinds, minlength=_CLUSTERS)
    ends, liked = np.cumsum(sizes), rng.integers(0, _CLUSTERS, count)
    places = (rng.random((count, 8)) * sizes[liked, None]).astype(np.int64) + (ends - sizes)[liked, None]
    columns = np.c_[order[places], rng.integers(0, len(kinds), (count, 2))].ravel()
    rows = np.repeat(np.arange(count), 10)
    entries = (np.ones(len(rows), np.float32), (rows, columns))
    chosen = sparse.csr_array(entries, shape=(count, len(kinds)))
    chosen.data[:] = 1.0  # repeated draws are one choice
    return chosen


def _compare(given: argparse.Namespace, file: Path) -> None:
    rows: list[dict[str, Any]] = []
    todo = [("pot_dense", size) for size in sorted(given.pot_sizes)] + [("raymm", size) for size in sorted(given.sizes)]
    stopped = False
    for method, size in todo:
        if method == "pot_dense" and stopped:
            continue
        row = _in_own_process(method, size, given)
        stopped = stopped or "failure" in row
        rows.append(row)
        sys.stderr.write(json.dumps(row) + "\n")
        settings = {name: str(value) for name, value in vars(given).items() if name not in ("output", "one", "plot")}
        file.write_text(json.dumps({"settings": settings, "load": os.getloadavg(), "rows": rows}, indent=1) + "\n")


def _in_own_process(method: str, size: int, given: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, str(Path(__file__).resolve()), "--output", str(given.output), "--one", method, str(size)]
    command += ["--columns", str(given.columns), "--workers", str(given.workers)]
    command += ["--memory-gib", str(given.memory_gib)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = {**os.environ, **threads, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    limit = given.limit_s if method == "pot_dense" else None
    row: dict[str, Any] = {"method": method, "items": size}
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, env=environment, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return {**row, "failure": f"more than {limit:g} s"}
    if done.returncode:
        words = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:160]
        memory = "memory" in words.lower() or "allocate" in words.lower()
        return {**row, "failure": f"more than {given.memory_gib:g} GiB" if memory else words}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return row | found


def _measured(method: str, size: int, given: argparse.Namespace) -> dict[str, Any]:
    watch = _Watch()
    with watch:
        row = (_raymm if method == "raymm" else _pot)(size, given)
    return {**row, "tree": watch.bytes, "cpu": sum(watch.seconds.values())}


def _raymm(size: int, given: argparse.Namespace) -> dict[str, Any]:
    from raymm.contracts import Feature
    from raymm.graph.fusion import FusionConfig, fused_graph
    from raymm.graph.hypergraph import HypergraphConfig, item_hypergraph
    from raymm.launch.crew import RayCrew
    from raymm.launch.session import connect

    connect("local", cpus=given.workers)
    crew = RayCrew(given.workers)
    values, kinds = generated(size, given.columns)
    features = {name: Feature(rows, np.ones(size, bool)) for name, rows in values.items()}
    clock = time.perf_counter()
    fused = fused_graph(features, FusionConfig(), crew, chosen_items(kinds))
    graph = time.perf_counter() - clock
    clock = time.perf_counter()
    found = item_hypergraph(fused.graph, features, HypergraphConfig(), np.random.default_rng(0), crew)
    seconds = {"graph": graph, "hypergraph": time.perf_counter() - clock}
    facts = {"edges": int(fused.graph.nnz), "iterations": found.iterations, "evaluations": found.evaluations}
    facts["least_trust"] = min(fused.trust)
    return seconds | facts | {"purity": _purity(np.asarray(found.gamma.argmax(axis=1)).ravel(), kinds)}


def _pot(size: int, given: argparse.Namespace) -> dict[str, Any]:
    import ot

    from raymm.contracts import Feature
    from raymm.graph.clusters import joined_rows
    from raymm.graph.fusion import FusionConfig, fused_graph
    from raymm.graph.hypergraph import started_plan

    values, kinds = generated(size, given.columns)
    features = {name: Feature(rows, np.ones(size, bool)) for name, rows in values.items()}
    sparse_graph = fused_graph(features, FusionConfig()).graph
    start = _scaled(started_plan(joined_rows(features), _CLUSTERS, np.random.default_rng(0)))
    del values, features
    limit = int(given.memory_gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    clock = time.perf_counter()
    items, clusters = np.full(size, 1 / size), np.full(_CLUSTERS, 1 / _CLUSTERS)
    plan = ot.gromov.gromov_wasserstein(
        sparse_graph.toarray().astype(np.float64), np.eye(_CLUSTERS), items, clusters, "square_loss", G0=start
    )
    seconds = time.perf_counter() - clock
    return {"hypergraph": seconds, "purity": _purity(np.asarray(plan).argmax(axis=1), kinds)}


def _scaled(plan: np.ndarray) -> np.ndarray:
    """Give a positive plan equal rows and equal columns, by scaling them in turn; POT starts from no other."""
    rows, columns = plan.shape
    for _ in range(1000):
        plan = plan / (plan.sum(axis=0, keepdims=True) * columns)
        plan = plan / (plan.sum(axis=1, keepdims=True) * rows)
    return plan


def _purity(labels: np.ndarray, kinds: np.ndarray) -> float:
    found = [np.bincount(kinds[labels == label]).max() for label in np.unique(labels)]
    return float(np.sum(found) / len(kinds))


class _Watch:
    """Samples memory and processor time of this process and all below it."""

    def __init__(self) -> None:
        self.bytes, self.seconds = 0, dict[int, float]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(_SAMPLE_S):
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                    times = process.cpu_times()
                except psutil.Error:  # it ended
                    continue
                self.seconds[process.pid] = times.user + times.system
            self.bytes = max(self.bytes, total)


def _draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method and "failure" not in row]
        sizes = [row["items"] for row in own]
        for name in ("graph", "hypergraph"):
            if any(name in row for row in own):
                axes[0].plot(sizes, [row.get(name) for row in own], marker="o", label=f"{method}: {name}")
        axes[1].plot(sizes, [row["tree"] / 2**20 for row in own], marker="o", label=method)
        for row in rows:
            if row["method"] == method and "failure" in row:
                axes[1].axvline(row["items"], linestyle=":", color="grey", label=f"{method}: {row['failure']}")
    for axis, title in zip(axes, ("seconds", "memory of all processes, MiB"), strict=True):
        scale = "log" if axis.lines else "linear"
        axis.set(xscale=scale, yscale=scale, xlabel="items", title=title)
        axis.grid(visible=True, which="major", alpha=0.25)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=85)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
