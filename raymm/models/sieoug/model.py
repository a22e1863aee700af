"""SIEOUG whole: two towers, the recommendation loss, and users matched by guided optimal transport."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from torch import nn

from raymm.contracts import Batch, ParameterGroup, TrainData, Triples
from raymm.errors import DataError
from raymm.models.sieoug.config import SieougConfig
from raymm.models.sieoug.plan import Guide, Room, guide_of
from raymm.models.sieoug.pools import Pools
from raymm.models.sieoug.refresh import PlanRefresh
from raymm.models.sieoug.tower import Tower, Views
from raymm.models.sieoug.votes import Votes
from raymm.models.spec import Place, Structure, Tensors
from raymm.nn.contrastive import cosines, guided_contrastive
from raymm.nn.ranking import binary_cross_entropy, bpr, sampled_softmax
from raymm.parallel.collectives import collect_columns, sum_columns
from raymm.scorers import DotScorer, VotedScorer
from raymm.transport.guided import Match, match

_SHOWN = ("hypergraph.effective_share", "hypergraph.smallest", "hypergraph.largest")  # of a structure, in every epoch


class Sieoug(nn.Module):
    """SIEOUG (arXiv 2502.16068), in the derived form that the README describes.

    `L = L_rec(X) + L_rec(Y) + lambda L_G`. Every rank of a column group computes the same losses from its own columns:
    scores and cosines are sums over columns, so one reduction of a few numbers a row is all that travels.
    With `transfer.scope` "population" the plan of a step is cut out of one between all users (`PlanRefresh`).

    Differs from the source where the preset `default` does: item graph added on the item side only, ids as input,
    guidance loss weighed by users over batch rows, relaxed marginals, and histories that vote beside the embeddings
    (`Votes`); its guidance weight, `transfer.weight`, is 0.1 in place of the source's 0.6. The preset `paper` keeps
    to the letter.

    Two domains: the loss, the pools and the plan are about one pair. A third domain would take a tower as it is, and
    one pool, plan and guidance loss for each pair of domains that share users.

    Args:
        config: Settings.
        data: Two domains.
        structures: One a domain, from `build_structure`, and one from `build_between`.
        place: Grid, device, seed, and who solves beside the training.

    Raises:
        DataError: No user to match, or too few known pairs for the cost of whole populations.
    """

    def __init__(self, config: SieougConfig, data: TrainData, structures: tuple[Structure, ...], place: Place) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(place.seed)
        self._config, self._grid, self._device = config, place.grid, place.device
        self._names = [domain.name for domain in data.domains]
        *within, between = structures
        self._towers = [
            Tower(config, domain, structure, place, generator)
            for domain, structure in zip(data.domains, within, strict=True)
        ]
        self.towers = nn.ModuleList(self._towers)
        self._pools = Pools(data, config.transfer.users)
        self._refresh = self._plans(data, place)
        self._room = Room(self._pools.room, data.domains[1].n_users)
        self._votes = Votes(config.votes, data, within, between) if config.votes.weight else None
        self._epoch = 0
        self._facts = {
            f"{name}.{fact}": value
            for name, structure in zip(self._names, within, strict=True)
            for fact, value in structure.facts.items()
            if fact in _SHOWN
        }
        self._seen: dict[str, list[float]] = defaultdict(list)

    def start_epoch(self, epoch: int) -> dict[str, float]:
        """Note the epoch, which decides whether matching has started; see `contracts.RecModel`."""
        self._epoch = epoch
        facts = {"transfer.active": float(self._transfers()), **self._facts}
        for name, tower in zip(self._names, self._towers, strict=True):
            share = tower.learned_clusters()
            if share is not None:
                facts[f"{name}.hypergraph.effective_share"] = share
        return facts | self._refresh.start_epoch(epoch) if self._refresh and self._transfers() else facts

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the weighted losses of a step: one a domain, the regulariser, and the guidance loss once it runs."""
        views = [tower.views(batch.seed) for tower in self._towers]
        losses = self._recommendation(batch, views)
        if self._transfers():
            losses["guidance"] = self._guidance(batch, views)
            if "gradient" not in self._seen:
                self._note_gradients(losses, views)
        return losses

    def diagnostics(self) -> dict[str, float]:
        """Return means over the steps since the last call; see `contracts.RecModel`."""
        means = {name: float(np.mean(values)) for name, values in self._seen.items() if name != "gradient"}
        self._seen.clear()
        return means

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Return the plan in use and the inputs of the next one; see `spec.Resumable`."""
        return self._refresh.state() if self._refresh else {}

    def load_extra_state(self, state: Tensors) -> None:
        """Go on from what `extra_state` returned; see `spec.Resumable`."""
        if self._refresh:
            self._refresh.load(state)

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return tables and heads in one group, feature projections in another at their own rate."""
        slow = [parameter for tower in self._towers for parameter in tower.projection_parameters()]
        known = set(map(id, slow))
        fast = [parameter for parameter in self.parameters() if id(parameter) not in known and parameter.requires_grad]
        groups = [ParameterGroup("tables", tuple(fast))]
        if slow:
            groups.append(ParameterGroup("projections", tuple(slow), self._config.projection_rate))
        return tuple(groups)

    def scorer(self, domain: str) -> DotScorer | VotedScorer:
        """Return the present model of one domain, with the votes of histories if used; collective."""
        side = self._names.index(domain)
        users, items = self._towers[side].whole()
        alone = DotScorer(users.cpu(), items.cpu())
        if self._votes is None:
            return alone
        return self._votes.beside(alone, side, self._refresh.current if self._refresh else None)

    def attention(self) -> dict[str, torch.Tensor]:
        """Return, by domain, the weights that attention gives the views of each item (I, 3); empty without attention.

        In order: user-item graph (alpha), item graph (alpha-bar), hypergraph (alpha-breve). Collective.
        """
        found = {name: tower.attention_weights() for name, tower in zip(self._names, self._towers, strict=True)}
        return {name: weights.cpu() for name, weights in found.items() if weights is not None}

    def _transfers(self) -> bool:
        transfer = self._config.transfer
        return transfer.weight > 0 and self._epoch > transfer.warmup_epochs

    def _recommendation(self, batch: Batch, views: list[Views]) -> dict[str, torch.Tensor]:
        compared = [
            self._many(tower, seen, triples, batch.seed)
            if self._config.loss == "softmax"
            else _one(tower, seen, triples)
            for tower, seen, triples in zip(self._towers, views, batch.domains, strict=True)
        ]
        shares = [triples.total / self._grid.data_parallel for triples in batch.domains]
        partials = [part for scores, _ in compared for part in scores]
        square = torch.stack([norm / share for (_, norm), share in zip(compared, shares, strict=True)]).sum()[None]
        whole = sum_columns(torch.cat([*(part.flatten() for part in partials), square]), self._grid)
        *flat, square = whole.split([*(part.numel() for part in partials), 1])
        scores = [part.view(shape.shape) for part, shape in zip(flat, partials, strict=True)]
        losses = {
            f"rank.{name}": self._ranked(scores[2 * side], scores[2 * side + 1], shares[side], batch, side)
            for side, name in enumerate(self._names)
        }
        return {**losses, "regulariser": self._config.regularisation * square[0]}

    def _ranked(
        self, chosen: torch.Tensor, others: torch.Tensor, total: float, batch: Batch, side: int
    ) -> torch.Tensor:
        if self._config.loss == "softmax":
            own = batch.domains[side].positives[:, None] == self._drawn(self._towers[side].n_items, batch.seed)
            return sampled_softmax(chosen, others.masked_fill(own, -torch.inf), total)
        return (bpr if self._config.loss == "bpr" else binary_cross_entropy)(chosen, others, total)

    def _many(self, tower: Tower, seen: Views, triples: Triples, seed: int) -> _Compared:
        """Compare each chosen item with the items drawn for the whole step, the same on every rank."""
        users = tower.user_rows(seen, triples.users)
        drawn = self._drawn(tower.n_items, seed)
        chosen, others = tower.item_rows(seen, torch.cat([triples.positives, drawn])).split([len(users), len(drawn)])
        return ((users * chosen).sum(1), users @ others.T), (users * users).sum() + (chosen * chosen).sum()

    def _drawn(self, n_items: int, seed: int) -> torch.Tensor:
        """Draw without replacement; all items where there are no more than wanted."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randperm(n_items, generator=generator)[: self._config.drawn].to(self._device)

    def _guidance(self, batch: Batch, views: list[Views]) -> torch.Tensor:
        transfer = self._config.transfer
        generator = torch.Generator().manual_seed(batch.seed)
        if transfer.scope == "population":
            plan = self._refresh.current if self._refresh else None
            guide = guide_of(plan, *self._pools.draw_source(generator), self._room, generator)
            left, right = self._users(views, guide.source, guide.target)
        else:
            source, target, n_shared = self._pools.draw(generator)
            left, right = self._users(views, source, target)
            whole = collect_columns(torch.cat([left, right]), self._config.width, self._grid)
            found = match(whole[: len(left)], whole[len(left) :], n_shared, transfer.matching)
            self._note_match(found, n_shared)
            guide = Guide(source, target, found.rows, found.columns)
        loss = guided_contrastive(
            cosines(left, right, self._grid),
            guide.rows.to(self._device),
            guide.columns.to(self._device),
            transfer.temperature,
            transfer.form,
        )
        rows = max(triples.total for triples in batch.domains)
        scale = len(left) / rows if transfer.reduction == "per_row" else 1.0
        return transfer.weight * scale * loss

    def _users(
        self, views: list[Views], source: torch.Tensor, target: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        left = self._towers[0].user_rows(views[0], source.to(self._device))
        return left, self._towers[1].user_rows(views[1], target.to(self._device))

    def _plans(self, data: TrainData, place: Place) -> PlanRefresh | None:
        """Return who keeps the plan of whole populations; None where steps match for themselves, or nobody is open."""
        transfer = self._config.transfer
        if transfer.scope == "batch" or not transfer.weight or not all(map(len, self._pools.others)):
            return None
        settings = transfer.population
        if len(data.shared) < 2 and (settings.omega < 1 or settings.align):
            raise DataError(
                f"{len(data.shared)} known pairs of {' and '.join(self._names)}",
                "at least 2, by which whole populations are compared",
                "transfer.scope population",
                "give known pairs, or set transfer.population.omega=1 and align=false, or transfer.scope=batch",
            )

        def users() -> tuple[torch.Tensor, torch.Tensor]:
            return self._towers[0].whole_users(), self._towers[1].whole_users()

        return PlanRefresh(transfer, self._pools.shared, place, users)

    def _note_match(self, found: Match, n_shared: int) -> None:
        self._seen["match.error"].append(found.error)
        self._seen["match.iterations"].append(found.iterations)
        self._seen["match.converged"].append(float(found.converged))
        self._seen["match.leaked"].append(found.leaked)
        self._seen["match.effective_partners"].append(float(found.effective_partners.mean()))
        self._seen["match.relation_used"].append(float(found.relation_used))
        others, possible = found.effective_partners[n_shared:], found.rows.shape[1] - n_shared
        if len(others) and possible > 1:
            self._seen["match.spread"].append(float(others.mean()) / possible)

    def _note_gradients(self, losses: dict[str, torch.Tensor], views: list[Views]) -> None:
        """Compare, once an epoch, how hard the two losses pull at the users."""
        users = [seen.users[0] for seen in views]
        names = ("guidance", *(f"rank.{name}" for name in self._names))
        squares = []
        for name in names:
            gradients = torch.autograd.grad(losses[name], users, retain_graph=True, allow_unused=True)
            squares.append(
                sum((g.double().square().sum() for g in gradients if g is not None), torch.zeros(1).double())
            )
        norms = sum_columns(torch.stack([square.reshape(()) for square in squares]), self._grid).sqrt().tolist()
        self._seen["gradient"].append(0.0)
        self._seen["guidance.gradient_ratio"].append(norms[0] / max(sum(norms[1:]), 1e-12))
        if self._config.views.mix == "attention":
            for name, tower, seen in zip(self._names, self._towers, views, strict=True):
                means = tower.attention_means(seen, torch.arange(min(1024, len(seen.items[0])), device=self._device))
                for view, weight in means.items():
                    self._seen[f"attention.{name}.{view}"].append(weight)


_Compared = tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]  # own columns: partial scores, sum of squares


def _one(tower: Tower, seen: Views, triples: Triples) -> _Compared:
    """Compare each chosen item with one that was not."""
    users = tower.user_rows(seen, triples.users)
    items = tower.item_rows(seen, torch.cat([triples.positives, triples.negatives]))
    chosen, other = items.split(len(users))
    return ((users * chosen).sum(1), (users * other).sum(1)), (users * users).sum() + (items * items).sum()
