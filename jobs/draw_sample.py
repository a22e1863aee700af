"""Draw the bundled sample from two domains of Amazon reviews: real rows of some users, under new numbers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

KEYS = ["domain", "user", "item"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the source, draw, and write `interactions.tsv` and `items.tsv`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder of interactions.tsv.gz and items.tsv.gz")
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    parser.add_argument("--users", type=int, default=3_500, help="users drawn before the thinning-out")
    parser.add_argument("--longest", type=int, default=20, help="longest history of a user in a domain")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    generator = np.random.default_rng(given.seed)
    rows = pd.read_csv(given.source / "interactions.tsv.gz", sep="\t", dtype=str, keep_default_na=False)
    items = pd.read_csv(given.source / "items.tsv.gz", sep="\t", dtype=str, keep_default_na=False)

    pairs = _dense(rows[KEYS].drop_duplicates(), users=5, items=4)
    longest = pairs.groupby(["user", "domain"]).size().groupby("user").max()
    drawn = generator.permutation(np.sort(longest.index[longest <= given.longest].to_numpy(str)))[: given.users]
    pairs = _dense(pairs[pairs["user"].isin(drawn)], users=5, items=3)

    rows = rows.merge(pairs)  # every source row of the pairs that are left, repeated ones too
    items = items.merge(pairs[["domain", "item"]].drop_duplicates())
    users = _renumbered(rows["user"], generator)
    rows["user"] = rows["user"].map(users)
    for domain in sorted(set(rows["domain"])):
        numbers = _renumbered(items.loc[items["domain"] == domain, "item"], generator)
        for table in (rows, items):
            inside = table["domain"] == domain
            table.loc[inside, "item"] = table.loc[inside, "item"].map(numbers)

    given.output.mkdir(parents=True, exist_ok=True)
    for table, keys, name in ((rows, ["user", "order"], "interactions.tsv"), (items, ["item"], "items.tsv")):
        ordered = table.sort_values(["domain", *keys], key=_numeric, kind="stable")
        ordered.to_csv(given.output / name, sep="\t", index=False, lineterminator="\n")
    return 0


def _dense(pairs: pd.DataFrame, users: int, items: int) -> pd.DataFrame:
    """Keep users active in both domains and items, each with at least so many pairs within a domain."""
    while True:
        before = len(pairs)
        pairs = pairs[pairs.groupby(["domain", "item"])["user"].transform("size") >= items]
        pairs = pairs[pairs.groupby(["domain", "user"])["item"].transform("size") >= users]
        pairs = pairs[pairs.groupby("user")["domain"].transform("nunique") == 2]
        if len(pairs) == before:
            return pairs


def _renumbered(names: pd.Series, generator: np.random.Generator) -> dict[str, str]:
    """Give each name a number of its own, in an order that says nothing about the name."""
    distinct = generator.permutation(np.sort(names.unique().astype(str)))
    return {name: str(number) for number, name in enumerate(distinct)}


def _numeric(column: pd.Series) -> pd.Series:
    return column if column.name == "domain" else column.astype(int)


if __name__ == "__main__":
    raise SystemExit(main())
