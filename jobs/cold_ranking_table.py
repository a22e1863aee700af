"""Rank for users who are new in a domain: the ridge from source histories beside popularity and co-occurrence.

    python jobs/cold_ranking_table.py --data prepared/ml_genres --source a --target b --shares 0.2 0.5
    python jobs/cold_ranking_table.py --data prepared/arts_office --source office --target arts --seeds 0 1 2

Cold users are drawn anew for each share and seed among the shared users of the prepared set's training part; its test
set stays sealed. They lose all they have in the target, which is what a ranking of all items should find; of ratings,
those of `--least` and more. Metrics are means over cold users and seeds; the difference in NDCG@20 to the better of
popularity and co-occurrence is a paired bootstrap over users, where one who is cold under several seeds counts once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from raymm.contracts import Domain, Holdout, Scorer, TrainData
from raymm.data.prepared import open_prepared
from raymm.evaluation.compare import compare_values
from raymm.evaluation.ranking import rank
from raymm.evaluation.values import RankingValues
from raymm.ratings.cold_ranking import ColdRankingConfig, co_occurrence, fit_cold_ranking, source_histories
from raymm.scorers import ItemScorer

METRICS, CUTOFFS = ("hr@10", "ndcg@20", "recall@20"), (10, 20)
RIDGE, OTHERS = "cross_ridge", ("popularity", "co_occurrence")


def main() -> int:
    """Draw, fit, rank, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="prepared folder of two domains")
    parser.add_argument("--source", required=True, help="domain in which users are known")
    parser.add_argument("--target", required=True, help="domain in which they are new")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.2], help="shares of cold users (default: .2)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--least", type=float, default=4.0, help="least rating of what a ranking should find")
    chosen = parser.parse_args()
    data = open_prepared(chosen.data).train_data("true")
    for share in chosen.shares:
        seeds = [judge(data, (chosen.source, chosen.target), share, seed, chosen.least) for seed in chosen.seeds]
        _table(seeds, f"{chosen.source} to {chosen.target}, {share:.0%} cold, seeds {chosen.seeds}")
    return 0


def judge(data: TrainData, names: tuple[str, str], share: float, seed: int, least: float) -> dict[str, RankingValues]:
    """Make a share of the shared users cold, and rank the target's items for them."""
    source, target = data.domain(names[0]), data.domain(names[1])
    pairs = data.shared if data.domains[0].name == names[0] else data.shared[:, ::-1]
    source_of = np.full(target.n_users, -1, dtype=np.int64)
    source_of[pairs[:, 1]] = pairs[:, 0]
    liked = _liked(target, least)
    generator = np.random.default_rng([seed, round(100 * share)])
    able = pairs[np.diff(liked.indptr)[pairs[:, 1]] > 0, 1]
    cold = np.sort(generator.permutation(able)[: round(share * len(able))])
    kept = np.ones(target.n_users)
    kept[cold] = 0
    warm = sparse.csr_array(sparse.diags_array(kept) @ liked)
    warm.eliminate_zeros()
    nothing = sparse.csr_array((len(cold), target.n_items))
    holdout = Holdout(target.name, cold, sparse.csr_array(liked[cold]), nothing)
    counts = np.bincount(warm.indices, minlength=target.n_items).astype(np.float32)
    ridge = fit_cold_ranking(source.interactions, warm, source_of, ColdRankingConfig(), generator)
    scorers: dict[str, Scorer] = {
        RIDGE: ridge.scorer(source_histories(source.interactions, source_of)),
        "popularity": ItemScorer(torch.from_numpy(counts), target.n_users),
        "co_occurrence": co_occurrence(source.interactions, warm, source_of),
    }
    return {name: rank(scorer, holdout, CUTOFFS) for name, scorer in scorers.items()}


def _liked(domain: Domain, least: float) -> sparse.csr_array:
    """Return the interactions that count: all of implicit feedback, high ratings of others."""
    matrix = domain.interactions
    values = np.ones(matrix.nnz) if domain.ratings is None else (domain.ratings >= least).astype(np.float64)
    liked = sparse.csr_array((values, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)
    liked.eliminate_zeros()
    return liked


def _table(seeds: list[dict[str, RankingValues]], title: str) -> None:
    means = {name: [one[name].means() for one in seeds] for name in seeds[0]}
    _say(f"\n{title}")
    for name, found in means.items():
        words = "".join(f"{metric:>11} {np.mean([one[metric] for one in found]):.4f}" for metric in METRICS)
        _say(f"{name:14}{words}")
    best = max(OTHERS, key=lambda name: np.mean([one["ndcg@20"] for one in means[name]]))
    users = np.concatenate([one[RIDGE].users for one in seeds])
    _, places = np.unique(users, return_inverse=True)
    sides = (np.concatenate([one[name].values["ndcg@20"] for one in seeds]) for name in (RIDGE, best))
    first, second = (np.bincount(places, weights=side) / np.bincount(places) for side in sides)
    found = compare_values(first, second, "ndcg@20", np.random.default_rng(0))
    low, high = found.interval
    _say(f"NDCG@20 less that of {best}: {found.difference:+.4f} [{low:+.4f}, {high:+.4f}], {found.n_users:,} users")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
