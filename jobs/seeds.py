"""Train one model with several seeds, evaluate each run, and print means with their spread.

    python jobs/seeds.py sieoug --data prepared/arts_office --seeds 0 1 2 3 4
    python jobs/seeds.py sieoug --data prepared/arts_office --seeds 0 1 2 --set settings.transfer.weight=0 --name alone

Runs that are finished are not trained again, so an interrupted call goes on where it stopped. Test metrics of the model
are mean and standard deviation over the seeds; the baselines have no seed. The difference to popularity is a paired
bootstrap over users and seeds together.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from raymm import config
from raymm.evaluation.compare import compare_seeds
from raymm.evaluation.values import RankingValues, read_values
from raymm.experiment import build_experiment
from raymm.models.registry import MODELS
from raymm.verbs.evaluate import BASELINE, NEIGHBOURS, evaluate, report_folder
from raymm.verbs.train import TrainRequest, train

METRICS = ("hr@10", "ndcg@10", "recall@20")


def main() -> int:
    """Train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--data", type=Path, required=True, help="prepared folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds (default: 0 to 4)")
    parser.add_argument("--preset", default="default", help="preset of the model (default: default)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, as `raymm train` takes it"
    )
    parser.add_argument("--known-pairs", choices=("drawn", "none", "true", "shuffled"), default="drawn")
    parser.add_argument("--name", default="", help="prefix of the runs' names (default: model and preset)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs (default: runs)")
    chosen = parser.parse_args()
    prefix = chosen.name or f"{chosen.model}-{chosen.preset}"
    folders = []
    for seed in chosen.seeds:
        values = {"model": chosen.model, "preset": chosen.preset}
        experiment = build_experiment(config.override(values, [*chosen.set, f"train.seed={seed}"]))
        folder = chosen.runs / f"{prefix}-seed{seed}"
        address = os.environ.get("RAY_ADDRESS") or "local"
        run, _ = train(TrainRequest(experiment, chosen.data, folder, chosen.known_pairs, address), None, lambda _: None)
        evaluate(run.folder, chosen.data, None)
        best = max(record["validation"].get(experiment.train.loop.selection, 0.0) for record in run.history)
        _say(f"{folder}: {len(run.history)} epochs, best validation {experiment.train.loop.selection} {best:.4f}")
        folders.append(run)
    for domain in folders[0].domains:
        _table(chosen.model, domain, [report_folder(run.folder) for run in folders])
    return 0


def _table(model: str, domain: str, reports: list[Path]) -> None:
    values = [read_values(report / f"{domain}.{model}.npz") for report in reports]
    others = {name: read_values(reports[0] / f"{domain}.{name}.npz") for name in (BASELINE, NEIGHBOURS)}
    _say(f"\n{domain}: {len(values)} seeds, {len(values[0].users):,} users")
    _say(f"{'metric':10} {model + ' (sd)':>18} {BASELINE:>11} {NEIGHBOURS:>9}   difference to {BASELINE}, 95 %")
    for metric in METRICS:
        means = [float(seed.values[metric].mean()) for seed in values]
        spread = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
        found = compare_seeds(values, _repeated(others[BASELINE], len(values)), metric, np.random.default_rng(0))
        _say(
            f"{metric:10} {np.mean(means):.4f} ({spread:.4f})".ljust(30)
            + f"{others[BASELINE].values[metric].mean():11.4f} {others[NEIGHBOURS].values[metric].mean():9.4f}"
            + f"   {found.difference:+.4f} [{found.interval[0]:+.4f}, {found.interval[1]:+.4f}]"
        )


def _repeated(values: RankingValues, times: int) -> list[RankingValues]:
    return [values] * times


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
