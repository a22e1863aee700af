"""Train one model with several seeds, evaluate each run, and compare it with popularity and item k-NN.

    python jobs/seeds.py sieoug --data prepared/arts_office --seeds 0 1 2 3 4
    python jobs/seeds.py sieoug --data prepared/arts_office --seeds 0 1 2 --set settings.transfer.weight=0 --name alone

Writes a family of three variants and runs it as `raymm experiment` does: test metrics are mean and standard deviation
over the seeds, differences to popularity a paired bootstrap over users and seeds together. An interrupted call goes on
where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from raymm import config
from raymm.cli.main import main as raymm
from raymm.models.registry import MODELS
from raymm.verbs.best import to_toml

METRICS = ["hr@10", "ndcg@10", "recall@20"]
BASELINES = {"popularity": "popularity", "item k-NN": "item_knn"}


def main() -> int:
    """Write the family, and run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--data", type=Path, required=True, help="prepared folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds (default: 0 to 4)")
    parser.add_argument("--preset", default="default", help="preset of the model (default: default)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, as `raymm train` takes it"
    )
    parser.add_argument("--known-pairs", choices=("drawn", "none", "true", "shuffled"), default="drawn")
    parser.add_argument("--name", default="", help="name of the results' folder (default: model and preset)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of that folder (default: runs)")
    chosen = parser.parse_args()
    output = chosen.runs / f"{chosen.name or f'{chosen.model}-{chosen.preset}'}-seeds"
    family = output.with_suffix(".toml")
    family.parent.mkdir(parents=True, exist_ok=True)
    family.write_text(family_text(chosen))
    return raymm(["experiment", str(family), "--data", str(chosen.data), "--output", str(output), "--no-tracking"])


def family_text(chosen: argparse.Namespace) -> str:
    """Write the family that was asked for as TOML."""
    base = config.override({"model": chosen.model, "preset": chosen.preset}, chosen.set)
    others = {label: model for label, model in BASELINES.items() if model != chosen.model}
    head = {
        "title": f"{chosen.model} beside the plainest models",
        "reference": next(iter(others)),
        "seeds": chosen.seeds,
        "metrics": METRICS,
    }
    own = f'[[variants]]\nlabel = {json.dumps(chosen.model)}\nknown_pairs = "{chosen.known_pairs}"\n'
    rest = [
        f"[[variants]]\nlabel = {json.dumps(label)}\nmodel = {json.dumps(model)}\n" for label, model in others.items()
    ]
    return "\n".join([to_toml({**head, "base": base}), own, *rest])


if __name__ == "__main__":
    sys.exit(main())
