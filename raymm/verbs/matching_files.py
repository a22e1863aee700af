"""The files of a matching: partners, potentials and kept blocks, by external id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from raymm.transport.cells import Cells
from raymm.transport.population import PopulationMatch

CERTIFICATE, QUALITY = "certificate.json", "quality.json"
PARTNERS, POTENTIALS, BLOCKS = "partners", "potentials_{side}.parquet", "blocks.parquet"

_PART_ROWS = 1_000_000  # partners in one file, more or less


def write_plan(folder: Path, match: PopulationMatch, source_ids: pa.Array, target_ids: pa.Array) -> None:
    """Write who is likely to be whom, and what the whole plan can be made from again.

    `partners/part-*.parquet`: source_id, target_id, rank (1 is the heaviest), weight (share of the source user's own
    mass), mass (of the pair in the plan, whose unknown users have mass 1 in total if all of them are matched) and
    known (the pair was given). `potentials_source.parquet` and `potentials_target.parquet`: id, potential and cell of
    every unknown user. `blocks.parquet`: the pairs of cells between which the plan has mass.

    Args:
        folder: Where to.
        match: What was found.
        source_ids: (n,) strings.
        target_ids: (m,) strings.
    """
    (folder / PARTNERS).mkdir()
    for place, table in enumerate(_partner_tables(match, source_ids, target_ids)):
        pq.write_table(table, folder / PARTNERS / f"part-{place:05d}.parquet", compression="zstd")
    solution = match.solution
    none = torch.zeros(0)
    kept = np.zeros((0, 2), dtype=np.int64)
    sides = [("source", source_ids, match.rows, none, none), ("target", target_ids, match.columns, none, none)]
    if solution is not None:
        partition = solution.partition
        kept = torch.nonzero(partition.kept).numpy()
        sides = [
            ("source", source_ids, match.rows, solution.f, _cell_of(partition.rows)),
            ("target", target_ids, match.columns, solution.g, _cell_of(partition.columns)),
        ]
    for side, ids, users, potentials, cells in sides:
        own = ids.take(pa.array(users[: len(potentials)].numpy()))
        columns = {"id": own, "potential": potentials.double().numpy(), "cell": cells.int().numpy()}
        pq.write_table(pa.table(columns), folder / POTENTIALS.format(side=side), compression="zstd")
    blocks = {"source_cell": kept[:, 0].astype(np.int32), "target_cell": kept[:, 1].astype(np.int32)}
    pq.write_table(pa.table(blocks), folder / BLOCKS, compression="zstd")


def _partner_tables(match: PopulationMatch, source_ids: pa.Array, target_ids: pa.Array) -> Iterator[pa.Table]:
    partners = match.partners
    known = torch.ones(len(source_ids), dtype=torch.bool)
    known[match.rows] = False
    users = max(1, _PART_ROWS // partners.targets.shape[1])
    for start in range(0, len(source_ids), users):
        own = slice(start, start + users)
        targets, weights = partners.targets[own], partners.weights[own]
        rows, ranks = torch.nonzero((targets >= 0) & (weights > 0), as_tuple=True)
        weight = weights[rows, ranks]
        yield pa.table(
            {
                "source_id": source_ids.take(pa.array((rows + start).numpy())),
                "target_id": target_ids.take(pa.array(targets[rows, ranks].numpy())),
                "rank": (ranks + 1).int().numpy(),
                "weight": weight.numpy(),
                "mass": (weight.double() * partners.mass[own][rows]).numpy(),
                "known": known[own][rows].numpy(),
            }
        )


def _cell_of(cells: Cells) -> torch.Tensor:
    """Return the cell of each point, in the order of the points."""
    found = torch.empty_like(cells.of_position)
    found[cells.order] = cells.of_position
    return found
