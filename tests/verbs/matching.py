"""Two populations on disk, for the tests of matching."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from raymm.verbs.match import MatchRequest
from tests.transport.people import domains


def request(folder: Path, n: int = 300, m: int = 260, known: int = 60, shared: int = 120) -> MatchRequest:
    """Files a.parquet, b.parquet and, with known pairs, pairs.parquet; users a0 and b0 are the same person."""
    x, y = domains(n, m, shared, torch.float32, noise=0.05)
    for name, vectors in (("a", x.numpy()), ("b", y.numpy())):
        table = pa.table({"id": [f"{name}{row}" for row in range(len(vectors))], "vector": list(vectors)})
        pq.write_table(table, folder / f"{name}.parquet")
    pairs = pa.table(
        {f"{side}_id": [f"{name}{row}" for row in range(known)] for side, name in (("source", "a"), ("target", "b"))}
    )
    pq.write_table(pairs, folder / "pairs.parquet")
    anchors = folder / "pairs.parquet" if known else None
    return MatchRequest(folder / "a.parquet", folder / "b.parquet", folder / "out" / "first", anchors)
