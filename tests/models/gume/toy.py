"""A small domain with modalities, and GUME written densely, row by row of the paper, for comparison."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse
from torch.nn import functional

from raymm.contracts import Batch, Domain, Feature, TrainData, Triples
from raymm.models.gume.config import GumeConfig
from raymm.models.gume.model import Gume
from raymm.models.gume.structure import LINKS, build_structure, item_graph
from raymm.models.spec import Place
from raymm.parallel.grid import Grid, single

USERS, ITEMS = 24, 18
WIDTHS = {"text": 5, "image": 7, "plot": 4}


def toy_data(modalities: int = 2, missing: bool = False) -> TrainData:
    """A random domain whose features have three clusters; with `missing`, each modality lacks two or more items."""
    generator = np.random.default_rng(3)
    dense = (generator.random((USERS, ITEMS)) < 0.25).astype(np.float32)
    dense[np.arange(USERS), generator.integers(ITEMS, size=USERS)] = 1
    features = {}
    for place, (name, width) in enumerate(list(WIDTHS.items())[:modalities]):
        centres = generator.normal(size=(3, width))
        values = (centres[np.arange(ITEMS) % 3] + 0.4 * generator.normal(size=(ITEMS, width))).astype(np.float32)
        present = np.ones(ITEMS, bool)
        if missing:
            present[[2 * place, 2 * place + 1, 17]] = False
        features[name] = Feature(values, present)
    return TrainData((Domain("toy", sparse.csr_array(dense), features),), np.zeros((0, 2), np.int64), "toy")


def toy_model(config: GumeConfig, data: TrainData, grid: Grid | None = None, seed: int = 1) -> Gume:
    structure = build_structure(config, data.domains[0], seed)
    return Gume(config, data, (structure,), Place(grid or single(), torch.device("cpu"), seed))


def toy_batch(rows: int = 40, seed: int = 5) -> Batch:
    """Rows with users and items that stand several times."""
    generator = torch.Generator().manual_seed(seed)
    draw = [torch.randint(limit, (rows,), generator=generator) for limit in (USERS, ITEMS, ITEMS)]
    return Batch((Triples(*draw, total=rows),), seed)


def dense_gume(model: Gume, config: GumeConfig, data: TrainData, batch: Batch) -> Mapping[str, torch.Tensor]:
    """Compute all users' and items' final embeddings and the losses, in float64 from the model's weights (one rank).

    Each modality is propagated by itself, with the shared user table standing for each; every row of the batch counts
    for itself; the noise of a user is drawn as the model does, for the distinct users in ascending order.
    """
    weights = {name: value.detach().double() for name, value in model.named_parameters()}
    domain, structure = data.domains[0], build_structure(config, data.domains[0], 0)
    items = weights["modalities.items.weight"]
    links = structure.matrices[LINKS].toarray()
    ratings = domain.interactions.toarray()
    whole = np.block([[np.zeros((USERS, USERS)), ratings], [ratings.T, links]])
    scale = np.divide(1, np.sqrt(whole.sum(1)), out=np.zeros(len(whole)), where=whole.sum(1) > 0)
    enhanced = torch.from_numpy(scale[:, None] * whole * scale[None, :])
    layers = [torch.linalg.matrix_power(enhanced, power) for power in range(config.graph.interaction_layers + 1)]
    average = torch.stack(layers).mean(0)
    behaviour = average @ torch.cat([weights["modalities.users.weight"], items])
    masks = torch.from_numpy(np.stack([f.present for f in domain.features.values()], 1)).double()
    present = torch.cat([torch.ones(USERS, masks.shape[1]).double(), masks])
    explicit, extended = [], []
    for place, (name, feature) in enumerate(domain.features.items()):
        own = {key.split(f"purifiers.{place}.")[1]: value for key, value in weights.items() if f".{place}." in key}
        values = torch.from_numpy(np.array(feature.values)).double() * masks[:, place, None]
        values = own.get("features.table.weight", values)
        hidden = values @ own["inner"] + own["inner_bias"]
        purified = items * torch.sigmoid(hidden @ own["outer"] + own["outer_bias"]) * masks[:, place, None]
        graph = torch.from_numpy(structure.matrices[item_graph(name)].toarray()).double()
        of_items = torch.linalg.matrix_power(graph, config.graph.item_layers) @ purified
        explicit.append(torch.cat([enhanced[:USERS, USERS:] @ of_items, of_items]))
        extended.append(average @ torch.cat([weights["modalities.extended.weight"], of_items]))
    extended_mean = torch.stack(extended).mean(0)
    attention = [weights[f"mixture.attention.{name}"] for name in ("projection", "bias", "query")]
    logits = torch.stack([torch.tanh(x @ attention[0].T + attention[1]) @ attention[2] for x in explicit], 1)
    shares = torch.softmax(logits.masked_fill(present == 0, -torch.inf), 1).nan_to_num()
    coarse = sum(shares[:, place, None] * x for place, x in enumerate(explicit))
    gates = [
        torch.sigmoid(behaviour @ weights["mixture.gates"][place] + weights["mixture.biases"][place])
        for place in range(len(explicit))
    ]
    fine = [
        gate * (x - coarse) * present[:, place, None]
        for place, (gate, x) in enumerate(zip(gates, explicit, strict=True))
    ]
    integrated = (sum(fine) + coarse) / (len(explicit) + 1)
    final = behaviour + integrated
    losses = _losses(config, batch, (behaviour, integrated, final, extended_mean), explicit, present)
    return {"final": final, "shares": shares, "integrated": integrated, "coarse": coarse, **losses}


def _losses(config, batch, tables, explicit, present) -> dict[str, torch.Tensor]:
    behaviour, integrated, final, extended = tables
    triples = batch.domains[0]
    users, positives, negatives = triples.users, triples.positives + USERS, triples.negatives + USERS
    divisor = 2 * (config.regulariser_rows or triples.total)
    scores = [(final[users] * final[rows]).sum(1) for rows in (positives, negatives)]
    alignment, enhancement = config.alignment, config.user_modality
    distinct_users, places = torch.unique(users, return_inverse=True)
    generator = torch.Generator().manual_seed(batch.seed)
    noise = [torch.rand(len(distinct_users), config.width, generator=generator).double() for _ in range(4)]

    def noisy(table: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        lengths = draw.norm(dim=1, keepdim=True)
        return table[users] + torch.sign(table[users]) * (draw / lengths)[places] * enhancement.noise

    def info_nce(left: torch.Tensor, right: torch.Tensor, temperature: float) -> torch.Tensor:
        cosines = functional.cosine_similarity(left[:, None], right[None], dim=2)
        chances = torch.exp(cosines / temperature)
        return -(chances.diagonal() / chances.sum(1)).log().mean()

    external = sum(
        info_nce(integrated[rows], behaviour[rows], alignment.external_temperature) for rows in (users, positives)
    )
    user = info_nce(extended[users], integrated[users], enhancement.temperature)
    user = user + info_nce(noisy(integrated, noise[0]), noisy(integrated, noise[1]), enhancement.temperature)
    user = user + info_nce(noisy(extended, noise[2]), noisy(extended, noise[3]), enhancement.temperature)
    gaps = []
    for left in range(len(explicit)):
        for right in range(left + 1, len(explicit)):
            pair = [explicit[place][present[:, place] > 0] for place in (left, right)]
            if alignment.internal == "scalar":
                pair = [table.reshape(-1, 1) for table in pair]
            spread, centre = (abs(f(pair[0]) - f(pair[1])) for f in (lambda t: t.var(0), lambda t: t.mean(0)))
            gaps.append((spread + centre).mean())
    result = {
        "rank": -(scores[0] - scores[1]).sigmoid().log().mean(),
        "regulariser": config.regularisation
        * sum(final[rows].square().sum() for rows in (users, positives, negatives))
        / divisor,
        "extended_regulariser": enhancement.regularisation * extended[positives].square().sum() / divisor,
        "external_alignment": alignment.external_weight * external,
        "user_modality": enhancement.weight * user,
    }
    if gaps:
        result["internal_alignment"] = alignment.internal_weight * torch.stack(gaps).mean()
    return result
