"""A small prepared set of two domains, and a finished run on it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from scipy import sparse

from raymm.artefacts import RUN_KIND, RUN_SCHEMA, writing
from raymm.contracts import Scorer
from raymm.data import layout
from raymm.data.graph_files import GraphLayout, join_parts, write_part
from raymm.data.prepared import PreparedSet, open_prepared
from raymm.scorers import DotScorer, ItemScorer, save_scorer
from raymm.tracking.candidate import PREPARED
from raymm.tracking.served import ServedDomain

SIZES = {"arts": (30, 20), "office": (25, 15)}
SHARED = 10  # the first users of both domains have the same external ids


def user_ids(domain: str) -> list[str]:
    shared = [f"user {number}" for number in range(SHARED)]
    return shared + [f"{domain} user {number}" for number in range(SHARED, SIZES[domain][0])]


def item_ids(domain: str) -> list[str]:
    return [f"{domain}-{number:03d}" for number in range(SIZES[domain][1])]


def write_prepared(folder: Path, seed: int = 0) -> PreparedSet:
    generator = np.random.default_rng(seed)
    inputs, facts = {"arts.tsv": "a" * 16, "office.tsv": "b" * 16}, []
    with writing(folder, layout.KIND, layout.SCHEMA, inputs, {"seed": seed}) as (draft, noted):
        for domain, (users, items) in SIZES.items():
            chosen = np.array([generator.permutation(items)[:5] for _ in range(users)])
            train = {
                "user": np.repeat(np.arange(users), 3),
                "item": chosen[:, :3].ravel(),
                "order": np.tile(np.arange(3), users),
                "rating": np.ones(3 * users),
                "time": np.zeros(3 * users, np.int64),
                "row": np.arange(3 * users),
            }
            layout.write_table(layout.train_file(draft, domain, 0), pa.table(train), layout.TRAIN)
            shape = GraphLayout(users, items, 3 * users, True, False)
            write_part(layout.graph_part(draft, domain, 0), pa.table(train), range(users), shape)
            join_parts(draft, domain, 1, shape)
            held = {"user": np.arange(users), "item": chosen[:, 3], "rating": np.ones(users), "time": np.zeros(users)}
            layout.write_table(layout.validation_file(draft, domain), pa.table(held), layout.HELD_OUT)
            names = {"index": np.arange(users), "user_id": user_ids(domain)}
            layout.write_table(layout.users_file(draft, domain), pa.table(names), layout.USERS)
            names = {"index": np.arange(items), "item_id": item_ids(domain), "title": [""] * items}
            layout.write_table(layout.items_file(draft, domain), pa.table(names), layout.ITEMS)
            facts.append(
                {
                    "name": domain,
                    "n_users": users,
                    "n_items": items,
                    "n_train": 3 * users,
                    "n_validation": users,
                    "n_test": 0,
                    "has_ratings": True,
                    "has_times": False,
                    "modalities": [],
                }
            )
        noted.update(domains=facts, split={"kind": "leave_last_out", "target": None, "positive_rating": None})
    return open_prepared(folder)


def make_scorer(domain: str, seed: int = 0) -> Scorer:
    """Make a scorer of small whole numbers, so that many items have equal scores."""
    users, items = SIZES[domain]
    generator = torch.Generator().manual_seed(seed)
    tables = (torch.randint(-2, 3, (rows, 3), generator=generator).float() for rows in (users, items))
    return DotScorer(*tables)


def write_run(folder: Path, prepared: PreparedSet, seed: int = 0) -> Path:
    settings = {"model": {"name": "toy"}, "seed": seed}
    with writing(folder, RUN_KIND, RUN_SCHEMA, {PREPARED: prepared.fingerprint}, settings) as (draft, _):
        (draft / "history.jsonl").write_text(json.dumps({"epoch": 0, "loss": 1.0}) + "\n")
        save_scorer(make_scorer("arts", seed), draft / "scorers" / "arts")
        save_scorer(ItemScorer(torch.arange(15).float(), n_users=SIZES["office"][0]), draft / "scorers" / "office")
    return folder


def known(domain: str, seed: int = 0) -> sparse.csr_array:
    generator = np.random.default_rng(seed)
    return sparse.csr_array((generator.random(SIZES[domain]) < 0.2).astype(np.float32))


def make_domain(domain: str, seed: int = 0) -> ServedDomain:
    ids = (np.array(ids, dtype=object) for ids in (user_ids(domain), item_ids(domain)))
    return ServedDomain(domain, make_scorer(domain, seed), *ids, known(domain, seed))
