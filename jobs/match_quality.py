"""Hide known users of two real domains, and see who finds them again: plans, nearest neighbours, POT's exact plan.

    python jobs/match_quality.py --prepared prepared/arts_office --embeddings lightgcn
    python jobs/match_quality.py --prepared prepared/arts_office --runs runs/arts runs/office   # trained by domain
    python jobs/match_quality.py --prepared prepared/arts_office --runs runs/first              # trained together

`lightgcn` and `bprmf` are trained here, one model a domain that sees nothing of the other domain; `svd` is a truncated
SVD of the interactions. Half of the true pairs is hidden (but never one that a run was trained with), the other half
guides the matching. All ways rank the same candidates: the hidden users and others, `--users` of each side at most.
With `--overlap` below 1 only that share of them has a counterpart among the candidates. Settings of the chosen plan are
chosen on the shown pairs alone. Prints hit@1, hit@10 and mean reciprocal rank, each as mean and standard deviation over
seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import ot
import torch
from scipy.sparse.linalg import svds

from raymm import artefacts
from raymm.contracts import Domain, TrainData
from raymm.data.prepared import PreparedSet, open_prepared
from raymm.data.sampling import Positives, TripleSource
from raymm.errors import DataError
from raymm.models.baselines import bprmf, lightgcn
from raymm.models.spec import Place
from raymm.parallel.grid import make_grid
from raymm.scorers import DotScorer
from raymm.training.engine import OptimizerConfig, TorchEngine
from raymm.transport.bilinear import Bilinear
from raymm.transport.population import PopulationConfig, population_cost
from raymm.transport.problem import state_problem
from raymm.transport.quality import Quality, QualityConfig, Trial, baselines, choose_on_hidden, quality_of, ranks
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.streaming import solve_streaming
from raymm.verbs.run import open_run_folder

Sides = tuple[torch.Tensor, torch.Tensor]

TRAINED = {"bprmf": bprmf.SPEC, "lightgcn": lightgcn.SPEC}
_BATCH, _LEARNING_RATE = 2048, 5e-3


def main(arguments: list[str] | None = None) -> int:
    """Compare on every seed; print the table and, with --output, write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", type=Path, required=True, metavar="DIR", help="prepared set of two domains")
    parser.add_argument("--embeddings", choices=("svd", *TRAINED), default="svd", help="what is matched (default: svd)")
    parser.add_argument(
        "--runs", type=Path, nargs="+", metavar="DIR", help="match the users of one run of both domains, or of one each"
    )
    parser.add_argument("--dimension", type=int, default=64, help="columns of the embeddings (default: 64)")
    parser.add_argument("--epochs", type=int, default=40, help="of lightgcn and bprmf (default: 40)")
    parser.add_argument("--users", type=int, default=2000, help="candidates of each side at most (default: 2000)")
    parser.add_argument(
        "--overlap", type=float, nargs="+", default=[1.0], help="shares of hidden users kept on both sides (default: 1)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds (default: 3)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON file for all figures")
    given = parser.parse_args(arguments)
    if not all(0 < share <= 1 for share in given.overlap) or given.seeds < 1 or given.users < 10 or given.epochs < 1:
        parser.error("--overlap must be in (0, 1], --seeds and --epochs at least 1, --users at least 10")
    if given.runs and len(given.runs) > 2:
        parser.error("--runs takes one run of both domains, or one of each")

    prepared = open_prepared(given.prepared)
    pairs = torch.from_numpy(prepared.train_data("true").shared.astype(np.int64))
    figures: list[dict[str, Any]] = []
    by_overlap: dict[float, list[Quality]] = {overlap: [] for overlap in given.overlap}
    for seed in range(given.seeds):
        sides, trained_on = _sides(given, prepared, seed)
        for overlap, rows in by_overlap.items():
            generator = torch.Generator().manual_seed(seed)
            trial = hide(pairs, trained_on, [len(side) for side in sides], given.users, overlap, generator)
            found = compare(sides, trial, generator)
            rows.extend(found)
            figures.extend({"overlap": overlap, "seed": seed, **dataclasses.asdict(row)} for row in found)
            sys.stderr.write(f"seed {seed}: {trial.n_hidden} hidden, {len(trial.columns)} candidates\n")
    for overlap, rows in by_overlap.items():
        sys.stdout.write(f"overlap {overlap:g}\n{table(rows)}")
    if given.output:
        given.output.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


