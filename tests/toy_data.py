"""Small data sets whose right answers are known."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from raymm.contracts import Domain, Feature, Holdout, TrainData
from raymm.data.sampling import Positives


def checkerboard(name: str, n_users: int = 40, n_items: int = 24, seed: int = 0) -> tuple[Domain, Holdout]:
    """Even users like even items, odd users odd items; one such item of each user is withheld, and is the answer.

    Features say which kind an item is, with noise; each modality lacks one item.
    """
    generator = np.random.default_rng(seed)
    rows, columns, targets = [], [], []
    for user in range(n_users):
        own = generator.permutation(np.arange(user % 2, n_items, 2))
        rows.extend([user] * (len(own) - 1))
        columns.extend(own[1:])
        targets.append(own[0])
    train = sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(n_users, n_items))
    train.sort_indices()
    wanted = sparse.csr_array((np.ones(n_users, np.float32), (np.arange(n_users), targets)), shape=train.shape)
    features = {}
    for missing, modality in enumerate(("a", "b")):  # one item lacks each
        present = np.arange(n_items) != missing
        features[modality] = Feature(_kinds(np.arange(n_items) % 2, generator) * present[:, None], present)
    return Domain(name, train, features), Holdout(name, np.arange(n_users), wanted, train)


def checkerboards(n_domains: int) -> tuple[TrainData, tuple[Holdout, ...]]:
    """As many checkerboards as wanted; half of the users are known to be shared."""
    made = [checkerboard(f"domain{place}", seed=place) for place in range(n_domains)]
    pairs = np.column_stack([np.arange(0, 40, 2)] * 2) if n_domains == 2 else np.empty((0, 2), np.int64)
    return TrainData(tuple(domain for domain, _ in made), pairs, "toy"), tuple(holdout for _, holdout in made)


def positives_of(data: TrainData) -> tuple[Positives, ...]:
    """The training rows of every domain."""
    rows = []
    for domain in data.domains:
        users, items = domain.interactions.nonzero()
        rows.append(Positives(users.astype(np.int64), items.astype(np.int64), domain.n_items))
    return tuple(rows)


def planted_domains(
    shared: float, seed: int, n_users: int = 300, n_items: int = 120
) -> tuple[TrainData, TrainData, tuple[Holdout, ...]]:
    """Two domains with one latent space; users have 20 interactions in the first and 2 in the second.

    Everybody is active in both domains. Returns data with a share of the true pairs known, data with as many pairs of
    which each is wrong, and what to find.
    """
    generator = np.random.default_rng(seed)
    taste = _unit(generator.normal(size=(n_users, 5)))
    domains, holdouts, order = [], [], generator.permutation(n_users)
    for place, per_user in enumerate((20, 2)):
        items = _unit(generator.normal(size=(n_items, 5)))  # of one length, so that none is popular
        people = taste if place == 0 else taste[order]
        noisy = 8 * people @ items.T + generator.gumbel(size=(n_users, n_items))
        chosen = generator.permuted(np.argsort(-noisy, axis=1)[:, : per_user + 1], axis=1)
        features = {"a": _described(items, generator), "b": _described(items, generator)}
        known, found = _ones(chosen[:, 1:], n_items), _ones(chosen[:, :1], n_items)
        domains.append(Domain(f"domain{place}", known, features))
        holdouts.append(Holdout(f"domain{place}", np.arange(n_users), found, known))
    true = np.column_stack([order, np.arange(n_users)])
    known = true[generator.permutation(n_users)[: round(shared * n_users)]]
    wrong = np.column_stack([np.roll(known[:, 0], 1), known[:, 1]])
    return TrainData(tuple(domains), known, "true"), TrainData(tuple(domains), wrong, "wrong"), tuple(holdouts)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _kinds(kinds: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    directions = generator.normal(size=(2, 8))
    return (directions[kinds] + 0.2 * generator.normal(size=(len(kinds), 8))).astype(np.float32)


def _described(latent: np.ndarray, generator: np.random.Generator) -> Feature:
    values = latent @ generator.normal(size=(latent.shape[1], 10)) + 0.3 * generator.normal(size=(len(latent), 10))
    return Feature(values.astype(np.float32), np.ones(len(latent), bool))


def _ones(columns: np.ndarray, n_items: int) -> sparse.csr_array:
    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    matrix = sparse.csr_array(
        (np.ones(columns.size, np.float32), (rows, columns.ravel())), shape=(len(columns), n_items)
    )
    matrix.sort_indices()
    return matrix
