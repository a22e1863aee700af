"""The files of a matching: partners, potentials and kept blocks, by external id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from raymm.errors import ArtefactError
from raymm.transport.cells import Cells
from raymm.transport.export import Partners
from raymm.transport.frame import Frame
from raymm.transport.population import PopulationMatch

CERTIFICATE, QUALITY = "certificate.json", "quality.json"
PARTNERS, POTENTIALS, BLOCKS = "partners", "potentials_{side}.parquet", "blocks.parquet"
FRAME = "frame.npz"

_PART_ROWS = 1_000_000  # partners in one file, more or less


@dataclass(frozen=True, eq=False)
class Candidates:
    """The target users whom new source users may be matched to: those in no known pair.

    Attributes:
        ids: (c,) strings.
        potentials: (c,) float64, g.
        coordinates: (c, k) in the cost.
    """

    ids: pa.Array
    potentials: torch.Tensor
    coordinates: torch.Tensor


def write_plan(folder: Path, match: PopulationMatch, source_ids: pa.Array, target_ids: pa.Array) -> None:
    """Write who is likely to be whom, and what the whole plan can be made from again.

    `partners/part-*.parquet`: source_id, target_id, rank (1 is the heaviest), weight (share of the source user's own
    mass), mass (of the pair in the plan, whose unknown users have mass 1 in total if all of them are matched) and
    known (the pair was given). `potentials_source.parquet` and `potentials_target.parquet`: id, potential, cell and
    coordinates of every unknown user; the cost is 1 less the inner product of coordinates. `blocks.parquet`: the pairs
    of cells between which the plan has mass.

    Args:
        folder: Where to.
        match: What was found.
        source_ids: (n,) strings.
        target_ids: (m,) strings.
    """
    known = torch.ones(len(source_ids), dtype=torch.bool)
    known[match.rows.cpu()] = False
    write_partners(folder, on_cpu(match.partners), known, source_ids, target_ids)
    solution = match.solution
    none = torch.zeros(0)
    kept = np.zeros((0, 2), dtype=np.int64)
    nowhere = torch.zeros(0, 0)
    sides = [
        ("source", source_ids, match.rows, none, none, nowhere),
        ("target", target_ids, match.columns, none, none, nowhere),
    ]
    if solution is not None and match.problem is not None:
        partition, cost = solution.partition, match.problem.cost
        kept = torch.nonzero(partition.kept).cpu().numpy()
        sides = [
            ("source", source_ids, match.rows, solution.f, _cell_of(partition.rows), cost.source),
            ("target", target_ids, match.columns, solution.g, _cell_of(partition.columns), cost.target),
        ]
    for side, ids, users, potentials, cells, coordinates in sides:
        own = ids.take(pa.array(users[: len(potentials)].cpu().numpy()))
        columns = {"id": own, "potential": potentials.double().cpu().numpy(), "cell": cells.int().cpu().numpy()}
        flat = pa.array(coordinates.cpu().numpy().ravel())
        columns["coordinates"] = pa.FixedSizeListArray.from_arrays(flat, max(1, coordinates.shape[1]))
        pq.write_table(pa.table(columns), folder / POTENTIALS.format(side=side), compression="zstd")
    blocks = {"source_cell": kept[:, 0].astype(np.int32), "target_cell": kept[:, 1].astype(np.int32)}
    pq.write_table(pa.table(blocks), folder / BLOCKS, compression="zstd")


def write_partners(
    folder: Path, partners: Partners, known: torch.Tensor, source_ids: pa.Array, target_ids: pa.Array
) -> None:
    """Write lists of partners as sharded Parquet, as `write_plan` says.

    Args:
        folder: `partners/` is made in it.
        partners: Of n source users, on the CPU.
        known: (n,) bool, users in known pairs.
        source_ids: (n,) strings.
        target_ids: (m,) strings.
    """
    (folder / PARTNERS).mkdir()
    for place, table in enumerate(_partner_tables(partners, known, source_ids, target_ids)):
        pq.write_table(table, folder / PARTNERS / f"part-{place:05d}.parquet", compression="zstd")


def write_frame(folder: Path, frame: Frame) -> None:
    """Write what places new source users in the cost."""
    with (folder / FRAME).open("wb") as stream:
        np.savez(stream, **{name: tensor.cpu().numpy() for name, tensor in frame.tensors().items()})  # type: ignore[arg-type]


def read_frame(folder: Path) -> tuple[Frame, Candidates]:
    """Read what new source users are placed by, and whom they may be matched to.

    Raises:
        ArtefactError: There was nothing to solve, so nobody to match new users to.
    """
    with np.load(folder / FRAME, allow_pickle=False) as stored:
        frame = Frame(**{name: torch.from_numpy(stored[name]) for name in stored.files})
    table = pq.read_table(folder / POTENTIALS.format(side="target"))
    if not table.num_rows:
        raise ArtefactError(
            "no target user outside the known pairs", "at least one", str(folder), "match again with fewer known pairs"
        )
    coordinates = table["coordinates"].combine_chunks()
    flat = coordinates.flatten().to_numpy().reshape(table.num_rows, -1)
    ids = table["id"].combine_chunks()
    return frame, Candidates(ids, torch.from_numpy(table["potential"].to_numpy().copy()), torch.from_numpy(flat.copy()))


def on_cpu(partners: Partners) -> Partners:
    """Return the lists in this machine's memory."""
    return Partners(
        partners.targets.cpu(),
        partners.weights.cpu(),
        partners.mass.cpu(),
        partners.kept.cpu(),
        partners.effective.cpu(),
    )


def _partner_tables(
    partners: Partners, known: torch.Tensor, source_ids: pa.Array, target_ids: pa.Array
) -> Iterator[pa.Table]:
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
