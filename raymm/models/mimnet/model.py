"""MIMNet in stages: tables of both domains, then the network between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from raymm.contracts import RatingHoldout, Scorer
from raymm.errors import TrainingError
from raymm.models.mimnet.config import COMPAT, DEFAULT, MimnetConfig
from raymm.models.mimnet.network import FrozenTables, MimnetNet
from raymm.models.mimnet.newcomers import Newcomers, read_from, spread_of
from raymm.models.mimnet.scoring import interest_scorer
from raymm.models.spec import RatingSpec
from raymm.ratings.base import dot_scorer, plus_rows, transferred_rows
from raymm.ratings.biases import fit_floor
from raymm.ratings.cold_ranking import CrossRidge, fit_cold_ranking, source_histories
from raymm.ratings.content import Content, fit_content
from raymm.ratings.gate import Gain, best_share
from raymm.ratings.histories import recent_histories
from raymm.ratings.pretraining import factorisation_stage, squared_error
from raymm.ratings.prototypes import find_prototypes
from raymm.ratings.stage import RowModel, Stage, StageTraining
from raymm.ratings.styles import FloorPlus, fit_floor_plus
from raymm.ratings.table import ColdStart
from raymm.ratings.transfer import ResidualTables, fit_tables

_PREDICTED = 1 << 14  # rows that the network predicts at a time
_CLOSED = Gain(0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Ratings that the network predicts, and what it may know of them.

    Attributes:
        people: (n,) source users.
        items: (n,) target items.
        vectors: (n, D) vectors of these items; of a training row, without that row.
        owners: (n,) target users.
        wanted: (n,) what the network shall predict.
        start: (n,) what the scalar bridge predicts of it.
    """

    people: torch.Tensor
    items: torch.Tensor
    vectors: torch.Tensor
    owners: np.ndarray
    wanted: np.ndarray
    start: np.ndarray


