"""The layout of a prepared folder: which file holds what, and how its tables are written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

KIND = "prepared"
SCHEMA = 3

USERS = pa.schema([("index", pa.int64()), ("user_id", pa.string())])
ITEMS = pa.schema([("index", pa.int64()), ("item_id", pa.string()), ("title", pa.string())])
PAIRS = pa.schema([("first", pa.int64()), ("second", pa.int64())])
HELD_OUT = pa.schema([("user", pa.int64()), ("item", pa.int64()), ("rating", pa.float32()), ("time", pa.int64())])
TRAIN = pa.schema(
    [
        ("user", pa.int64()),
        ("item", pa.int64()),
        ("order", pa.int64()),
        ("rating", pa.float32()),
        ("time", pa.int64()),
        ("row", pa.int64()),
    ]
)
MISSING = pa.schema([(name, pa.string()) for name in ("domain", "modality", "item_id", "reason")])
SET_ASIDE = pa.schema([("path", pa.string()), ("line", pa.int64()), ("reason", pa.string()), ("text", pa.string())])


def users_file(folder: Path, domain: str) -> Path:
    """Return the file of `USERS`: internal index to external id."""
    return folder / "domains" / domain / "users.parquet"


def items_file(folder: Path, domain: str) -> Path:
    """Return the file of `ITEMS`: internal index to external id and title."""
    return folder / "domains" / domain / "items.parquet"


def train_folder(folder: Path, domain: str) -> Path:
    """Return the folder of training interactions, shards of `TRAIN`."""
    return folder / "domains" / domain / "train"


def train_file(folder: Path, domain: str, shard: int) -> Path:
    """Return one shard of training interactions; shards in order of their number are in canonical order."""
    return train_folder(folder, domain) / f"part-{shard:05d}.parquet"


def graph_file(folder: Path, domain: str, array: str) -> Path:
    """Return the file of one array of the training matrix: starts, items, ones, ratings or times."""
    return folder / "domains" / domain / "graph" / f"{array}.npy"


def graph_part(folder: Path, domain: str, shard: int) -> Path:
    """Return the folder of one shard's share of these arrays, which goes when they are joined."""
    return folder / "domains" / domain / "graph" / f"part-{shard:05d}"


def validation_file(folder: Path, domain: str) -> Path:
    """Return the file of validation interactions, `HELD_OUT`."""
    return folder / "domains" / domain / "validation.parquet"


def sealed_file(folder: Path, domain: str) -> Path:
    """Return the file of test interactions, `HELD_OUT`, which only an evaluation may open."""
    return folder / "sealed" / f"{domain}.parquet"


def feature_files(folder: Path, domain: str, modality: str) -> tuple[Path, Path]:
    """Return the files of one modality: values (I, F) float32, and which items have it (I,) bool."""
    features = folder / "domains" / domain / "features"
    return features / f"{modality}.npy", features / f"{modality}.present.npy"


def shared_file(folder: Path) -> Path:
    """Return the file of the known shared users, `PAIRS`."""
    return folder / "shared.parquet"


def true_pairs_file(folder: Path) -> Path:
    """Return the file of all users active in both domains, `PAIRS`: for oracle experiments only."""
    return folder / "true_pairs.parquet"


def set_aside_file(folder: Path) -> Path:
    """Return the file of malformed rows, `SET_ASIDE`."""
    return folder / "set_aside.parquet"


def missing_file(folder: Path) -> Path:
    """Return the file of items that lack a modality, `MISSING`; there is none where no item does."""
    return folder / "missing_features.parquet"


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Write a table as Parquet, its columns in the order and of the types of `schema`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.select(schema.names).cast(schema), path, compression="zstd")
