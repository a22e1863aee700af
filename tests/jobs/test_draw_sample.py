from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from jobs.draw_sample import main


def write_source(folder: Path) -> None:
    """A hundred users with a dozen items in each of two domains, some items repeated, some never chosen."""
    generator = np.random.default_rng(0)
    rows, items = [], []
    for domain in ("arts", "office"):
        for user in range(100):
            for order, item in enumerate((generator.random(12 if user else 60) ** 2 * 60).astype(int)):
                rows.append((domain, f"A{user}Z", str(item), "", "", str(order)))
        items += [(domain, str(item), f"{domain} title {item}", "a text") for item in range(80)]
    folder.mkdir()
    columns = ["domain", "user", "item", "rating", "timestamp", "order"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "interactions.tsv.gz", sep="\t", index=False)
    pd.DataFrame(items, columns=["domain", "item", "title", "text"]).to_csv(
        folder / "items.tsv.gz", sep="\t", index=False
    )


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def draw(folder: Path, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    output = folder / f"sample {seed}"
    arguments = ["--source", str(folder / "source"), "--output", str(output), "--users", "80", "--seed", str(seed)]
    assert main([*arguments, "--longest", "15"]) == 0
    return read(output / "interactions.tsv"), read(output / "items.tsv")


def test_sample_is_dense_renumbered_and_made_of_real_rows(tmp_path: Path) -> None:
    write_source(tmp_path / "source")
    rows, items = draw(tmp_path, 0)
    assert 30 < rows["user"].nunique() <= 80
    assert (rows.groupby("user")["domain"].nunique() == 2).all()
    pairs = rows[["domain", "user", "item"]].drop_duplicates()
    assert len(pairs) < len(rows)  # repeated rows are real rows too
    assert pairs.groupby(["domain", "user"]).size().min() >= 5
    assert pairs.groupby(["domain", "item"]).size().min() >= 3
    for domain in ("arts", "office"):
        numbers = items.loc[items["domain"] == domain, "item"].tolist()
        assert numbers == [str(number) for number in range(len(numbers))]
        assert set(rows.loc[rows["domain"] == domain, "item"]) == set(numbers)
    assert set(rows["user"]) == {str(number) for number in range(rows["user"].nunique())}
    # By title and place in the history, every user of the sample is one of the source, with all rows of these items.
    source = read(tmp_path / "source" / "interactions.tsv.gz").merge(read(tmp_path / "source" / "items.tsv.gz"))
    known = {frozenset(zip(mine["title"], mine["order"], strict=True)) for _, mine in source.groupby("user")}
    for _, mine in rows.merge(items).groupby("user"):
        drawn = frozenset(zip(mine["title"], mine["order"], strict=True))
        assert any(drawn <= one for one in known)


def test_seed_decides(tmp_path: Path) -> None:
    write_source(tmp_path / "source")
    (first, _), (again, _), (other, _) = draw(tmp_path, 0), draw(tmp_path, 0), draw(tmp_path, 1)
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)
