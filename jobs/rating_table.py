"""Judge models of ratings on users who are new in a domain: shares of cold users, seeds, baselines, paired intervals.

    python jobs/rating_table.py --data prepared/ml_a_b --source a --target b
    python jobs/rating_table.py --data prepared/ml_a_b --source b --target a --shares 0.5 --seeds 0 1 --models mimnet

Cold users are drawn anew for each share and seed among the shared users of the prepared set's training part; its test
set stays sealed. Each table has MAE and RMSE of the same predictions, raw and clipped to the scale, mean over seeds
with standard deviation; and the difference of users' mean squared errors to the floor (or --reference), with a paired
bootstrap over users, where one who is cold under several seeds counts once. It weighs users alike, RMSE weighs ratings
alike: the two may differ in sign. A model that errs more than the floor is marked: it has learned less than biases say.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raymm.contracts import RatingHoldout, Scorer
from raymm.data.prepared import open_prepared
from raymm.evaluation.compare import compare_values
from raymm.evaluation.rating import RatingValues, rate
from raymm.models.mimnet.config import COMPAT, DEFAULT
from raymm.models.mimnet.model import Mimnet
from raymm.models.rating.means import BridgeConfig, scalar_bridge, yardsticks
from raymm.models.rating.published import Published, PublishedConfig
from raymm.ratings.protocol import redraw
from raymm.ratings.stage import Staged
from raymm.ratings.table import ColdStart, cold_start
from raymm.verbs.stages import run_stages

FLOOR, YARDSTICKS = "floor", ("mean", "item_bias", "floor", "floor_plus")
Cell = tuple[ColdStart, RatingHoldout, int]


def main() -> int:
    """Draw, train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="prepared folder of two domains with ratings")
    parser.add_argument("--source", required=True, help="domain in which users are known")
    parser.add_argument("--target", required=True, help="domain in which they are new")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.2, 0.5, 0.8], help="shares of cold users")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds (default: 0 to 4)")
    parser.add_argument("--models", nargs="+", choices=sorted(MODELS), default=sorted(MODELS), help="default: all")
    parser.add_argument("--reference", default=FLOOR, help="yardstick or model that others' errors are compared with")
    parser.add_argument("--output", type=Path, help="file for all figures as JSON")
    chosen = parser.parse_args()
    if chosen.reference not in (*YARDSTICKS, *chosen.models):
        parser.error(f"--reference {chosen.reference}: expected one of {', '.join((*YARDSTICKS, *chosen.models))}")
    data = open_prepared(chosen.data).train_data("true")
    problem = cold_start(data, chosen.source, chosen.target)
    cells = [_said(judge(problem, share, chosen.seeds, chosen.models, chosen.reference)) for share in chosen.shares]
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(cells, indent=1) + "\n")
    return 0


def judge(
    problem: ColdStart, share: float, seeds: list[int], models: list[str], reference: str = FLOOR
) -> dict[str, Any]:
    """Judge models at one share of cold users.

    Returns:
        Counts and, by model, errors of each seed, seconds, facts, and the difference to the reference.
    """
    values: dict[str, list[RatingValues]] = {}
    seconds: dict[str, float] = {}
    facts: dict[str, list[Mapping[str, float]]] = {}
    scale = problem.target.scale
    for seed in seeds:
        left, validation, test = redraw(problem, share, np.random.default_rng([seed, round(100 * share)]))
        scorers: dict[str, Scorer] = dict(yardsticks(left, seed))
        for name in models:
            start = time.perf_counter()
            scorers[name], found = MODELS[name]((left, validation, seed))
            seconds[name] = seconds.get(name, 0.0) + (time.perf_counter() - start) / len(seeds)
            facts.setdefault(name, []).append(found)
        for name, scorer in scorers.items():
            values.setdefault(name, []).append(rate(scorer, test.users, test.items, test.ratings, scale))
    rows = {
        name: {
            "errors": [one.errors() for one in of_seeds],
            "seconds": seconds.get(name, 0.0),
            "facts": facts.get(name, []),
            "against": _against(of_seeds, values[reference]),
        }
        for name, of_seeds in values.items()
    }
    ratings = [len(one.truth) for one in values[FLOOR]]
    return {"share": share, "seeds": seeds, "ratings": ratings, "reference": reference, "models": rows}


def _against(own: list[RatingValues], other: list[RatingValues]) -> dict[str, float]:
    """Compare mean squared errors user by user; a user who is cold under several seeds counts once, with the mean."""
    users = np.concatenate([one.per_user()[0] for one in own])
    _, places = np.unique(users, return_inverse=True)
    sides = (np.concatenate([one.per_user()[1]["mse"] for one in side]) for side in (own, other))
    first, second = (np.bincount(places, weights=side) / np.bincount(places) for side in sides)
    found = compare_values(first, second, "mse", np.random.default_rng(0))
    return {"difference": found.difference, "low": found.interval[0], "high": found.interval[1], "users": found.n_users}


def _staged(model: Staged, seed: int) -> tuple[Scorer, Mapping[str, float]]:
    run_stages(model, seed)
    return model.scorer(), model.facts()


def _published(method: Any) -> Callable[[Cell], tuple[Scorer, Mapping[str, float]]]:
    return lambda cell: _staged(Published(method, PublishedConfig(), *cell), cell[2])


MODELS: dict[str, Callable[[Cell], tuple[Scorer, Mapping[str, float]]]] = {
    "mimnet": lambda cell: _staged(Mimnet(DEFAULT, *cell), cell[2]),
    "mimnet_compat": lambda cell: _staged(Mimnet(COMPAT, *cell), cell[2]),
    "scalar_bridge": lambda cell: (scalar_bridge(BridgeConfig(), cell[0], cell[2]), {}),
    **{method: _published(method) for method in ("tgt", "cmf", "emcdr", "ptupcdr", "remit")},
}


def _said(cell: dict[str, Any]) -> dict[str, Any]:
    floor = np.mean([errors["rmse"] for errors in cell["models"][FLOOR]["errors"]])
    _say(f"\n{cell['share']:.0%} cold, seeds {cell['seeds']}, {int(np.mean(cell['ratings'])):,} ratings to predict")
    _say(
        f"{'model':14} {'RMSE (sd)':>16} {'to floor':>9} {'clipped':>7} {'MAE':>7} {'clipped':>7} {'s':>6}"
        f"   MSE less that of {cell['reference']}, 95 %"
    )
    for name, row in cell["models"].items():
        mean = {key: float(np.mean([errors[key] for errors in row["errors"]])) for key in row["errors"][0]}
        spread = float(np.std([errors["rmse"] for errors in row["errors"]], ddof=1)) if len(row["errors"]) > 1 else 0.0
        against = row["against"]
        worse = name not in YARDSTICKS and mean["rmse"] > floor
        _say(
            f"{name:14} {mean['rmse']:8.4f} ({spread:.4f}) {100 * (mean['rmse'] / floor - 1):+8.2f}% "
            f"{mean['rmse_clipped']:7.4f} {mean['mae']:7.4f} {mean['mae_clipped']:7.4f} {row['seconds']:6.1f}   "
            f"{against['difference']:+.4f} [{against['low']:+.4f}, {against['high']:+.4f}]"
            + ("   WARNING: errs more than the floor" if worse else "")
        )
    return cell


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
