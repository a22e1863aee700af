"""Train SIEOUG by the letter and draw what its attention looks at: three weights an item, by domain and popularity.

    python jobs/attention_weights.py --prepared prepared/arts_office --epochs 30 --figure attention.png

Alpha is the weight of the user-item graph, alpha-bar that of the item graph, alpha-breve that of the hypergraph. The
training runs in this process, on one thread; the epoch that ranks the validation set best is drawn. stdout has a table
of medians.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from raymm import config
from raymm.contracts import TrainData
from raymm.data.prepared import PreparedSet, open_prepared
from raymm.data.sampling import Positives, TripleSource
from raymm.evaluation.ranking import rank
from raymm.evaluation.slices import item_degrees
from raymm.experiment import Experiment, build_experiment
from raymm.models.registry import TRAINED
from raymm.models.sieoug.model import Sieoug
from raymm.models.spec import Place
from raymm.parallel.grid import single
from raymm.training.engine import TorchEngine

VIEWS = ("alpha (interactions)", "alpha-bar (item graph)", "alpha-breve (hypergraph)")
_GROUPS = 5


def main() -> int:
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", type=Path, required=True, metavar="DIR", help="prepared folder with two domains")
    parser.add_argument("--epochs", type=int, default=30, help="how many (default: 30)")
    parser.add_argument("--figure", type=Path, required=True, metavar="FILE", help="picture to write")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    prepared = open_prepared(chosen.prepared)
    experiment = build_experiment(config.override({"preset": "paper"}, chosen.set))
    data = prepared.train_data()
    model = trained(experiment, prepared, data, chosen.epochs)
    weights = {name: values.numpy() for name, values in model.attention().items()}
    parts = {
        domain.name: np.array_split(np.argsort(-item_degrees(domain), kind="stable"), _GROUPS)
        for domain in data.domains
    }
    sys.stdout.write(table(weights, parts))
    _draw(weights, parts, chosen.figure)
    return 0


def trained(experiment: Experiment, prepared: PreparedSet, data: TrainData, epochs: int) -> Sieoug:
    """Train on one rank, and return the model as it was after its best epoch."""
    structures = TRAINED["sieoug"].structures(experiment.settings, data, 0)
    place = Place(single(), torch.device("cpu"), experiment.train.seed)
    model = Sieoug(experiment.settings, data, structures, place)
    engine = TorchEngine(model, single(), experiment.train.optimizer, place.device)
    rows = [Positives(*prepared.train_pairs(domain.name), domain.n_items) for domain in data.domains]
    source = TripleSource(rows, experiment.train.batch_size, place.seed, single(), experiment.train.negatives)
    holdouts, best = prepared.validation(), (-1.0, 0)
    state = copy.deepcopy(model.state_dict())
    for epoch in range(1, epochs + 1):
        model.start_epoch(epoch)
        for batch in source.epoch(epoch):
            engine.step(batch)
        ranked = [rank(model.scorer(held.domain), held, (10,)).means()["ndcg@10"] for held in holdouts]
        if float(np.mean(ranked)) > best[0]:
            best, state = (float(np.mean(ranked)), epoch), copy.deepcopy(model.state_dict())
    sys.stdout.write(f"ndcg@10 on validation {best[0]:.4f} after epoch {best[1]} of {epochs}\n")
    model.load_state_dict(state)
    return model


def table(weights: Mapping[str, np.ndarray], parts: Mapping[str, list[np.ndarray]]) -> str:
    """Return the medians of the weights, by domain and group of items, most popular first, as a Markdown table."""
    lines = ["| domain | items | " + " | ".join(VIEWS) + " |", "|" + "---|" * (2 + len(VIEWS))]
    for domain, values in weights.items():
        groups = [(f"group {number} of {_GROUPS}", items) for number, items in enumerate(parts[domain], start=1)]
        for name, items in [("all", np.arange(len(values))), *groups]:
            medians = " | ".join(f"{value:.3f}" for value in np.median(values[items], axis=0))
            lines.append(f"| {domain} | {name} | {medians} |")
    return "\n".join(lines) + "\n"


def _draw(weights: Mapping[str, np.ndarray], parts: Mapping[str, list[np.ndarray]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(weights), figsize=(5 * len(weights), 3.6), layout="constrained", sharey=True)
    colours = ("tab:blue", "tab:orange", "tab:green")
    for axis, (domain, values) in zip(np.atleast_1d(axes), weights.items(), strict=True):
        for view, (name, colour) in enumerate(zip(VIEWS, colours, strict=True)):
            places = np.arange(_GROUPS) + 0.25 * (view - 1)
            box = axis.boxplot(
                [values[items, view] for items in parts[domain]],
                positions=places,
                widths=0.2,
                showfliers=False,
                patch_artist=True,
                manage_ticks=False,
            )
            for patch in box["boxes"]:
                patch.set_facecolor(colour)
            axis.plot([], [], color=colour, linewidth=6, label=name)
        axis.set_xticks(range(_GROUPS), ["most popular", *[""] * (_GROUPS - 2), "least popular"])
        axis.set(title=domain, ylim=(0, 1), ylabel="weight")
    np.atleast_1d(axes)[0].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=85)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
