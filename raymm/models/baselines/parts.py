"""What baselines share: embeddings of a batch, their ranking loss, the finished scorer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from raymm.contracts import Domain, ParameterGroup, Triples
from raymm.errors import DataError
from raymm.graph.crew import ALONE, Crew
from raymm.models.spec import Structure
from raymm.nn.ranking import bpr
from raymm.parallel.collectives import collect_columns, sum_columns
from raymm.parallel.grid import Grid
from raymm.scorers import DotScorer


def no_structure(
    config: Any,  # noqa: ARG001 - the form all models share
    domain: Domain,  # noqa: ARG001
    seed: int,  # noqa: ARG001
    crew: Crew = ALONE,  # noqa: ARG001
) -> Structure:
    """Return a structure without anything in it, for models that need no graph of items."""
    return Structure({})


def modalities(domain: Domain) -> Any:
    """Return the domain's features.

    Raises:
        DataError: There are none.
    """
    if not domain.features:
        raise DataError(
            "items without any modality",
            "at least one feature",
            f"domain {domain.name!r}",
            "add features to the recipe, or take a model that needs none: bprmf, lightgcn, item_knn, ease",
        )
    return domain.features


def ranking(
    tables: tuple[torch.Tensor, torch.Tensor],
    triples: Triples,
    regularised: Sequence[tuple[torch.Tensor, torch.Tensor]],
    weight: float,
    grid: Grid,
) -> dict[str, torch.Tensor]:
    """Compute the BPR loss and `weight / 2 * sum of squares / rows` of what is regularised.

    Args:
        tables: Final users (U, own) and items (I, own).
        triples: This data rank's rows.
        regularised: Pairs of users' (U, own) and items' (I, own) tables; the batch's rows of them count.
        weight: Of the squares.
        grid: The grid of ranks.

    Returns:
        `rank` and, for a weight above zero, `regulariser`.
    """
    users = tables[0].index_select(0, triples.users)
    scores = [(users * tables[1].index_select(0, rows)).sum(1) for rows in (triples.positives, triples.negatives)]
    rows = triples.total / grid.data_parallel
    if weight <= 0:
        positive, negative = sum_columns(torch.stack(scores), grid)
        return {"rank": bpr(positive, negative, rows)}
    squares = [
        table.index_select(0, places).square().sum()
        for of_users, of_items in regularised
        for table, places in (
            (of_users, triples.users),
            (of_items, triples.positives),
            (of_items, triples.negatives),
        )
    ]
    whole = sum_columns(torch.cat([*scores, torch.stack(squares).sum()[None]]), grid)
    n = len(users)
    return {"rank": bpr(whole[:n], whole[n : 2 * n], rows), "regulariser": weight / 2 * whole[2 * n] / rows}


def dot_scorer(users: torch.Tensor, items: torch.Tensor, width: int, grid: Grid) -> DotScorer:
    """Collect the columns of users (U, own) and items (I, own) to a scorer; collective over the column group."""
    whole = [collect_columns(table, width, grid).cpu() for table in (users, items)]
    return DotScorer(*(table.clone() for table in whole))


def one_group(module: nn.Module) -> tuple[ParameterGroup, ...]:
    """Return all parameters as one group."""
    return (ParameterGroup("all", tuple(module.parameters())),)
