"""Graphs that outgrow one worker: METIS parts with their borders, and sampled neighbourhoods, both by DGL."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from scipy import sparse

from raymm.errors import DataError, SolverError


@dataclass(frozen=True, eq=False)
class Partition:
    """Which part each node of a graph belongs to.

    Attributes:
        parts: (N,) int64 in 0..n_parts-1.
        n_parts: Number of parts; none is empty.
        cut: Share of the stored entries off the diagonal whose ends lie in different parts.
    """

    parts: np.ndarray
    n_parts: int
    cut: float

    def nodes(self, part: int) -> np.ndarray:
        """Return the nodes of one part, ascending, (n,) int64."""
        return np.flatnonzero(self.parts == part)


@dataclass(frozen=True, eq=False)
class PartRows:
    """One part's rows of a graph, with what they need from elsewhere.

    `matrix @ concatenate(x[nodes], x[border])` is `(graph @ x)[nodes]`: a part propagates exactly once it has been told
    the rows of its border.

    Attributes:
        nodes: (n,) int64, the part's own nodes, ascending.
        border: (b,) int64, nodes of other parts that the rows refer to, ascending.
        matrix: (n, n + b) CSR with the graph's values.
    """

    nodes: np.ndarray
    border: np.ndarray
    matrix: sparse.csr_array


@dataclass(frozen=True, eq=False)
class SampledLayer:
    """A sampled layer of message passing.

    Attributes:
        sources: (s,) int64, nodes whose rows go in; the first ones are the layer's targets, in order.
        matrix: (t, s) float32 CSR; its expectation over samples is the graph's rows of the targets.
    """

    sources: np.ndarray
    matrix: sparse.csr_array


class NeighbourSampler:
    """Samples of the neighbourhoods of nodes, for steps that cannot afford the whole graph.

    Args:
        graph: (N, N) weights; row i gathers from the columns that it stores.

    Raises:
        DataError: The graph is not square.
        SolverError: DGL is not installed.
    """

    def __init__(self, graph: sparse.csr_array) -> None:
        self._rows = _canonical(graph)
        self._graph = _dgl_graph(self._rows)

    def sample(
        self, nodes: np.ndarray, fanouts: Sequence[int], generator: np.random.Generator
    ) -> tuple[SampledLayer, ...]:
        """Draw neighbours without replacement, layer by layer from the nodes outwards.

        Source: GraphSAGE (arXiv 1706.02216), algorithm 2. Differs from the source: kept weights are divided by the
        probability that they are kept, so that each layer's matrix is right on average.

        Args:
            nodes: (t,) int64, each once.
            fanouts: Most neighbours of a node in each layer, the first next to the nodes; -1 takes all.
            generator: Source of randomness; one number is drawn from it, to seed DGL.

        Returns:
            One layer for each fan-out, next to the nodes first. With layers A, B and features x of all nodes,
            `A.matrix @ B.matrix @ x[B.sources]` estimates `(graph @ graph @ x)[nodes]`.

        Raises:
            DataError: A node is out of range or given twice, or a fan-out is neither -1 nor positive.
        """
        targets = np.asarray(nodes, np.int64)
        inside = len(targets) and targets.min() >= 0 and targets.max() < self._rows.shape[0]
        if not inside or len(np.unique(targets)) < len(targets):
            raise DataError(
                f"{len(targets)} nodes", f"at least one, each once, in 0..{self._rows.shape[0] - 1}", "sampler"
            )
        if not fanouts or any(fanout < 1 and fanout != -1 for fanout in fanouts):
            raise DataError(f"fan-outs {tuple(fanouts)}", "at least one; each -1 or positive", "sampler")
        _dgl().seed(int(generator.integers(2**31)))
        layers = []
        for fanout in fanouts:
            layers.append(self._layer(targets, fanout))
            targets = layers[-1].sources
        return tuple(layers)

    def _layer(self, targets: np.ndarray, fanout: int) -> SampledLayer:
        sampled = _dgl().sampling.sample_neighbors(self._graph, torch.from_numpy(targets), fanout)
        ends = sampled.edges(order="eid")
        entries = sampled.edata["_ID"].numpy()  # the graph's edges are the stored entries, in order
        sources, rows = (tensor.numpy() for tensor in ends)
        degrees = np.diff(self._rows.indptr)[rows]
        kept = degrees if fanout == -1 else np.minimum(degrees, fanout)
        weights = self._rows.data[entries] * (degrees / kept)
        together = np.concatenate([targets, np.setdiff1d(sources, targets)])
        place = np.empty(self._rows.shape[0], np.int64)
        place[together] = np.arange(len(together))
        shape = (len(targets), len(together))
        matrix = sparse.csr_array((weights.astype(np.float32), (place[rows], place[sources])), shape=shape)
        matrix.sum_duplicates()
        return SampledLayer(together, matrix)


def partition(graph: sparse.csr_array, n_parts: int, balance_edges: bool = False) -> Partition:
    """Split a graph into parts of about equal size with few edges between them, by METIS.

    Source: Karypis, Kumar (1998), multilevel k-way partitioning, as built into DGL. Weights are not looked at; links
    count in both directions. The same graph gives the same parts.

    Args:
        graph: (N, N).
        n_parts: Number of parts, at most N.
        balance_edges: Give the parts about equal numbers of edges too.

    Raises:
        DataError: The graph is not square, or there are more parts than nodes.
        SolverError: DGL is not installed, or METIS leaves a part empty.
    """
    rows = _canonical(graph)
    if not 1 <= n_parts <= rows.shape[0]:
        raise DataError(f"{n_parts} parts of {rows.shape[0]} nodes", "from 1 to the number of nodes", "partition")
    parts = np.zeros(rows.shape[0], np.int64)
    if n_parts > 1:
        module = _dgl()
        with contextlib.redirect_stdout(io.StringIO()):  # DGL reports its progress by print
            found = module.metis_partition_assignment(_dgl_graph(rows), n_parts, balance_edges=balance_edges)
        parts = np.asarray(found.numpy(), np.int64)
    sizes = np.bincount(parts, minlength=n_parts)
    if not sizes.all():
        raise SolverError(
            f"{int((sizes == 0).sum())} empty parts of {n_parts}", "none", "METIS partition", "ask for fewer parts"
        )
    return Partition(parts, n_parts, _cut(rows, parts))


def part_rows(graph: sparse.csr_array, partition: Partition, part: int) -> PartRows:
    """Take one part's rows out of a graph.

    Args:
        graph: (N, N), the graph that was split.
        partition: Its parts.
        part: Which one, 0..n_parts-1.

    Raises:
        DataError: The partition is of another graph, or has no such part.
    """
    if len(partition.parts) != graph.shape[0] or not 0 <= part < partition.n_parts:
        raise DataError(
            f"part {part} of {partition.n_parts}, {len(partition.parts)} nodes",
            f"a part of a graph of {graph.shape[0]} nodes",
            "partition",
        )
    nodes = partition.nodes(part)
    rows = sparse.csr_array(graph)[nodes]
    border = np.setdiff1d(rows.indices, nodes)
    place = np.empty(graph.shape[0], rows.indices.dtype)
    place[nodes], place[border] = np.arange(len(nodes)), np.arange(len(nodes), len(nodes) + len(border))
    matrix = sparse.csr_array(
        (rows.data, place[rows.indices], rows.indptr), shape=(len(nodes), len(nodes) + len(border))
    )
    matrix.sort_indices()
    return PartRows(nodes, border, matrix)


def _cut(rows: sparse.csr_array, parts: np.ndarray) -> float:
    sources = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    links = sources != rows.indices
    crossing = parts[sources[links]] != parts[rows.indices[links]]
    return float(crossing.mean()) if len(crossing) else 0.0


def _canonical(graph: sparse.csr_array) -> sparse.csr_array:
    if not sparse.issparse(graph) or graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
        raise DataError(f"{type(graph).__name__} {np.shape(graph)}", "a square scipy sparse matrix", "graph")
    rows = sparse.csr_array(graph, copy=True)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    return rows


def _dgl_graph(rows: sparse.csr_array) -> Any:
    """Make a DGL graph whose edges are the stored entries in order, from column to row."""
    targets = np.repeat(np.arange(rows.shape[0], dtype=np.int64), np.diff(rows.indptr))
    sources = rows.indices.astype(np.int64)
    edges = (torch.from_numpy(sources), torch.from_numpy(targets))
    return _dgl().graph(edges, num_nodes=rows.shape[0])


def _dgl() -> ModuleType:
    """Import DGL on first use: its newest release that loads beside a current torch has no build for Python 3.12."""
    silent = io.StringIO()  # the import talks on both streams, and warns of what it imports itself
    try:
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import dgl
    except (ImportError, OSError) as error:
        raise SolverError(
            f"DGL cannot be imported ({error})",
            "dgl 1.1.3, which exists for Python 3.11",
            "graph partition and neighbour sampling",
            "install it on Python 3.11, or train without graph parts: propagation over the whole graph needs no DGL",
        ) from error
    library: ModuleType = dgl
    return library
