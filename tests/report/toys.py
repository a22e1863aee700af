"""A small run whose report is quick to make."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch
from scipy import sparse

from raymm.contracts import Domain, Feature, Holdout
from raymm.evaluation.ranking import rank, top_k
from raymm.report.judge import draw_examples, judge_domain
from raymm.report.record import DomainResult, RunRecord
from raymm.scorers import DotScorer, ItemScorer

AGAINST = ("model", "popularity")


def make_case(name: str, seed: int) -> tuple[Domain, Holdout, dict[str, Any]]:
    """A domain with planted taste: a model that knows it, and popularity that does not."""
    generator = np.random.default_rng(seed)
    users, items = generator.normal(size=(60, 6)), generator.normal(size=(40, 6))
    order = np.argsort(-(users @ items.T + generator.gumbel(size=(60, 40))), axis=1)[:, :8]
    rows = np.arange(60)
    held_out = order[rows, rows % 8]
    known = np.ones((60, 40), np.float32) * 0
    for row in rows:
        known[row, np.setdiff1d(order[row], held_out[row])] = 1
    present = np.arange(40) % 10 > 0
    domain = Domain(name, sparse.csr_array(known), {"title": Feature(np.zeros((40, 3), np.float32), present)})
    targets = sparse.csr_array((np.ones(60), (rows, held_out)), shape=(60, 40))
    holdout = Holdout(name, rows, targets, domain.interactions)
    counts = torch.from_numpy(known.sum(axis=0))
    tables = (torch.from_numpy(table.astype(np.float32)) for table in (users, items))
    return domain, holdout, {"model": DotScorer(*tables), "popularity": ItemScorer(counts, 60)}


@functools.cache
def make_result(name: str = "books", seed: int = 0, title: str = "title of {}") -> DomainResult:
    domain, holdout, scorers = make_case(name, seed)
    rankings = {key: rank(scorer, holdout) for key, scorer in scorers.items()}
    lists = {key: top_k(scorer, holdout.users, 10, holdout.hidden)[0] for key, scorer in scorers.items()}
    titles = [title.format(item) for item in range(40)]
    generator = np.random.default_rng(1)
    user_ids = [f"person {user}" for user in range(60)]
    examples = draw_examples(domain, rankings["model"], lists["model"], titles, user_ids, generator)
    return judge_domain(domain, rankings, lists, AGAINST, generator, examples)


def make_record(**changes: Any) -> RunRecord:
    history = tuple(
        {
            "epoch": epoch,
            "losses": {"bpr": 0.7 / epoch, "guidance": 0.1},
            "validation": {"ndcg@10": value, "books.ndcg@10": value, "films.ndcg@10": value},
            "diagnostics": {"match.worst_error": 1e-5 * epoch},
            "seconds": {"train": 2.0, "validate": 0.5},
        }
        for epoch, value in enumerate((0.1, 0.3, 0.2), start=1)
    )
    record = RunRecord(
        name="a-run",
        model="model",
        baseline="popularity",
        created=1.7e9,
        data="toys",
        n_shared=12,
        domains=(make_result("books", 0), make_result("films", 1)),
        history=history,
        selection="ndcg@10",
        settings={"train": {"epochs": 3, "cutoffs": [5, 10], "flag": True}},
        defaults={"train": {"epochs": 200, "cutoffs": [5, 10], "flag": True}},
        provenance={"data": "0123456789abcdef"},
        warnings=("something to know",),
    )
    return dataclasses.replace(record, **changes)