def hide(
    pairs: torch.Tensor,
    trained_on: torch.Tensor,
    sizes: list[int],
    most: int,
    overlap: float,
    generator: torch.Generator,
) -> Trial:
    """Hide half of the pairs, none that the embeddings were trained with; take counterparts of some of them away."""
    fresh = pairs[~torch.isin(pairs[:, 0], trained_on)]
    fresh = fresh[torch.randperm(len(fresh), generator=generator)]
    hidden = fresh[: min(len(fresh), len(pairs) // 2)]
    kept = max(1, round(overlap * len(hidden)))
    alone = hidden[kept:]
    found = hidden[: min(kept, max(2, round(overlap * most)))]
    columns = []
    for side, size in enumerate(sizes):
        unshared = torch.ones(size, dtype=torch.bool)
        unshared[pairs[:, side]] = False
        half = alone[side::2, side]  # these have lost their counterpart
        others = torch.cat([half, torch.nonzero(unshared)[:, 0]])
        others = others[torch.randperm(len(others), generator=generator)[: most - len(found)]]
        columns.append(torch.cat([found[:, side], others]))
    shown = pairs[~torch.isin(pairs[:, 0], hidden[:, 0])]
    if len(found) < 2 or len(shown) < 2:
        raise DataError(
            f"{len(found)} pairs to hide, {len(shown)} to show",
            "at least 2 of each",
            "match_quality",
            "give a run that was trained with fewer known pairs (raymm train ... --known-pairs none)",
        )
    return Trial(shown, columns[0], columns[1], len(found))


def compare(sides: Sides, trial: Trial, generator: torch.Generator) -> list[Quality]:
    """Rank the hidden users by every way."""
    config, m = PopulationConfig(), len(trial.columns)
    rows = baselines(*sides, trial, config)
    cost = population_cost(*sides, trial.shown, config).take(trial.rows, trial.columns)
    rows.append(quality_of("POT exact, balanced", exact_ranks(cost, trial.n_hidden), m))
    rows.append(_plan("plan, balanced", cost, dataclasses.replace(config, marginals="balanced"), trial))
    rows.append(_plan("plan, relaxed (defaults)", cost, config, trial))
    if len(trial.shown) >= 20:
        chosen, _ = choose_on_hidden(*sides, trial.shown, config, QualityConfig(), generator)
        cost = population_cost(*sides, trial.shown, chosen).take(trial.rows, trial.columns)
        rows.append(_plan("plan, chosen on shown pairs", cost, chosen, trial))
    return rows


def exact_ranks(cost: Bilinear, n_hidden: int) -> torch.Tensor:
    """Rank by the unregularised optimal plan (POT's network simplex); its many zeros are ties, which count half."""
    dense = cost.dense().numpy()
    plan = torch.from_numpy(ot.emd(ot.unif(cost.n), ot.unif(cost.m), dense, numItermax=10_000_000))[:n_hidden]
    truth = plan.diagonal()[:, None]
    return 1.0 + (plan > truth).sum(dim=1).double() + 0.5 * ((plan == truth).sum(dim=1).double() - 1.0)


def table(rows: list[Quality]) -> str:
    """Lay out mean and spread over seeds, in the order in which the ways were tried."""
    lines = [f"{'way':30}{'hit@1':>16}{'hit@10':>16}{'MRR':>16}"]
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        cells = []
        for name in ("hit_at_1", "hit_at_10", "mrr"):
            values = [getattr(row, name) for row in own]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.4f} ± {spread:.4f}".rjust(16))
        lines.append(f"{method:30}{''.join(cells)}")
    return "\n".join(lines) + "\n"


def _plan(method: str, cost: Bilinear, config: PopulationConfig, trial: Trial) -> Quality:
    problem = state_problem(cost, None, None, config.epsilon, config.rho)
    end = solve_streaming(problem, SolverConfig(tolerance=1e-3, accept=1e9, max_iterations=300))
    found = ranks(cost, end.g + config.epsilon * problem.b.log(), trial.n_hidden)
    return quality_of(method, found, len(trial.columns))


def _sides(given: argparse.Namespace, prepared: PreparedSet, seed: int) -> tuple[Sides, torch.Tensor]:
    """Return user embeddings of both domains, and the source users whose pairs they know of."""
    if given.runs:
        return _of_runs(given.runs, prepared)
    data = prepared.train_data()
    if given.embeddings == "svd":
        left, right = (_svd(domain, given.dimension) for domain in data.domains[:2])
    else:
        left, right = (
            train_alone(given.embeddings, prepared, place, given.dimension, given.epochs, seed) for place in (0, 1)
        )
    return (left, right), torch.zeros(0, dtype=torch.int64)


def train_alone(
    name: str, prepared: PreparedSet, place: int, dimension: int, epochs: int, seed: int = 0
) -> torch.Tensor:
    """Train a model on one domain, with no knowledge of the other; return its users, (n, dimension)."""
    spec, grid, device = TRAINED[name], make_grid(1, 1), torch.device("cpu")
    data = prepared.train_data("none")
    domain = data.domains[place]
    alone = TrainData((domain,), np.zeros((0, 2), dtype=np.int64), artefacts.fingerprint(data.fingerprint, domain.name))
    config = dataclasses.replace(spec.presets["default"], width=dimension)
    # Another seed for each domain: equal first numbers would tie users of both by their places.
    drawn = 2 * seed + place
    model = spec.build(config, alone, (spec.structure(config, domain, drawn),), Place(grid, device, drawn))
    engine = TorchEngine(model, grid, OptimizerConfig(learning_rate=_LEARNING_RATE), device)
    positives = Positives(*prepared.train_pairs(domain.name), domain.n_items)
    source = TripleSource([positives], _BATCH, drawn, grid)
    for epoch in range(1, epochs + 1):
        model.start_epoch(epoch)
        for batch in source.epoch(epoch):
            losses = engine.step(batch)
    sys.stderr.write(f"{name} on {domain.name}: {losses}\n")
    scorer = model.scorer(domain.name)
    if not isinstance(scorer, DotScorer):
        raise DataError(type(scorer).__name__, "a scorer with user embeddings", f"model {name}")
    return scorer.users.clone()


def _svd(domain: Domain, dimension: int) -> torch.Tensor:
    """Embed the users of a domain by itself: truncated SVD of rows weighted by rarity of the item."""
    counts = np.maximum(1, np.asarray(domain.interactions.sum(axis=0)).ravel())
    weighted = domain.interactions.astype(np.float64).multiply(1.0 / np.sqrt(counts)).tocsr()
    width = min(dimension, min(weighted.shape) - 1)
    left, values, _ = svds(weighted, k=width, rng=np.random.default_rng(0))
    return torch.from_numpy(np.ascontiguousarray(left * values, dtype=np.float32))


def _of_runs(folders: list[Path], prepared: PreparedSet) -> tuple[Sides, torch.Tensor]:
    """Return user embeddings of one run or two, and the source users whose pairs a run was trained with."""
    users: dict[str, torch.Tensor] = {}
    knew = torch.zeros(0, dtype=torch.int64)
    for folder in folders:
        run = open_run_folder(folder)
        if run.data_fingerprint != prepared.fingerprint:
            found = f"a run of the set {run.data_fingerprint}"
            raise DataError(found, f"of {prepared.fingerprint}", str(folder), "give the set it was trained on")
        if len(run.domains) > 1:
            shared = prepared.train_data(run.manifest.facts["known_pairs"]).shared
            knew = torch.cat([knew, torch.from_numpy(shared[:, 0].astype(np.int64))])
        for name, scorer in run.scorers().items():
            if isinstance(scorer, DotScorer):
                users[name] = scorer.users
    names = [facts.name for facts in prepared.domains]
    if set(users) < set(names):
        expected = f"user embeddings of {' and '.join(names)}"
        where = ", ".join(map(str, folders))
        raise DataError(f"those of {', '.join(users) or 'no domain'}", expected, where, "give runs of other models")
    return (users[names[0]], users[names[1]]), knew


if __name__ == "__main__":
    sys.exit(main())
