"""Cross-domain models of ratings as published, on tables without biases: TGT, CMF, EMCDR, PTUPCDR, REMIT."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

from raymm.config import check, setting
from raymm.contracts import RatingHoldout, Scorer
from raymm.errors import TrainingError
from raymm.models.rating.bridges import Bridge, LinearBridge, MultiInterestBridge, PersonalBridge, SourceTables
from raymm.models.spec import RatingSpec
from raymm.ratings.base import dot_scorer
from raymm.ratings.histories import recent_histories
from raymm.ratings.pretraining import Factorisation, PretrainConfig, factorisation_stage, squared_error
from raymm.ratings.stage import RowModel, Stage, StageTraining
from raymm.ratings.table import ColdStart, RatingTable
from raymm.scorers import InterestScorer

Method = Literal["tgt", "cmf", "emcdr", "ptupcdr", "remit"]
_USERS = 1 << 12


@dataclass(frozen=True)
class PublishedConfig:
    """Settings of the published baselines."""

    pretrain: PretrainConfig = setting(PretrainConfig, "tables of whole ratings")
    epochs: int = setting(10, "most epochs of the bridge; the best on validation is kept", ge=1)
    batch_size: int = setting(128, "ratings, or users, a step of the bridge", ge=1)
    learning_rate: float = setting(0.01, "learning rate of Adam for the bridge", gt=0)
    hidden: int = setting(50, "columns of the hidden layer that makes bridges", ge=1)
    history: int = setting(20, "last highly rated source items that a bridge is made of", ge=1)
    least_rating: float = setting(4.0, "rating from which a source item counts as highly rated")
    keep_epochs: bool = setting(
        False, "keep every epoch of the last stage, so that an evaluation can say what the best on the test set is"
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


class Published:
    """One of the published baselines, trained in stages.

    | method | what a cold user is in the target |
    | --- | --- |
    | `tgt` | the random vector that the target's own factorisation starts him with |
    | `cmf` | his vector of one factorisation of the ratings of both domains (Singh and Gordon, KDD 2008) |
    | `emcdr` | a linear map of his source vector, fitted on shared users (Man et al., IJCAI 2017) |
    | `ptupcdr` | a bridge of his own times his source vector (Zhu et al., arXiv 2110.11154) |
    | `remit` | interests of his history, and of what its admirers like besides, each with a bridge (REMIT, AAAI 2023) |

    Differs from the sources: REMIT finds interests along paths of a graph with side information and picks them by
    reinforcement; without side information two paths are left, user-item and user-item-user-item, and the target item
    picks between them by a softmax. With the first path alone, a single interest, it would be PTUPCDR. Gradients of the
    tables are sparse, see `training.rows.RowEngine`. DCDCSR and SSCDR are not here: the first weighs a target vector
    that a cold user does not have, which leaves a map like EMCDR's; the second learns distances to rank by.

    Args:
        method: Which of them.
        config: Settings.
        problem: Training ratings of both domains.
        validation: Ratings of cold users of the target domain, to select by.
        seed: Seed of everything drawn.
    """

    def __init__(
        self, method: Method, config: PublishedConfig, problem: ColdStart, validation: RatingHoldout, seed: int
    ) -> None:
        self._method, self._config, self._problem, self._validation = method, config, problem, validation
        self._draws = torch.Generator().manual_seed(seed)
        self._users: torch.Tensor | None = None
        self._items: torch.Tensor | None = None
        self._bridge: Bridge | None = None

    def stages(self) -> Iterator[Stage]:
        """Yield the stages in order; see `ratings.stage.Staged`."""
        config = self._config
        if self._method == "cmf":
            yield from self._both_together()
            return
        target, into = factorisation_stage("target", self._problem.target, config.pretrain, self._draws)
        yield target
        self._users, self._items = into.users.detach(), into.items.detach()
        if self._method == "tgt":
            return
        source, out_of = factorisation_stage("source", self._problem.source, config.pretrain, self._draws)
        yield source
        yield self._bridge_stage(into, out_of)

    @property
    def keeps_epochs(self) -> bool:
        """Say what was asked for; see `ratings.stage.Staged`."""
        return self._config.keep_epochs

    def facts(self) -> Mapping[str, float]:
        """Return nothing; see `ratings.stage.Staged`."""
        return {}

    def scorer(self) -> Scorer:
        """Return the finished model; see `ratings.stage.Staged`."""
        if self._items is None or self._users is None:
            raise TrainingError("a model whose stages were not run", "one that is trained", self._method)
        if self._bridge is None:
            return dot_scorer(self._users.double().numpy(), self._items.double().numpy())
        return _interest_scorer(self._bridge, self._problem, self._items)

    def _both_together(self) -> Iterator[Stage]:
        """Factorise both domains at once; a person is one user, by the source's number where it has one."""
        source, target, source_of = self._problem.source, self._problem.target, self._problem.source_of
        person = np.where(source_of >= 0, source_of, source.n_users + np.arange(target.n_users))
        table = RatingTable(
            np.concatenate([source.users, person[target.users]]),
            np.concatenate([source.items, source.n_items + target.items]),
            np.concatenate([source.ratings, target.ratings]),
            source.n_users + target.n_users,
            source.n_items + target.n_items,
        )
        stage, both = factorisation_stage("both", table, self._config.pretrain, self._draws)
        yield stage
        self._users = both.users.detach()[torch.from_numpy(person)]
        self._items = both.items.detach()[source.n_items :]

    def _bridge_stage(self, into: Factorisation, out_of: Factorisation) -> Stage:
        config, problem = self._config, self._problem
        bridge = self._bridge = self._make_bridge(out_of)
        items = into.items.detach()
        if self._method == "emcdr":
            shared = np.unique(problem.target.users[problem.shared_rows])
            people, wanted = torch.from_numpy(problem.source_of[shared]), into.users.detach()[torch.from_numpy(shared)]
            loss, rows = _mapped(bridge, people, wanted), len(shared)
        else:
            table = problem.target.rows(problem.shared_rows)
            people, rated = torch.from_numpy(problem.source_of[table.users]), torch.from_numpy(table.items)
            loss = squared_error(lambda chosen: bridge(people[chosen], items[rated[chosen]]), table.ratings)
            rows = len(table.users)
        training = StageTraining(rows, config.batch_size, config.learning_rate, config.epochs)
        return Stage(
            "bridge",
            lambda: dict(bridge.named_parameters()),
            RowModel(bridge, loss),
            training,
            lambda: self._error(bridge, items),
        )

    def _make_bridge(self, out_of: Factorisation) -> Bridge:
        config, source = self._config, self._problem.source
        if self._method == "emcdr":
            return LinearBridge(out_of.users.detach(), self._draws)
        missing = torch.zeros(1, config.pretrain.width)
        tables = SourceTables(
            out_of.users.detach(),
            torch.cat([out_of.items.detach(), missing]),
            torch.from_numpy(recent_histories(source, config.history, config.least_rating)),
        )
        if self._method == "ptupcdr":
            return PersonalBridge(tables, config.hidden, self._draws)
        return MultiInterestBridge(tables, source, config.hidden, self._draws)

    def _error(self, bridge: Bridge, items: torch.Tensor) -> float:
        held, source_of = self._validation, self._problem.source_of
        known = source_of[held.users] >= 0
        people, rated = (torch.from_numpy(ids[known]) for ids in (source_of[held.users], held.items))
        with torch.no_grad():
            predicted = bridge(people, items[rated]).double().numpy()
        return float(np.sqrt(np.mean((held.ratings[known] - predicted) ** 2)))


