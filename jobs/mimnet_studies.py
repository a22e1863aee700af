"""What MIMNet's interests are, and what it needs: two studies on users who are new.

    python jobs/mimnet_studies.py shared --data prepared/ml_genres --source a --target b --share 0.2
    python jobs/mimnet_studies.py distinctness --data prepared/ml_genres --source a --target b --figure capsules.svg

`shared` takes all but 2 to 100 % of the shared users away who are not cold; `distinctness` says, and draws, the cosines
between the interests of a user, and how many different ones there are. What parts and settings are worth is asked by
the family files `jobs/experiments/mimnet_*.toml`.

Cold users are drawn anew for each seed among the training part of the prepared set, the same for all variants; its test
set stays sealed. Variants are compared with the first one user by user (paired bootstrap). The default form leaves the
network out where it does not help; `--gate 0`, which is the default here, keeps it in where it helps at all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

from raymm.contracts import RatingHoldout
from raymm.data.prepared import open_prepared
from raymm.evaluation.compare import compare_values
from raymm.evaluation.rating import RatingValues, rate
from raymm.models.mimnet.config import COMPAT, DEFAULT, MimnetConfig
from raymm.models.mimnet.model import Mimnet
from raymm.models.rating.means import yardsticks
from raymm.nn.capsules import effective_number, pairwise_cosines
from raymm.ratings.protocol import redraw
from raymm.ratings.table import ColdStart, cold_start
from raymm.report.drawing import MODEL, STYLE, figure_bytes, finish_axis, title_axis
from raymm.verbs.stages import run_stages

Cell = tuple[ColdStart, RatingHoldout, RatingHoldout]
Variant = tuple[MimnetConfig, float]
FLOOR = "floor"


def main() -> int:
    """Run one study, and print its table or draw its figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=["shared", "distinctness"])
    parser.add_argument("--data", type=Path, required=True, help="prepared folder of two domains with ratings")
    parser.add_argument("--source", required=True, help="domain in which users are known")
    parser.add_argument("--target", required=True, help="domain in which they are new")
    parser.add_argument("--share", type=float, default=0.5, help="share of cold users (default: .5)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--preset", choices=("default", "compat"), default="default", help="of MIMNet")
    parser.add_argument("--gate", type=float, default=0.0, help="standard errors by which parts must help (default: 0)")
    parser.add_argument("--figure", type=Path, help="of distinctness: file to write, .svg")
    chosen = parser.parse_args()
    base = COMPAT if chosen.preset == "compat" else DEFAULT
    base = replace(base, ranks=False, meta=replace(base.meta, gate=chosen.gate, keep_epochs=False))
    problem = cold_start(open_prepared(chosen.data).train_data("true"), chosen.source, chosen.target)
    cells = {seed: redraw(problem, chosen.share, np.random.default_rng([seed, 100])) for seed in chosen.seeds}
    if chosen.study == "distinctness":
        _distinctness(base, cells, chosen.figure)
        return 0
    variants = dict(_shared(base))
    values: dict[str, list[RatingValues]] = {name: [] for name in (FLOOR, *variants)}
    for seed, cell in cells.items():
        values[FLOOR].append(_judged(yardsticks(cell[0], seed)[FLOOR], cell))
        for name, (settings, known) in variants.items():
            values[name].append(_judged(trained(settings, fewer(cell[0], known, seed), cell[1], seed).scorer(), cell))
    _table(values, next(iter(variants)))
    return 0


def trained(settings: MimnetConfig, problem: ColdStart, validation: RatingHoldout, seed: int) -> Mimnet:
    """Train one variant."""
    model = Mimnet(settings, problem, validation, seed)
    run_stages(model, seed)
    return model


def fewer(problem: ColdStart, known: float, seed: int) -> ColdStart:
    """Take the target ratings of all but a share of the shared users away, the same ones within more."""
    shared = np.unique(problem.target.users[problem.shared_rows])
    order = np.random.default_rng([seed, 1]).permutation(shared)
    gone = order[max(2, round(known * len(shared))) :]
    return replace(problem, target=problem.target.rows(~np.isin(problem.target.users, gone)))


def _shared(base: MimnetConfig) -> Iterator[tuple[str, Variant]]:
    for known in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02):
        yield f"{known:.0%} known", (base, known)


def _judged(scorer: Any, cell: Cell) -> RatingValues:
    test = cell[2]
    return rate(scorer, test.users, test.items, test.ratings, cell[0].target.scale)


def _table(values: Mapping[str, list[RatingValues]], first: str) -> None:
    means = {name: float(np.mean([one.errors()["rmse"] for one in seeds])) for name, seeds in values.items()}
    _say(f"{'variant':22}{'RMSE (sd)':>18}{'to floor':>10}{'MAE':>8}   MSE less that of {first!r}, 95 %")
    for name, seeds in values.items():
        spread = float(np.std([one.errors()["rmse"] for one in seeds], ddof=1)) if len(seeds) > 1 else 0.0
        mae = float(np.mean([one.errors()["mae"] for one in seeds]))
        low, high = _less(seeds, values[first])
        _say(
            f"{name:22}{means[name]:10.4f} ({spread:.4f}){100 * (means[name] / means[FLOOR] - 1):+9.2f}%{mae:8.4f}"
            + ("" if name == first else f"   [{low:+.4f}, {high:+.4f}]")
        )


def _less(own: list[RatingValues], other: list[RatingValues]) -> tuple[float, float]:
    """Return the interval of the difference of users' squared errors; a user cold under several seeds counts once."""
    _, places = np.unique(np.concatenate([one.per_user()[0] for one in own]), return_inverse=True)
    sides = (np.concatenate([one.per_user()[1]["mse"] for one in side]) for side in (own, other))
    first, second = (np.bincount(places, weights=side) / np.bincount(places) for side in sides)
    return compare_values(first, second, "mse", np.random.default_rng(0)).interval


def _distinctness(base: MimnetConfig, cells: Mapping[int, Cell], figure: Path | None) -> None:
    """Say, and draw, how alike the interests of cold users are."""
    cosines, numbers = [], []
    for seed, (problem, validation, test) in cells.items():
        network = trained(base, problem, validation, seed).network
        if network is None:
            _say(f"seed {seed}: the network was left out")
            continue
        people = problem.source_of[np.unique(test.users)]
        with torch.no_grad():
            interests = network.user_side(torch.from_numpy(people[people >= 0])).interests
        cosines.append(pairwise_cosines(interests).numpy().ravel())
        numbers.append(effective_number(interests).numpy())
    if not cosines:
        return
    between, count = np.concatenate(cosines), np.concatenate(numbers)
    told = np.quantile(between, [0.1, 0.5, 0.9])
    _say(f"cosine between two interests of a user: 10 % {told[0]:.3f}, median {told[1]:.3f}, 90 % {told[2]:.3f}")
    _say(f"different interests of {base.network.interests}: mean {count.mean():.2f}, median {np.median(count):.2f}")
    if figure is not None:
        figure.write_bytes(_drawn(between, count))


def _drawn(cosines: np.ndarray, counts: np.ndarray) -> bytes:
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(9.6, 3.0), layout="constrained")
        for axis, data, title in zip(
            drawn.subplots(1, 2),
            (cosines, counts),
            ("Cosine between two interests", "Different interests"),
            strict=True,
        ):
            title_axis(axis, title, "cold users")
            axis.hist(data, bins=40, color=MODEL)
            finish_axis(axis)
        return figure_bytes(drawn)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
