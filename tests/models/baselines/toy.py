"""A small domain for all baselines, and what is asked of each that is trained by gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse

from raymm.contracts import Batch, Domain, Feature, RecModel, TrainData, Triples
from raymm.models.spec import ModelSpec, Place
from raymm.parallel.grid import Grid, single

USERS, ITEMS = 20, 15


def toy_data(missing: bool = True) -> TrainData:
    generator = np.random.default_rng(7)
    dense = (generator.random((USERS, ITEMS)) < 0.3).astype(np.float32)
    dense[np.arange(USERS), generator.integers(ITEMS, size=USERS)] = 1
    features = {}
    for name, width in (("text", 5), ("image", 7)):
        present = np.ones(ITEMS, bool)
        present[[0, 1] if name == "text" else [1, 2]] = not missing
        features[name] = Feature(generator.normal(size=(ITEMS, width)).astype(np.float32), present)
    return TrainData((Domain("toy", sparse.csr_array(dense), features),), np.zeros((0, 2), np.int64), "toy")


def toy_batch(rows: int = 32, seed: int = 5) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    draw = [torch.randint(limit, (rows,), generator=generator) for limit in (USERS, ITEMS, ITEMS)]
    return Batch((Triples(*draw, total=rows),), seed)


def make(spec: ModelSpec, config: Any, data: TrainData | None = None, grid: Grid | None = None, seed: int = 3) -> Any:
    data = data or toy_data()
    structure = spec.structure(config, data.domains[0], seed)
    model = spec.build(config, data, (structure,), Place(grid or single(), torch.device("cpu"), seed))
    assert isinstance(model, RecModel)
    return model


def train_steps(spec: ModelSpec, config: Any, grid: Grid, steps: int = 3) -> list[float]:
    """Train a little, on this rank's rows and columns; return all losses and some scores."""
    model = make(spec, config, grid=grid)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    values = []
    for step in range(steps):
        model.start_epoch(step + 1)
        triples, own = toy_batch(seed=step).domains[0], grid.batch_rows(32)
        rows = [ids[own.start : own.stop] for ids in (triples.users, triples.positives, triples.negatives)]
        losses = model(Batch((Triples(*rows, total=32),), step))
        whole = torch.stack(list(losses.values()))
        optimizer.zero_grad()
        whole.sum().backward()
        reduced = whole.detach().clone()
        if grid.data_group is not None:
            for tensor in (reduced, *(parameter.grad for parameter in model.parameters())):
                torch.distributed.all_reduce(tensor, group=grid.data_group)
                tensor /= grid.data_parallel
        values.extend(reduced.tolist())
        optimizer.step()
    return [*values, *model.scorer("toy").scores(torch.arange(3)).flatten().tolist()]


def dense_lightgcn(model: Any, data: TrainData, layers: int) -> torch.Tensor:
    """Average the powers of the dense normalised graph applied to a model's ids, in float64."""
    ratings = data.domains[0].interactions.toarray().astype(np.float64)
    whole = np.block([[np.zeros((USERS, USERS)), ratings], [ratings.T, np.zeros((ITEMS, ITEMS))]])
    scale = np.divide(1, np.sqrt(whole.sum(1)), out=np.zeros(len(whole)), where=whole.sum(1) > 0)
    graph = torch.from_numpy(scale[:, None] * whole * scale[None])
    ids = torch.cat([model.users.weight, model.items.weight]).detach().double()
    return torch.stack([torch.linalg.matrix_power(graph, power) @ ids for power in range(layers + 1)]).mean(0)


def stored(model: Any) -> torch.Tensor:
    """Return the scorer's users and items, in float64."""
    scorer = model.scorer("toy")
    return torch.cat([scorer.users, scorer.items]).double()