class Mimnet:
    """MIMNet as published, repaired (`base` is `none`), or on what biases and response style leave (`style`).

    Source: MIMNet (arXiv 2408.00038).

    Differs from the source with `base = "style"`: tables are those of `ratings.transfer`, solved in closed form on
    residuals; training rows meet item vectors that have not seen them; the network starts at the scalar bridge
    `g <p, v>`, and takes its place in the share that serves held-out users best; what users like items to be about
    (`ratings.content`) is added; and each of them is left out where it does not help users that it has not seen. The
    published network predicts whole ratings from tables without biases.

    Args:
        config: Settings.
        problem: Training ratings of both domains.
        validation: Ratings of cold users of the target domain, to select by.
        seed: Seed of everything drawn.
    """

    def __init__(self, config: MimnetConfig, problem: ColdStart, validation: RatingHoldout, seed: int) -> None:
        self._config, self._problem, self._validation = config, problem, validation
        self._generator, self._draws = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        self._base: FloorPlus | None = None
        self._tables: ResidualTables | None = None
        self._content: Content | None = None
        self._network: MimnetNet | None = None
        self._ridge: CrossRidge | None = None
        self._bridge, self._share = 0.0, _CLOSED

    @property
    def network(self) -> MimnetNet | None:
        """The network, once its stage has begun; None before, and where the bridge's gate is closed."""
        return self._network

    def stages(self) -> Iterator[Stage]:
        """Yield the stages in order; see `ratings.stage.Staged`."""
        yield from self._residual_stages() if self._config.base == "style" else self._published_stages()
        if self._config.ranks:
            yield self._ranking_stage()

    @property
    def keeps_epochs(self) -> bool:
        """Say what was asked for; see `ratings.stage.Staged`."""
        return self._config.meta.keep_epochs

    def facts(self) -> Mapping[str, float]:
        """Return bridge, gains and shares; see `ratings.stage.Staged`."""
        found = {"network_share": self._share.share, "network_gain": self._share.mean}
        found["network_gain_error"] = self._share.error
        if self._tables is not None and self._base is not None:
            gain = self._tables.bridge
            found |= {"bridge": self._bridge, "bridge_gain": gain.mean, "bridge_gain_error": gain.error}
            found |= {"target_ridge": self._tables.target_ridge, "style_ridge": self._base.ridge}
            content = self._content.gain if self._content is not None else _CLOSED
            found |= {"content": content.share, "content_gain": content.mean, "content_gain_error": content.error}
        if self._ridge is not None:
            choice = self._ridge.choice
            found |= {"ranking_ridge": choice.ridge, "ranking_popularity": choice.popularity}
            found |= {"ranking_exponent": choice.exponent, "ranking_ndcg_left_out": choice.ndcg}
        return found

    def scorer(self) -> Scorer:
        """Return the finished model; see `ratings.stage.Staged`."""
        if self._base is None or self._tables is None:
            if self._network is None:
                raise TrainingError("a model whose stages were not run", "one that is trained", "MIMNet")
            nothing = np.zeros((self._problem.target.n_users, 1)), np.zeros((self._problem.target.n_items, 1))
            return interest_scorer(self._network, self._problem, nothing, 1.0)
        users, items = plus_rows(self._problem, self._base)
        rest = self._bridge * (1.0 - self._share.share)
        users = np.column_stack([users, rest * transferred_rows(self._problem, self._tables.users)])
        items = np.column_stack([items, self._tables.items])
        if self._content is not None:
            liked = self._content.gain.share * transferred_rows(self._problem, self._content.users)
            users, items = np.column_stack([users, liked]), np.column_stack([items, self._content.items])
        if self._network is None or self._share.share == 0:
            return dot_scorer(users, items)
        return interest_scorer(self._network, self._problem, (users, items), self._bridge * self._share.share)

    def ranker(self) -> Scorer:
        """Return what ranks: the ridge from source histories, or the ratings where it was not asked for."""
        if self._ridge is None:
            return self.scorer()
        return self._ridge.scorer(source_histories(self._problem.source.chosen(), self._problem.source_of))

    def newcomers(self) -> Newcomers | None:
        """Return what reads source histories of users that it has never met; None of the published form.

        There, a user is a vector that his own ratings trained step by step.
        """
        if self._base is None or self._tables is None:
            return None
        network = (self._config.network, self._network) if self._network and self._share.share > 0 else None
        shares = self._bridge, self._share.share
        return read_from(self._base.style, self._tables, shares, self._content, network, self._ridge)

    def _ranking_stage(self) -> Stage:
        """Fit what ranks: the ratings of a model that predicts them well rank worse than popularity does."""
        target = self._problem.target.chosen(self._config.network.least_rating)
        ridge = self._ridge = fit_cold_ranking(
            self._problem.source.chosen(), target, self._problem.source_of, self._config.ranking, self._generator
        )
        return Stage("ranking", lambda: {"duals": _single(ridge.duals), "popular": _single(ridge.popular)})

    def _residual_stages(self) -> Iterator[Stage]:
        floor = fit_floor(self._problem, corrected=True)
        base = self._base = fit_floor_plus(self._problem, self._generator, floor=floor)
        tables = self._tables = fit_tables(self._problem, base, self._config.factors, self._generator)
        yield Stage("source", lambda: {"users": _single(tables.users), "items": _single(tables.source_items)})
        yield Stage("target", lambda: {"items": _single(tables.items), "left_out": _single(tables.left_out)})
        opens = tables.bridge.opens(self._config.meta.gate)
        self._bridge = tables.bridge.share if opens else 0.0
        rows = self._problem.target.rows(tables.rows)
        people = self._problem.source_of[rows.users]
        missed = tables.missed - self._bridge * np.einsum("nd,nd->n", tables.users[people], tables.left_out)
        content = fit_content(self._problem, base, missed, people, rows.items, self._config.content)
        if content is not None:
            self._content = content
            yield Stage("content", lambda: {"users": _single(content.users), "items": _single(content.items)})
        if not opens:
            return
        spread = spread_of(tables.source_items)
        source_items = np.vstack([tables.source_items / spread, np.zeros(tables.items.shape[1])])
        network = self._make_network(tables.users, source_items, tables.items, tables.items)
        wanted = (tables.missed - self._liked(people, rows.items)) / self._bridge
        trained = self._rows(people, rows.items, tables.left_out, rows.users, wanted)
        held = self._held_rows(tables.items)
        yield self._meta_stage(network, trained, held)
        with torch.no_grad():
            changed = _predicted(network, held) - held.start
        share = best_share(self._bridge * (held.wanted - held.start), self._bridge * changed, held.owners)
        self._share = share if share.opens(self._config.meta.gate) else Gain(0.0, share.mean, share.error)

    def _published_stages(self) -> Iterator[Stage]:
        config, problem = self._config, self._problem
        target, into = factorisation_stage("target", problem.target, config.pretrain, self._draws)
        yield target
        source, out_of = factorisation_stage("source", problem.source, config.pretrain, self._draws)
        yield source
        missing = torch.randn(1, config.pretrain.width, generator=self._draws)
        if config.network.empty_history == "zero":
            missing.zero_()
        items, source_items = (network.items.detach().double().numpy() for network in (into, out_of))
        clustered = items
        if config.network.compat_prototypes:  # in the published table of both domains, these rows are never trained
            untrained = torch.randn(len(source_items) + 1, items.shape[1], generator=self._draws).double().numpy()
            clustered = np.vstack([items, untrained])
        network = self._make_network(
            out_of.users.detach().double().numpy(),
            np.vstack([source_items, missing.double().numpy()]),
            items,
            clustered,
        )
        rows = problem.target.rows(problem.shared_rows)
        people = problem.source_of[rows.users]
        trained = self._rows(people, rows.items, items[rows.items], rows.users, rows.ratings)
        yield self._meta_stage(network, trained, self._held_rows(items))
        self._share = Gain(1.0, 0.0, 0.0)

    def _make_network(
        self, users: np.ndarray, source_items: np.ndarray, items: np.ndarray, clustered: np.ndarray
    ) -> MimnetNet:
        config = self._config.network
        histories = recent_histories(self._problem.source, config.history, config.least_rating)
        count = max(1, min(config.prototypes, len(items) // 3))
        found = find_prototypes(clustered, count, self._generator)
        tables = FrozenTables(
            _single(users),
            _single(source_items),
            torch.from_numpy(histories),
            _single(items),
            _single(found.centres),
            torch.from_numpy(found.cluster[: len(items)]),
        )
        self._network = MimnetNet(config, tables, self._draws)
        return self._network

    def _meta_stage(self, network: MimnetNet, trained: _Rows, held: _Rows) -> Stage:
        meta = self._config.meta

        def predict(rows: torch.Tensor) -> torch.Tensor:
            predicted: torch.Tensor = network(trained.people[rows], trained.vectors[rows], trained.items[rows])
            return predicted

        def error() -> float:
            with torch.no_grad():
                return float(np.sqrt(np.mean((held.wanted - _predicted(network, held)) ** 2)))

        training = StageTraining(len(trained.people), meta.batch_size, meta.learning_rate, meta.epochs, meta.patience)
        model = RowModel(network, squared_error(predict, trained.wanted))
        return Stage("meta", lambda: dict(network.named_parameters()), model, training, error, self._draws)

    def _held_rows(self, vectors: np.ndarray) -> _Rows:
        """Lay out the validation ratings of users whom the source knows."""
        held, source_of = self._validation, self._problem.source_of
        known = source_of[held.users] >= 0
        users, items = held.users[known], held.items[known]
        people, ratings = source_of[users], held.ratings[known].astype(np.float64)
        if self._base is not None:
            missed = ratings - self._base.predict(people, self._base.floor.items.values[items])
            missed -= self._liked(people, items)
            return self._rows(people, items, vectors[items], users, missed / self._bridge)
        return self._rows(people, items, vectors[items], users, ratings)

    def _liked(self, people: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return what content adds to the predictions of source users and target items."""
        return np.zeros(len(people)) if self._content is None else self._content.part(people, items)

    def _rows(
        self, people: np.ndarray, items: np.ndarray, vectors: np.ndarray, owners: np.ndarray, wanted: np.ndarray
    ) -> _Rows:
        start = np.zeros(len(people))
        if self._tables is not None:
            start = np.einsum("nd,nd->n", self._tables.users[people], vectors)
        return _Rows(torch.from_numpy(people), torch.from_numpy(items), _single(vectors), owners, wanted, start)


def _single(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _predicted(network: MimnetNet, rows: _Rows) -> np.ndarray:
    parts = zip(*(part.split(_PREDICTED) for part in (rows.people, rows.vectors, rows.items)), strict=True)
    return torch.cat([network(*part) for part in parts]).double().numpy()


SPEC = RatingSpec(
    name="mimnet",
    summary="ratings for users who are new in one of two domains: several interests, each with a bridge",
    config=MimnetConfig,
    presets={"default": DEFAULT, "compat": COMPAT},
    make=Mimnet,
)
