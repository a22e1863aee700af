"""A small data set of two domains as files, with everything wrong that files have, and its slow reference."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd

WORDS = ["red", "green", "blue", "cat", "dog", "cow", "oak", "elm", "ash", "tin"]
RECIPE = """
name = "toy"
domains = ["a", "b"]
[[interactions]]
path = "a.tsv"
domain = "a"
columns = {{ user = "who", item = "what", rating = "stars", time = "at", order = "place" }}
[[interactions]]
path = "b.csv.gz"
columns = {{ user = "user", item = "item", order = "n", domain = "shop" }}
layout = {{ delimiter = ",", quote = '"' }}
[[items]]
path = "items.tsv"
columns = {{ item = "item", domain = "domain", title = "title" }}
[cleaning]
max_malformed = 0.1
core_users = 4
core_items = 6
[overlap]
shared_ratio = 0.5
[[features]]
name = "title"
column = "title"
dimension = 4
max_missing = 0.5
{more}
"""
MALFORMED = {7: "u1\ti1", 12: "u1\ti1\tgood\t5\t5", 40: "\ti1\t3\t5\t5", 45: "u1\ti1\t3\t5\tsoon"}


def write_toy(folder: Path, more: str = "", seed: int = 0) -> Path:
    """Write the files; return the recipe's path."""
    generator = np.random.default_rng(seed)
    rows_a, rows_b = _rows(generator, 40, 30, 420), _rows(generator, 35, 20, 260)
    lines = ["who\twhat\tstars\tat\tplace"]
    for user, item, order in rows_a:
        if len(lines) + 1 in MALFORMED:
            lines.append(MALFORMED[len(lines) + 1])
        if len(lines) % 50 == 0:
            lines.append("")
        lines.append(f"u {user}é\ti{item}\t{1 + order % 5}\t{1_000 + order}\t{order}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.tsv").write_text("\r\n".join(lines) + "\r\n")
    text = "shop,user,item,n\n" + "".join(f'b,"u {user}é","x,""{item}""",{order}\n' for user, item, order in rows_b)
    (folder / "b.csv.gz").write_bytes(gzip.compress((text + "elsewhere,u,i,0\n").encode()))
    items = ["domain\titem\ttitle"]
    for domain, names in (("a", [f"i{n}" for n in range(30)]), ("b", [f'x,"{n}"' for n in range(20)])):
        for place, name in enumerate(names):
            if place != 3:  # one item of each domain is in no item file
                items.append(f"{domain}\t{name}\t{' '.join(generator.choice(WORDS, size=3))}")
    items.append("a\ti1\ta second title of i1")
    (folder / "items.tsv").write_text("\n".join(items))
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(more=more))
    return recipe


def reference(folder: Path) -> dict[str, pd.DataFrame]:
    """Clean and split the toy by plain pandas: (user, item, place in the history, part) of each domain."""
    a = pd.read_csv(folder / "a.tsv", sep="\t", dtype=str, keep_default_na=False, on_bad_lines="skip")
    a = a[(a["who"] != "") & a["stars"].str.isdigit() & a["place"].str.isdigit()]
    b = pd.read_csv(folder / "b.csv.gz", dtype=str, keep_default_na=False)
    b = b[b["shop"] == "b"].rename(columns={"user": "who", "item": "what", "n": "place"})
    return {name: split(core(frame, 4, 6)) for name, frame in (("a", a), ("b", b))}


def core(frame: pd.DataFrame, users: int, items: int) -> pd.DataFrame:
    """Order, drop repeats, and take the k-core by counting again and again; columns who, what, place."""
    frame = frame.assign(place=frame["place"].astype(int), line=range(len(frame)))
    frame = frame.sort_values(["who", "place", "line"]).drop_duplicates(["who", "what"])
    while True:
        before = len(frame)
        frame = frame[frame.groupby("who")["what"].transform("size") >= users]
        frame = frame[frame.groupby("what")["who"].transform("size") >= items]
        if len(frame) == before:
            return frame


def split(frame: pd.DataFrame) -> pd.DataFrame:
    """Say of each row of a user, in order, which part it is for."""
    from_end = frame.groupby("who").cumcount(ascending=False)
    part = np.where(from_end == 0, "test", np.where(from_end == 1, "validation", "train"))
    return frame.assign(part=part, place=frame.groupby("who").cumcount())[["who", "what", "place", "part"]]


def _rows(generator: np.random.Generator, users: int, items: int, n_rows: int) -> list[tuple[int, int, int]]:
    # Squared uniforms crowd the low numbers: a long tail for the k-core. Few orders: many ties.
    user = (generator.random(n_rows) ** 2 * users).astype(int)
    item = (generator.random(n_rows) ** 2 * items).astype(int)
    order = generator.integers(0, 12, size=n_rows)
    return list(zip(user.tolist(), item.tolist(), order.tolist(), strict=True))
