"""Users whom a trained MIMNet has never met, by the source histories that they bring."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy import sparse

from raymm import config
from raymm.contracts import Scorer
from raymm.errors import ConfigError, DataError
from raymm.models.mimnet.config import NetworkConfig
from raymm.models.mimnet.network import FrozenTables, MimnetNet
from raymm.models.mimnet.scoring import spoken
from raymm.ratings.cold_ranking import Choice, CrossRidge
from raymm.ratings.content import Content
from raymm.ratings.histories import recent_histories
from raymm.ratings.styles import Habits, StyleMap
from raymm.ratings.table import RatingTable
from raymm.ratings.transfer import ResidualTables, read_vectors
from raymm.scorers import DotScorer, InterestScorer

_CSR = ("data", "indices", "indptr")
_BLOCK = 1 << 12  # histories read at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Vectors:
    """How users' vectors are read: see `ratings.transfer.read_vectors`.

    Attributes:
        source_items: (source items, D).
        ridge: Weight of the squared vectors.
        unit: What they are divided by.
        spread: What the network divides source items by.
    """

    source_items: np.ndarray
    ridge: float
    unit: float
    spread: float


@dataclasses.dataclass(frozen=True, eq=False)
class Liking:
    """How it is read what users like items to be about: see `ratings.content.Content`.

    Attributes:
        source_items: (source items, F).
        ridge: Weight of the squared vectors.
        share: What the vectors are multiplied with.
    """

    source_items: np.ndarray
    ridge: float
    share: float


@dataclasses.dataclass(frozen=True, eq=False)
class Newcomers:
    """Reads source histories as the training read those of its own users.

    Attributes:
        style: From a history to floor+.
        vectors: From a history to a vector.
        shares: What the scalar bridge multiplies with, and the network's share of it.
        liking: From a history to what items should be about; None where content is left out.
        network: The trained network with its settings; None where its gate is closed.
        ridge: What ranks; None where nothing but the ratings does.
    """

    style: StyleMap
    vectors: Vectors
    shares: tuple[float, float]
    liking: Liking | None
    network: tuple[NetworkConfig, MimnetNet] | None
    ridge: CrossRidge | None

    def ratings(self, table: RatingTable, trained: Scorer) -> DotScorer | InterestScorer:
        """Return a scorer whose users are those of a table of source ratings.

        Args:
            table: Their ratings, a user's from the oldest to the newest; items are those of the source.
            trained: The trained scorer, which has the target items.

        Raises:
            DataError: The scorer is none of this model's.
        """
        level, slope = self.style.read(table)
        vectors = read_vectors(
            table, self.style.habits, self.vectors.source_items, self.vectors.ridge, self.vectors.unit
        )
        bridge, share = self.shares
        columns = [level, slope, bridge * (1.0 - share) * vectors]
        if self.liking is not None:
            liked = read_vectors(table, self.style.habits, self.liking.source_items, self.liking.ridge, 1.0)
            columns.append(self.liking.share * liked)
        base = _single(np.column_stack(columns))
        if isinstance(trained, DotScorer):
            return DotScorer(base, trained.items)
        if self.network is None or not isinstance(trained, InterestScorer):
            raise DataError(f"a {type(trained).__name__}", "the scorer of this model", "newcomers")
        keys, values = self._spoken(self.network, table, _single(vectors))
        return dataclasses.replace(trained, base_users=base, keys=keys, values=values)

    def ranking(self, table: RatingTable, trained: Scorer) -> Scorer:
        """Return what ranks the target items for the users of a table of source ratings; see `ratings`."""
        return self.ratings(table, trained) if self.ridge is None else self.ridge.scorer(table.chosen())

    def _spoken(
        self, network: tuple[NetworkConfig, MimnetNet], table: RatingTable, users: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        settings, net = network
        histories = torch.from_numpy(recent_histories(table, settings.history, settings.least_rating))
        with torch.no_grad():
            parts = [
                spoken(net, net.read(*block))
                for block in zip(users.split(_BLOCK), histories.split(_BLOCK), strict=True)
            ]
        keys, values = (torch.cat(side).contiguous() for side in zip(*parts, strict=True))
        return keys, values


def read_from(
    style: StyleMap,
    tables: ResidualTables,
    shares: tuple[float, float],
    content: Content | None,
    network: tuple[NetworkConfig, MimnetNet] | None,
    ridge: CrossRidge | None,
) -> Newcomers:
    """Take what reads newcomers out of a trained model's parts; see `Newcomers`."""
    vectors = Vectors(tables.source_items, tables.source_ridge, tables.unit, spread_of(tables.source_items))
    liking = None if content is None else Liking(content.source_items, content.ridge, content.gain.share)
    return Newcomers(style, vectors, shares, liking, network, ridge)


