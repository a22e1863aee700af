"""Prepare generated interactions of growing number, and print rate and memory.

    python jobs/bench_prepare.py --output bench --rows 1000000 3000000 10000000

Users and items are drawn by a power law, a tenth of the rows are repeats of others, and one row in a thousand is
malformed; they are read from tab-separated text, brought to their 5-core, split by time and written. Every size runs in
a process of its own with a Ray of its own. `tree MB` is the most that the driver, Ray and its workers held together,
pages that they share counted once (sampled); `driver MB` is the driver's own peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.csv

_SAMPLE_S, _BLOCK = 0.5, 1_000_000
_RECIPE = """name = "generated"
domains = ["generated"]
interactions = [{ path = "interactions.tsv" }]
split = { kind = "leave_last_out", by = "time" }
cleaning = { core_users = 5, core_items = 5, min_history = 5 }
"""


def main() -> int:
    """Generate, prepare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for files and results")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 3_000_000, 10_000_000], help="sizes")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        sys.stdout.write(json.dumps(_prepared(chosen.output)) + "\n")
        return 0
    chosen.output.mkdir(parents=True)
    heads = ("rows", "file MB", "seconds", "rows/s", "kept", "users", "items", "driver MB", "tree MB", "open ms")
    _say(" ".join(f"{head:>10}" for head in heads))
    for rows in chosen.rows:
        folder = chosen.output / str(rows)
        _generate(folder, rows)
        command = [sys.executable, __file__, "--output", str(folder), "--one"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(done.stderr)
            return 1
        facts = json.loads(done.stdout.splitlines()[-1])
        size = (folder / "interactions.tsv").stat().st_size / 1e6
        cells = [f"{rows:,}", f"{size:,.0f}", f"{facts['seconds']:.1f}", f"{rows / facts['seconds']:,.0f}"]
        cells += [f"{facts[name]:,}" for name in ("kept", "users", "items")]
        cells += [f"{facts[name] / 1e6:,.0f}" for name in ("driver", "tree")]
        _say(" ".join(f"{cell:>10}" for cell in (*cells, f"{1e3 * facts['open']:.0f}")))
        (folder / "interactions.tsv").unlink()
    return 0


def _generate(folder: Path, rows: int) -> None:
    """Write a folder of a recipe and its interactions, block by block."""
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(_RECIPE)
    generator = np.random.default_rng(0)
    users, items = max(10, rows // 20), max(10, rows // 100)
    with (folder / "interactions.tsv").open("wb") as stream:
        stream.write(b"user\titem\trating\ttime\n")
        options = pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
        for start in range(0, rows, _BLOCK):
            count = min(_BLOCK, rows - start)
            fresh = count - count // 10
            user = (users * generator.random(fresh) ** 1.5).astype(np.int64)
            item = (items * generator.random(fresh) ** 2.0).astype(np.int64)
            again = generator.integers(0, fresh, count - fresh)
            user, item = np.concatenate([user, user[again]]), np.concatenate([item, item[again]])
            rating = np.char.add(generator.integers(1, 6, count).astype(str), "")
            rating[generator.random(count) < 0.001] = "?"
            columns = {"user": user, "item": item, "rating": rating, "time": generator.integers(1e9, 1.6e9, count)}
            pyarrow.csv.write_csv(pa.table(columns), stream, options)


def _prepared(folder: Path) -> dict[str, float]:
    """Prepare a folder in this process, and watch it."""
    from raymm.data.prepared import open_prepared
    from raymm.launch.prepare import prepare
    from raymm.launch.session import connect

    peak, stop = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(peak, stop), daemon=True)
    connect("local")
    watcher.start()
    start = time.perf_counter()
    prepare(folder / "recipe.toml", folder / "prepared")
    seconds = time.perf_counter() - start
    stop.set()
    watcher.join()
    driver = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    facts = open_prepared(folder / "prepared").domains[0]
    opened = time.perf_counter() - start
    counts = {"kept": facts.n_train, "users": facts.n_users, "items": facts.n_items}
    return {"seconds": seconds, "driver": driver, "tree": peak[0], "open": opened, **counts}


def _watch(peak: list[int], stop: threading.Event) -> None:
    own = psutil.Process()
    while not stop.wait(_SAMPLE_S):
        total = 0
        for process in (own, *own.children(recursive=True)):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:  # it ended
                continue
        peak[0] = max(peak[0], total)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