def _mapped(bridge: Bridge, people: torch.Tensor, wanted: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the squared distance of carried users to their vectors in the target."""
    return lambda rows: nn.functional.mse_loss(bridge.carried(people[rows])[1][:, 0], wanted[rows])


def _interest_scorer(bridge: Bridge, problem: ColdStart, items: torch.Tensor) -> InterestScorer:
    source_of = torch.from_numpy(problem.source_of)
    with torch.no_grad():
        parts = [bridge.carried(rows.clamp_min(0)) for rows in source_of.split(_USERS)]
        keys, values = (torch.cat(side)[:, None] for side in zip(*parts, strict=True))
    values = values * (source_of >= 0).to(values)[:, None, None, None]
    nothing = torch.zeros(len(source_of), 1), torch.zeros(len(items), 1)
    return InterestScorer(*nothing, keys, values, items[:, None], torch.ones(len(items), 1), items)


def _spec(method: Method, summary: str) -> RatingSpec:
    def make(config: PublishedConfig, problem: ColdStart, validation: RatingHoldout, seed: int) -> Published:
        return Published(method, config, problem, validation, seed)

    return RatingSpec(method, f"baseline for ratings: {summary}", PublishedConfig, {"default": PublishedConfig()}, make)


SPECS = (
    _spec("tgt", "the target domain factorised by itself"),
    _spec("cmf", "both domains factorised at once"),
    _spec("emcdr", "a linear map between two factorisations"),
    _spec("ptupcdr", "a bridge of each user's own between two factorisations"),
    _spec("remit", "two interests a user, each with a bridge, picked by the item"),
)
