"""GUME whole: modalities joined with behaviour, ranking, alignment and user-modality enhancement."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from raymm.contracts import Batch, ParameterGroup, TrainData, Triples
from raymm.models.gume.config import DEFAULT, PAPER, PAPER_CLOTHING, PAPER_ELECTRONICS, PAPER_SPORTS, GumeConfig
from raymm.models.gume.modalities import Features, Modalities
from raymm.models.gume.structure import build_structure
from raymm.models.spec import ModelSpec, Place, Structure
from raymm.nn.alignment import moment_gap
from raymm.nn.in_batch import Distinct, distinct, in_batch_info_nce, whole_batch
from raymm.nn.noise import perturbed
from raymm.nn.preferences import PreferenceMixture, whole_rows
from raymm.nn.ranking import bpr
from raymm.parallel.collectives import collect_columns, columns_to_rows, gather_rows, sum_columns
from raymm.scorers import DotScorer

_ROWS_AT_ONCE = 8_192  # entities joined at a time when the whole table is wanted
_EXTERNAL, _USER = "external_alignment", "user_modality"


@dataclass(frozen=True, eq=False)
class _Rows:
    """A batch's distinct entities; `n` users are the first rows of each tensor.

    Attributes:
        n: Distinct users.
        behaviour: H_id, (n + items, D), all columns.
        integrated: I_M, (n + items, own).
        final: Y, (n + items, own).
        extended: H_M, (n + items, own), or None.
    """

    n: int
    behaviour: torch.Tensor
    integrated: torch.Tensor
    final: torch.Tensor
    extended: torch.Tensor | None


class Gume(nn.Module):
    """GUME (arXiv 2407.12338), column-parallel, for any number of modalities.

    `L = L_bpr + alpha L_internal + beta L_external + gamma L_user + regularisers`, with the final embeddings
    `Y = H_id + I_M`, where I_M joins the explicit modalities (`nn.preferences`). What is needed of all users and items
    is in `Modalities` and touches own columns only. Attention, gates and contrastive terms need whole rows: they are
    computed for the distinct entities of the batch alone, and their rows are split over the column group.

    Differs from the source where the preset `default` does (features frozen, internal alignment by column). In
    every preset an InfoNCE of a batch with repeated entities is taken over the distinct ones with their counts, which
    is the same number; the noise of the enhancement is drawn for the users of the batch alone; and the divisor of the
    regularisers is the rows of the step unless set.

    Args:
        config: Settings.
        data: One domain.
        structures: One, from `build_structure`.
        place: Grid, device and seed.
    """

    def __init__(self, config: GumeConfig, data: TrainData, structures: tuple[Structure, ...], place: Place) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(place.seed)
        self._config, self._grid, self._device = config, place.grid, place.device
        domain = data.domains[0]
        self._names = tuple(domain.features)
        self.modalities = Modalities(config, domain, structures[0], place, generator)
        self.mixture = PreferenceMixture(len(domain.features), config.width, place.grid, generator)
        self._attention: list[torch.Tensor] = []

    def start_epoch(self, epoch: int) -> dict[str, float]:  # noqa: ARG002 - nothing is renewed
        """Do nothing: graphs are fixed; see `contracts.RecModel`."""
        return {}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the weighted losses of a step; those of weight zero are neither computed nor returned."""
        triples = whole_batch(batch.domains[0], self._grid)
        features = self.modalities()
        users, items = distinct(triples.users), distinct(torch.cat([triples.positives, triples.negatives]))
        rows = self._rows(features, users.ids, items.ids, noted=True)
        chosen = torch.bincount(items.places[: len(triples.users)], minlength=len(items.ids))
        losses = self._ranking(triples, rows, users, items, chosen)
        contrasts = self._contrasts(rows, users, chosen, batch.seed)
        if contrasts:
            sums = sum_columns(torch.stack(list(contrasts.values())), self._grid)
            losses.update(zip(contrasts, sums.unbind(), strict=True))
        alignment = self._config.alignment
        if alignment.internal_weight > 0 and len(self._names) > 1:
            losses["internal_alignment"] = alignment.internal_weight * self._internal(features)
        return losses

    def diagnostics(self) -> dict[str, float]:
        """Return each modality's mean attention over the batches since the last call; see `contracts.RecModel`."""
        if not self._attention:
            return {}
        means = torch.stack(self._attention).mean(0).tolist()
        self._attention.clear()
        return {f"attention.{name}": mean for name, mean in zip(self._names, means, strict=True)}

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        """Return all parameters as one group."""
        return (ParameterGroup("all", tuple(self.parameters())),)

    @torch.no_grad()
    def scorer(self, domain: str) -> DotScorer:  # noqa: ARG002 - there is one
        """Return the present model; one propagation, collective over the column group."""
        features = self.modalities()
        n_users, n_items = len(features.explicit_users), len(features.explicit_items)
        empty = torch.empty(0, dtype=torch.int64, device=self._device)
        blocks = [(rows, empty) for rows in torch.arange(n_users, device=self._device).split(_ROWS_AT_ONCE)]
        blocks += [(empty, rows) for rows in torch.arange(n_items, device=self._device).split(_ROWS_AT_ONCE)]
        own = torch.cat([self._rows(features, *block, noted=False).final for block in blocks])
        whole = collect_columns(own, self._config.width, self._grid).cpu()
        return DotScorer(whole[:n_users].clone(), whole[n_users:].clone())

    def _rows(self, features: Features, users: torch.Tensor, items: torch.Tensor, noted: bool) -> _Rows:
        nodes = torch.cat([users, items + self.modalities.n_users])
        own = len(self._grid.columns(self._config.width))
        behaviour, *extended = features.nodes.index_select(0, nodes).split(own, dim=1)
        explicit = torch.cat(
            [features.explicit_users.index_select(0, users), features.explicit_items.index_select(0, items)]
        ).split(own, dim=1)
        whole = whole_rows(behaviour, self._config.width, self._grid)
        integrated, weights = self.mixture(explicit, whole, self.modalities.present(len(users), items))
        if noted:
            self._attention.append(weights.detach().mean(0))
        return _Rows(len(users), whole, integrated, behaviour + integrated, extended[0] if extended else None)

    def _ranking(
        self, triples: Triples, rows: _Rows, users: Distinct, items: Distinct, chosen: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        final_users, final_items = rows.final[: rows.n], rows.final[rows.n :]
        positives, negatives = items.places.split(len(triples.users))
        of_users = final_users.index_select(0, users.places)
        scores = [(of_users * final_items.index_select(0, places)).sum(1) for places in (positives, negatives)]
        squares = (rows.final.square().sum(1) * torch.cat([users.counts, items.counts])).sum()
        partials = [*scores, squares[None]]
        extended_weight = self._config.user_modality.regularisation
        if rows.extended is not None and extended_weight > 0:
            partials.append((rows.extended[rows.n :].square().sum(1) * chosen).sum()[None])
        whole = sum_columns(torch.cat(partials), self._grid)
        divisor = 2 * (self._config.regulariser_rows or triples.total)
        n = len(triples.users)
        losses = {
            "rank": bpr(whole[:n], whole[n : 2 * n], triples.total),
            "regulariser": self._config.regularisation * whole[2 * n] / divisor,
        }
        if len(whole) > 2 * n + 1:
            losses["extended_regulariser"] = extended_weight * whole[2 * n + 1] / divisor
        return losses

    def _contrasts(self, rows: _Rows, users: Distinct, chosen: torch.Tensor, seed: int) -> dict[str, torch.Tensor]:
        """Return this rank's part of the weighted contrastive losses."""
        alignment, enhancement = self._config.alignment, self._config.user_modality
        integrated = self._own_rows(rows.integrated[: rows.n])
        losses = {}
        if alignment.external_weight > 0:
            positives = chosen.nonzero()[:, 0]
            items = self._own_rows(rows.integrated[rows.n :].index_select(0, positives))
            temperature = alignment.external_temperature
            of_users = self._contrast(integrated, rows.behaviour[: rows.n], users.counts, temperature)
            item_behaviour = rows.behaviour[rows.n :].index_select(0, positives)
            of_items = self._contrast(items, item_behaviour, chosen[positives].float(), temperature)
            losses[_EXTERNAL] = alignment.external_weight * (of_users + of_items)
        if enhancement.weight > 0 and rows.extended is not None:
            extended = self._own_rows(rows.extended[: rows.n])
            terms = [self._contrast(extended, self._whole(integrated, rows.n), users.counts, enhancement.temperature)]
            for view, draws in zip((integrated, extended), self._draws(rows.n, seed), strict=True):
                left, right = (perturbed(view, draw, enhancement.noise) for draw in draws)
                terms.append(self._contrast(left, self._whole(right, rows.n), users.counts, enhancement.temperature))
            losses[_USER] = enhancement.weight * torch.stack(terms).sum()
        return losses

    def _contrast(
        self, own: torch.Tensor, whole: torch.Tensor, counts: torch.Tensor, temperature: float
    ) -> torch.Tensor:
        unit, others = functional.normalize(own, dim=1), functional.normalize(whole, dim=1)
        return in_batch_info_nce(unit, others, counts, temperature, self._grid)

    def _draws(self, n: int, seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Draw the noise of all users of the batch alike on every rank, and keep that of the own rows."""
        generator = torch.Generator().manual_seed(seed)
        own = self._grid.rows(n)
        draws = [torch.rand(n, self._config.width, generator=generator)[own.start : own.stop] for _ in range(4)]
        moved = [draw.to(self._device) for draw in draws]
        return [(moved[0], moved[1]), (moved[2], moved[3])]

    def _own_rows(self, columns: torch.Tensor) -> torch.Tensor:
        return columns_to_rows(columns, self._config.width, self._grid)

    def _whole(self, own: torch.Tensor, n: int) -> torch.Tensor:
        return gather_rows(own, n, self._grid)

    def _internal(self, features: Features) -> torch.Tensor:
        rows = [self.modalities.n_users + count for count in self.modalities.item_counts]
        tables = [features.explicit_users, features.explicit_items]
        return moment_gap(tables, rows, self._config.width, self._config.alignment.internal, self._grid)


SPEC = ModelSpec(
    name="gume",
    summary="one domain, any number of modalities, users with modalities of their own",
    config=GumeConfig,
    presets={
        "default": DEFAULT,
        "paper": PAPER,
        "paper-sports": PAPER_SPORTS,
        "paper-clothing": PAPER_CLOTHING,
        "paper-electronics": PAPER_ELECTRONICS,
    },
    n_domains=1,
    structure=build_structure,
    build=Gume,
)