def spread_of(source_items: np.ndarray) -> float:
    """Return what the network divides source items by, so that their entries are of size 1."""
    return float(np.sqrt(np.mean(source_items**2))) + 1e-12


def pack(newcomers: Newcomers) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return plain data and arrays from which `unpack` makes the same again."""
    label: dict[str, Any] = {"shares": list(newcomers.shares), "liking": None, "network": None, "choice": None}
    arrays: dict[str, np.ndarray] = {}
    parts: list[tuple[str, Any]] = [
        ("style", newcomers.style),
        ("habits", newcomers.style.habits),
        ("vectors", newcomers.vectors),
    ]
    if newcomers.liking is not None:
        parts += [("liking", newcomers.liking)]
    if newcomers.ridge is not None:
        label["choice"] = dataclasses.asdict(newcomers.ridge.choice)
        label["items"] = newcomers.ridge.histories.shape[1]
        parts += [("ridge", newcomers.ridge)]
        arrays |= {f"histories.{name}": getattr(newcomers.ridge.histories, name) for name in _CSR}
    for name, part in parts:
        values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
        label[name] = {key: float(value) for key, value in values.items() if isinstance(value, float)}
        arrays |= {f"{name}.{key}": value for key, value in values.items() if isinstance(value, np.ndarray)}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    if newcomers.network is not None:
        settings, net = newcomers.network
        label["network"] = config.plain(settings)
        tensors |= {f"network.{name}": value.detach() for name, value in net.state_dict().items()}
    return label, tensors


def unpack(label: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Newcomers:
    """Make again what `pack` took apart.

    Raises:
        DataError: Something is missing, or does not fit the rest.
    """

    def part(name: str) -> dict[str, Any]:
        return {**label[name], **{key: value.numpy() for key, value in _below(tensors, name).items()}}

    try:
        vectors = Vectors(**part("vectors"))
        style = StyleMap(habits=Habits(**part("habits")), **part("style"))
        liking = None if label["liking"] is None else Liking(**part("liking"))
        ridge = None
        if label["choice"] is not None:
            rows = [tensors[f"histories.{name}"].numpy() for name in _CSR]
            shape = (len(rows[2]) - 1, int(label["items"]))
            histories = sparse.csr_array(tuple(rows), shape=shape)
            ridge = CrossRidge(histories=histories, choice=Choice(**label["choice"]), **part("ridge"))
        network = None
        if label["network"] is not None:
            network = _network(config.build(NetworkConfig, label["network"]), vectors, _below(tensors, "network"))
        bridge, share = label["shares"]
        return Newcomers(style, vectors, (float(bridge), float(share)), liking, network, ridge)
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        raise DataError(f"unreadable: {error}", "the parts of a trained MIMNet", "newcomers") from error


def _network(
    settings: NetworkConfig, vectors: Vectors, weights: Mapping[str, torch.Tensor]
) -> tuple[NetworkConfig, MimnetNet]:
    """Rebuild the network around the source items alone: newcomers stand in no table."""
    count, width = vectors.source_items.shape
    items = np.vstack([vectors.source_items / vectors.spread, np.zeros(width)])
    nobody, nothing = torch.full((1, settings.history), count), torch.zeros(1, width)
    tables = FrozenTables(nothing, _single(items), nobody, nothing, nothing, torch.zeros(1, dtype=torch.int64))
    net = MimnetNet(settings, tables, torch.Generator().manual_seed(0))
    net.load_state_dict(dict(weights))
    return settings, net


def _below(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _single(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
